"""A whole worker, in this process: a game, a policy and a stream."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import torch

from metabonk.encoding.sessions.nvml import Gpu
from metabonk.errors import CheckpointError
from metabonk.messages import Counters, DesiredState, Mode, StreamState
from metabonk.settings import Settings, write_settings
from metabonk.worker import stream
from metabonk.worker.process import Worker, policy_device
from tests.support.orchestrator import Orchestrator
from tests.support.serving import free_ports
from tests.support.waiting import until

GPU = Gpu(3, "GPU-3", "NVIDIA", 5, "590.44", ordinal=1)
NONE = Counters()
THREADS = {"encode", "encode-watch", "heartbeat", "open-games", "rollouts", "saliency", "weights"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    orchestrator, learner, worker = free_ports(3)
    return Settings.model_validate(
        {
            "game": "gym:minigrid:MiniGrid-Empty-5x5-v0",
            "ports": {"orchestrator": orchestrator, "learner": learner, "worker": worker},
            "paths": {"runtime": str(tmp_path / "runtime")},
            "stream": {"width": 320, "height": 180, "fps": 30, "engine": "av"},
            "worker": {"games_per_worker": 2},
        }
    )


@pytest.fixture
def orchestrator(settings: Settings) -> Iterator[Orchestrator]:
    with Orchestrator(settings.ports.orchestrator) as serving:
        yield serving


@contextlib.contextmanager
def playing(worker: Worker) -> Iterator[None]:
    """Run the worker on another thread, as if it were the main one."""
    stop = threading.Event()
    worker.start()
    thread = threading.Thread(target=worker.run, args=(stop.is_set,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)
        assert not thread.is_alive()


def test_it_plays_streams_and_reports_until_it_is_stopped(
    orchestrator: Orchestrator, settings: Settings, tmp_path: Path
):
    settings_file = tmp_path / "settings.json"
    write_settings(settings, settings_file)
    url = f"http://127.0.0.1:{settings.ports.worker}"
    counters = Counters(step=100, episode=7)
    with contextlib.closing(Worker(settings, settings_file, 0, tmp_path, counters)) as worker:
        with playing(worker):
            until("episodes", lambda: orchestrator.episodes)
            orchestrator.desired = DesiredState.LIVE
            until("it is live", lambda: orchestrator.status.stream_state is StreamState.LIVE)
            until("a keyframe", lambda: httpx.get(f"{url}/snapshot.jpg").is_success)
            status = orchestrator.status
            assert {each.name for each in threading.enumerate()} >= THREADS - {"open-games"}
        assert status.game == settings.game
        assert status.step > 100
        assert (status.pixel_obs_width, status.pixel_obs_height) == (84, 84)
        assert orchestrator.episodes[0].episode == 8
        assert len(worker.pool.all()) == 2
    until("its threads end", lambda: not THREADS & {each.name for each in threading.enumerate()})
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/status")


def test_encoders_are_probed_under_the_settings_that_the_worker_runs_with(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """In play mode they are another file than the run's own."""
    probed: list[Path] = []
    monkeypatch.setattr(stream, "EncoderProbe", lambda file, cache: probed.append(file))
    settings_file = tmp_path / "settings-play.json"
    Worker(settings, settings_file, 0, tmp_path, NONE).close()
    assert probed == [settings_file]


def test_without_a_checkpoint_nothing_is_played(settings: Settings, tmp_path: Path):
    playing = settings.model_copy(update={"mode": Mode.PLAY})
    with pytest.raises(CheckpointError, match="no checkpoint to play"):
        Worker(playing, tmp_path / "settings-play.json", 0, tmp_path, NONE)


def test_the_policy_acts_on_the_workers_own_gpu_by_cudas_number(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert policy_device(GPU) == torch.device("cuda", 1)
    assert policy_device(None) is None
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert policy_device(GPU) is None
