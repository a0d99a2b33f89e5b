"""A whole worker, in this process: a game, a policy and a stream."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch

from metabonk.encoding.sessions.nvml import Gpu
from metabonk.errors import CheckpointError
from metabonk.games import make_game
from metabonk.messages.workers import Counters, DesiredState, EpisodeReport, Mode, StreamState
from metabonk.policy import ActorCritic, PolicySpec, defaults, encode_weights
from metabonk.policy.defaults import GameKind
from metabonk.policy.episode_log import EpisodeLog, checksum_of
from metabonk.runs.layout import CHECKPOINTS_DIR
from metabonk.settings import Settings, write_settings
from metabonk.settings.learning import Learning
from metabonk.worker import process, stream
from metabonk.worker.process import Worker, policy_device
from tests.support import http
from tests.support.orchestrator import Orchestrator
from tests.support.serving import free_ports
from tests.support.thread_bound_env import trespasses
from tests.support.waiting import until

START_S = 60.0
"""An encoder is probed in a process that has to start, and a game has to be imported."""

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
            # Saliency maps are of images.
            "learning": {"observation": "pixels"},
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
        thread.join(60)
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
            until("episodes", lambda: orchestrator.episodes, START_S)
            until("both games", lambda: len(worker.pool.all()) == 2, START_S)
            orchestrator.desired = DesiredState.LIVE
            until(
                "it is live",
                lambda: orchestrator.status.stream_state is StreamState.LIVE,
                START_S,
            )
            until("a keyframe", lambda: http.get(f"{url}/snapshot.jpg").is_success)
            status = orchestrator.status
            assert {each.name for each in threading.enumerate()} >= THREADS - {"open-games"}
        assert status.game == settings.game
        assert status.step > 100
        assert (status.pixel_obs_width, status.pixel_obs_height) == (84, 84)
        assert orchestrator.episodes[0].episode == 8
    for episode in orchestrator.episodes[:4]:
        assert_repeatable(episode)
    until("its threads end", lambda: not THREADS & {each.name for each in threading.enumerate()})
    with pytest.raises(httpx.ConnectError):
        http.get(f"{url}/status")


def assert_repeatable(episode: EpisodeReport) -> None:
    """Repeat an episode in another game, from its log alone."""
    assert episode.log is not None
    log = EpisodeLog.from_bytes(episode.log)
    assert (len(log), log.total_reward) == (episode.length, episode.total_reward)
    learning = Learning(env_args=log.setup.env_args, frame_skip=log.setup.frame_skip)
    with contextlib.closing(make_game(log.setup.game, learning)) as game:
        game.restore_carried_state(log.carried)
        game.reset(log.seed)
        steps = [game.step(log.action(step)) for step in range(len(log))]
    assert checksum_of([step.reward for step in steps]) == log.checksum
    assert steps[-1].terminated or steps[-1].truncated


def test_a_restarted_worker_plays_other_episodes_and_samples_other_actions(
    settings: Settings, tmp_path: Path
):
    settings = settings.model_copy(update={"game": "gym:CartPole-v1", "learning": Learning()})

    def played(run_dir: Path) -> list[list[float]]:
        run_dir.mkdir(exist_ok=True)
        with contextlib.closing(Worker(settings, run_dir / "", 0, run_dir, NONE)) as worker:
            worker.pool.first.reset()
            observation = worker.pool.first.observation
            actions = [worker.actor.act([observation], [0])[0].action for _ in range(30)]
            return [np.asarray(observation).tolist(), actions]

    first, second = played(tmp_path / "run"), played(tmp_path / "run")
    assert first[0] != second[0]
    assert first[1] != second[1]
    assert first == played(tmp_path / "another run"), "the same seed, the same episode"


def test_every_call_of_a_game_is_made_on_the_thread_that_started_it(
    orchestrator: Orchestrator, settings: Settings, tmp_path: Path
):
    settings = settings.model_copy(
        update={"game": "gym:tests.support.thread_bound_env:ThreadBound-v0"}
    )
    settings_file = tmp_path / "settings.json"
    write_settings(settings, settings_file)
    with (
        contextlib.closing(Worker(settings, settings_file, 0, tmp_path, NONE)) as worker,
        playing(worker),
    ):
        until("episodes", lambda: orchestrator.episodes, START_S)
        for desired, state in (
            (DesiredState.LIVE, StreamState.LIVE),
            (DesiredState.STANDBY, StreamState.STANDBY),
        ):
            orchestrator.desired = desired
            until(
                f"it is {state}",
                lambda: orchestrator.status.stream_state is state,  # noqa: B023
                START_S,
            )
            before = worker.progress.counters().step
            until(
                "fifty steps",
                lambda: worker.progress.counters().step > before + 50,  # noqa: B023
                START_S,
            )
    assert trespasses == []


def test_rollouts_are_as_long_as_the_kind_of_game_asks_for(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    lengths: list[int] = []
    monkeypatch.setattr(process, "RolloutBuilder", lambda spec, steps: lengths.append(steps))
    monkeypatch.setitem(defaults.DEFAULTS, GameKind.IMAGES, {"rollout_steps": 5})
    Worker(settings, tmp_path / "settings.json", 0, tmp_path, NONE).close()
    assert lengths == [5]


def test_encoders_are_probed_under_the_settings_that_the_worker_runs_with(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """In play mode they are another file than the run's own."""
    probed: list[Path] = []
    monkeypatch.setattr(stream, "EncoderProbe", lambda file, cache: probed.append(file))
    settings_file = tmp_path / "settings-play.json"
    Worker(settings, settings_file, 0, tmp_path, NONE).close()
    assert probed == [settings_file]


def test_a_resumed_run_is_played_by_its_checkpoint_before_its_learner_answers(
    orchestrator: Orchestrator, settings: Settings, tmp_path: Path
):
    with contextlib.closing(make_game(settings.game, settings.learning)) as game:
        network = ActorCritic(PolicySpec.of(game, settings.learning))
    checkpoints = tmp_path / CHECKPOINTS_DIR
    checkpoints.mkdir()
    (checkpoints / "policy-0000000007.safetensors").write_bytes(encode_weights(network, 7))
    settings_file = tmp_path / "settings.json"
    write_settings(settings, settings_file)
    with (
        contextlib.closing(Worker(settings, settings_file, 0, tmp_path, NONE)) as worker,
        playing(worker),
    ):
        until("it plays", lambda: orchestrator.episodes, START_S)
        assert orchestrator.status.policy_version == 7


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
