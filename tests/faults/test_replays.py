"""Replays beside a fleet that trains: every fault is a sentence, and no live stream notices."""

import asyncio
import contextlib
import io
import signal
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import httpx
import psutil
import pytest

from metabonk.messages.replays import ReplayState, ReplayStatus
from metabonk.messages.workers import StreamState
from metabonk.orchestrator.replays.cache import FOLDER, ReplayCache
from metabonk.orchestrator.replays.queue import MAX_QUEUED
from metabonk.orchestrator.replays.renderers import Renderers
from metabonk.orchestrator.replays.service import Replay, Replays
from metabonk.policy.episode_log import EpisodeLog
from metabonk.runs.layout import EPISODES_FILE, SETTINGS_FILE, has_checkpoint
from tests.support import http
from tests.support.census import engines_of, members
from tests.support.earlier_runs import write_episodes
from tests.support.fleet import FleetUnderTest, fleet_ports, run_fleet
from tests.support.recorded_episodes import record
from tests.support.small_disk import small_disk
from tests.support.trained_runs import write_run
from tests.support.viewer import Spectator
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(300)

PATIENCE_S = 60.0
LARGE = "1920x1080"
ENVIRONMENT = {
    "METABONK_STREAM_WIDTH": "256",
    "METABONK_STREAM_HEIGHT": "144",
    "METABONK_STREAM_FPS": "15",
    "METABONK_STREAM_BITRATE_KBPS": "300",
    "METABONK_CPU_MAX_SESSIONS": "1",
    "METABONK_STREAM_ENGINE": "av",
    "METABONK_WORKER_GAMES_PER_WORKER": "1",
    "METABONK_LEARNING_BATCH_SIZE": "128",
    "METABONK_LEARNING_EPOCHS": "1",
    "METABONK_LEARNING_CHECKPOINT_INTERVAL_S": "2",
}


@dataclass
class Theatre:
    """A fleet with one live worker and one in standby.

    Attributes:
        fleet: trains.
        ports: of the fleet.
        run_dir: folder of its run.
    """

    fleet: FleetUnderTest
    ports: list[int]
    run_dir: Path

    def address(self, episode: int, suffix: str = ".mp4", run: str | None = None) -> str:
        run = self.run_dir.name if run is None else run
        return f"{self.fleet.page}/api/runs/{run}/episodes/{episode}/replay{suffix}"

    def video(self, episode: int, size: str = "320x240", **headers: str) -> httpx.Response:
        url = f"{self.address(episode)}?size={size}"
        return http.get(url, headers=headers, timeout=PATIENCE_S)

    def status(self, episode: int, size: str = "320x240") -> dict[str, Any]:
        answer = http.get(f"{self.address(episode, '')}?size={size}")
        return answer.raise_for_status().json()

    def episodes(self, worker: int | None = None, count: int = 1) -> list[dict[str, Any]]:
        """Return the newest replayable episodes, the longest first."""
        asked = {"replayable": True, "limit": max(count, 20)} | (
            {} if worker is None else {"worker": worker}
        )

        def found() -> list[dict[str, Any]]:
            answer = http.get(f"{self.fleet.page}/api/episodes", params=asked)
            listed = answer.raise_for_status().json()
            return listed if len(listed) >= count else []

        listed = until("there are replayable episodes", found, PATIENCE_S)
        return sorted(listed, key=lambda episode: -episode["length"])

    @contextlib.contextmanager
    def watching(self, episode: int) -> Iterator[Iterator[bytes]]:
        """Open a large video, which takes a while, and yield its parts as they arrive."""
        url = f"{self.address(episode)}?size={LARGE}"
        with http.stream("GET", url, timeout=PATIENCE_S) as response:
            assert response.status_code == 200, response.read()
            yield response.iter_raw()

    def renderers(self) -> list[psutil.Process]:
        return members(self.fleet)["render"]

    def only_renderer(self) -> psutil.Process:
        """Return the renderer, once those of earlier tests have ended."""

        def alone() -> psutil.Process | None:
            found = self.renderers()
            return found[0] if len(found) == 1 else None

        return until("one renders", alone)

    def change_log(self, episode: int, change: Any) -> None:
        """Change the stored log of an episode."""
        with contextlib.closing(sqlite3.connect(self.run_dir / EPISODES_FILE)) as database:
            query = "SELECT log FROM episode_logs WHERE episode_id = ?"
            (log,) = database.execute(query, (episode,)).fetchone()
            command = "UPDATE episode_logs SET log = ? WHERE episode_id = ?"
            database.execute(command, (change(log), episode))
            database.commit()


@pytest.fixture(scope="module")
def theatre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theatre]:
    ports = fleet_ports()
    with run_fleet(
        tmp_path_factory.mktemp("replays"),
        *("--workers", "2", "--game", "doom:basic"),
        environment=ENVIRONMENT,
        ports=ports,
    ) as fleet:
        fleet.first_in(StreamState.LIVE)
        fleet.first_in(StreamState.STANDBY)
        (settings_file,) = fleet.folder.glob(f"runs/*/{SETTINGS_FILE}")
        yield Theatre(fleet, ports, settings_file.parent)


@pytest.fixture
def spectator(theatre: Theatre) -> Iterator[Spectator]:
    """A viewer of the live stream, which must not be interrupted."""
    live = theatre.fleet.first_in(StreamState.LIVE)
    with Spectator(theatre.fleet.worker(live.worker_index), keep=False) as spectator:
        until("it watches", spectator.arrivals)
        yield spectator
        seen = len(spectator.arrivals())
        until("it watches still", lambda: len(spectator.arrivals()) > seen)
    assert len(spectator.stretches) == 1


def test_an_episode_that_nobody_saw_is_watched(theatre: Theatre, spectator: Spectator):
    standby = theatre.fleet.first_in(StreamState.STANDBY)
    episode = theatre.episodes(standby.worker_index)[0]
    track = http.get(theatre.address(episode["id"], ".json"), timeout=PATIENCE_S).json()
    assert track["total_reward"] == episode["total_reward"]
    assert sum(track["rewards"]) == pytest.approx(episode["total_reward"], rel=0.02)
    assert len(track["times"]) == len(track["chosen"]) == episode["length"]
    growing = theatre.video(episode["id"], "1280x720")
    assert growing.status_code == 200
    until("it is whole", lambda: theatre.status(episode["id"], "1280x720")["state"] == "whole")
    whole = theatre.video(episode["id"], "1280x720")
    part = theatre.video(episode["id"], "1280x720", Range="bytes=0-99")
    assert part.status_code == 206
    assert part.content == whole.content[:100]
    for response in (growing, whole):
        with av.open(io.BytesIO(response.content)) as video:
            stream = video.streams.video[0]
            assert (stream.width, stream.height) == (1280, 720)
            frames = sum(1 for _ in video.decode(video=0))
        assert frames / track["tics_per_s"] == pytest.approx(track["duration_s"], abs=0.1)


def test_fifty_requests_at_once_are_rendered_refused_or_wait(
    theatre: Theatre, spectator: Spectator
):
    addresses = [theatre.address(each["id"]) for each in theatre.episodes(count=50)[:50]]

    async def ask() -> list[httpx.Response]:
        """Return the answers once most are refused and one has its video; the rest is given up."""
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(limits=limits, timeout=PATIENCE_S) as client:
            asking = [asyncio.ensure_future(client.get(address)) for address in addresses]
            answers: list[httpx.Response] = []
            for answered in asyncio.as_completed(asking):
                answers.append(await answered)
                codes = [answer.status_code for answer in answers]
                if 200 in codes and codes.count(503) >= 25:
                    break
            for each in asking:
                each.cancel()
            return answers

    answers = asyncio.run(ask())
    refused = [answer.json()["error"] for answer in answers if answer.status_code != 200]
    assert set(refused) == {"too_many_replays"}
    assert len(refused) <= 50 - MAX_QUEUED
    until("no renderer is left", lambda: not theatre.renderers())


def test_a_renderer_that_is_killed_in_mid_stream_is_a_sentence(
    theatre: Theatre, spectator: Spectator
):
    episode, other = (each["id"] for each in theatre.episodes(count=2)[:2])
    with theatre.watching(episode) as parts:
        next(parts)
        renderer = theatre.only_renderer()
        engines = engines_of(renderer)
        renderer.kill()
        with pytest.raises(httpx.RemoteProtocolError):
            list(parts)
    status = theatre.status(episode, LARGE)
    assert status["state"] == "failed"
    assert "killed by SIGKILL" in status["message"]
    until("its game is gone", lambda: not any(engine.is_running() for engine in engines))
    assert theatre.video(other).status_code == 200


def test_a_renderer_ends_with_its_last_viewer_even_if_it_hangs(
    theatre: Theatre, spectator: Spectator
):
    episode = theatre.episodes()[0]["id"]
    with theatre.watching(episode) as parts:
        next(parts)
        renderer = theatre.only_renderer()
        renderer.send_signal(signal.SIGSTOP)
    until("it is gone", lambda: not renderer.is_running(), PATIENCE_S)
    until("that is noticed", lambda: theatre.status(episode, LARGE)["state"] == "none")


def test_an_episode_that_comes_out_differently_is_never_shown_as_true(
    theatre: Theatre, spectator: Spectator
):
    episode, damaged = (each["id"] for each in theatre.episodes(count=2)[:2])

    def other_version(data: bytes) -> bytes:
        log = EpisodeLog.from_bytes(data)
        rewards = log.rewards.copy()
        rewards[-1] += 1.0
        setup = replace(log.setup, versions=log.setup.versions | {"vizdoom": "0.0.1"})
        return replace(log, setup=setup, rewards=rewards).to_bytes()

    theatre.change_log(episode, other_version)
    with contextlib.suppress(httpx.RemoteProtocolError):
        assert theatre.video(episode).status_code == 409, "what is not true was sent to its end"
    status = theatre.status(episode)
    assert status["state"] == "different"
    assert "0.0.1" in status["message"]
    theatre.change_log(damaged, lambda data: data[:-4] + bytes(4))
    refused = theatre.video(damaged)
    assert refused.status_code == 503
    assert refused.json()["error"] == "replay_failed"
    assert "\n" not in refused.json()["message"]


def test_a_disk_that_fills_up_in_mid_video_is_a_sentence_and_what_was_whole_stays(tmp_path: Path):
    disk = tmp_path / "disk"
    disk.mkdir()
    run_dir, log = write_run(tmp_path, "doom:basic"), record("doom:basic").to_bytes()
    with small_disk(disk, megabytes=1) as mounted:
        if not mounted:
            pytest.skip("mounting a small disk needs root and the right to mount")
        cache = ReplayCache(disk / FOLDER, min_free_bytes=0)
        replays = Replays(cache, Renderers(tmp_path / "renderers.log"), 1)
        replays.start()
        small, large = Replay(run_dir, log, (160, 120)), Replay(run_dir, log, (1920, 1080))
        try:
            assert rendered(replays, small).state is ReplayState.WHOLE
            kept = cache.whole(small.key)
            assert kept is not None
            video = kept.read_bytes()
            status = rendered(replays, large)
            assert status.state is ReplayState.FAILED
            assert "No space left on device" in str(status.message)
            assert "\n" not in str(status.message)
            assert kept.read_bytes() == video
            assert replays.status(small).state is ReplayState.WHOLE
            assert not list((disk / FOLDER).glob("rendering-*/*")), "its files are gone"
        finally:
            replays.close()


def rendered(replays: Replays, replay: Replay) -> ReplayStatus:
    """Have a replay rendered and return its final state."""
    viewer = replays.join(replay)

    def final() -> ReplayStatus | None:
        replays.tick()
        status = replays.status(replay)
        is_final = status.state not in (ReplayState.QUEUED, ReplayState.RENDERING)
        return status if is_final else None

    try:
        return until("it has ended", final, PATIENCE_S)
    finally:
        replays.leave(viewer)


def test_what_is_not_there_is_said(theatre: Theatre):
    earlier = theatre.run_dir.with_name("earlier")
    earlier.mkdir()
    (earlier / SETTINGS_FILE).write_bytes((theatre.run_dir / SETTINGS_FILE).read_bytes())
    write_episodes(earlier, 3)
    for run, episode, error in (
        ("earlier", 1, "no_episode_log"),
        ("earlier", 99, "no_such_episode"),
        ("nobody", 1, "no_such_run"),
    ):
        for suffix in ("", ".json", ".mp4"):
            refused = http.get(theatre.address(episode, suffix, run))
            assert refused.status_code == 404
            assert refused.json()["error"] == error
            assert refused.json()["message"]


def test_a_renderer_ends_with_a_killed_orchestrator_and_replays_are_whole_in_play_mode(
    theatre: Theatre,
):
    kept, episode = (each["id"] for each in theatre.episodes(count=2)[:2])
    theatre.video(kept)
    until("it is whole", lambda: theatre.status(kept)["state"] == "whole")
    video = theatre.video(kept).content
    until("there is a checkpoint", lambda: has_checkpoint(theatre.run_dir), PATIENCE_S)
    with theatre.watching(episode) as parts:
        next(parts)
        renderer = theatre.only_renderer()
        family = [renderer, *renderer.children(recursive=True)]
        theatre.fleet.process.kill()
        assert not psutil.wait_procs(family, timeout=PATIENCE_S)[1]
    cache = theatre.fleet.folder / "runs" / FOLDER
    assert list(cache.glob("rendering-*"))
    with run_fleet(
        theatre.fleet.folder,
        *("--workers", "1", "--mode", "play"),
        environment=ENVIRONMENT,
        ports=theatre.ports,
    ) as fleet:
        again = replace(theatre, fleet=fleet)
        fleet.first_in(StreamState.LIVE)
        assert again.video(kept).content == video, "from the cache"
        assert again.video(episode, LARGE).status_code == 200
        assert len(list(cache.glob("rendering-*"))) == 1, "what the killed one left is gone"
        fleet.stop()
    assert not list(cache.glob("rendering-*"))
