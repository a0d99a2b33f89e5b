"""A run is trained by many games, gone on with, and played without a learner."""

from collections.abc import Iterator
from pathlib import Path

import av
import httpx
import psutil
import pytest

from metabonk.messages import LearnerStatus, Mode, StreamState, WorkerStatus
from tests.support.fleet import FleetUnderTest, run_fleet, shared_memory_of_games
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(180)

GAME = "doom:basic"
GAMES = 3
ENVIRONMENT = {
    "METABONK_LEARNING_BATCH_SIZE": "128",
    "METABONK_LEARNING_EPOCHS": "1",
    "METABONK_LEARNING_CHECKPOINT_INTERVAL_S": "1",
    "METABONK_STREAM_ADAPTIVE": "0",
}
LIVE_STEPS_PER_S = 30 / 4
"""Of one game paced at 30 tics a second, four a decision, as on up to four cores; else twice it."""


def live(fleet: FleetUnderTest) -> WorkerStatus | None:
    return next(iter(fleet.in_state(StreamState.LIVE)), None)


def learner(fleet: FleetUnderTest) -> LearnerStatus:
    answer = httpx.get(f"{fleet.learner}/status").raise_for_status()
    return LearnerStatus.model_validate(answer.json())


def engines(fleet: FleetUnderTest) -> list[psutil.Process]:
    return [process for process in fleet.tree() if process.name() == "vizdoom"]


def checkpoints(run_dir: Path) -> list[str]:
    return sorted(file.name for file in (run_dir / "checkpoints").glob("*.safetensors"))


def fleet_step(fleet: FleetUnderTest) -> int:
    curve = httpx.get(f"{fleet.page}/api/curve?points=1").raise_for_status().json()
    return int(curve[-1]["fleet_step"]) if curve else 0


def decoded_frames(status: WorkerStatus, wanted: int) -> int:
    count = 0
    with av.open(status.stream_url, timeout=20) as container:
        for _ in container.decode(video=0):
            count += 1
            if count == wanted:
                break
    return count


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def trained(folder: Path) -> Iterator[LearnerStatus]:
    """The learner just before its fleet of one worker and three games was stopped."""
    arguments = ("--workers", "1", "--games-per-worker", str(GAMES), "--game", GAME)
    with run_fleet(folder, *arguments, environment=ENVIRONMENT) as fleet:
        status = until("the worker is live", lambda: live(fleet), 60)
        until("all games are open", lambda: len(engines(fleet)) >= GAMES, 30)
        # The shown game is paced; what is above its rate comes from the others.
        until(
            "the others are played beside it",
            lambda: (s := live(fleet)) and s.steps_per_s > 3 * LIVE_STEPS_PER_S,
            60,
        )
        assert decoded_frames(status, 60) == 60
        until("some updates", lambda: learner(fleet).updates >= 5, 60)
        until("episodes", lambda: fleet_step(fleet) > 0, 30)
        members, last = fleet.tree(), learner(fleet)
        assert fleet.stop() < 10
        assert not [member for member in members if member.is_running()]
        assert shared_memory_of_games() <= fleet.shared_memory_before
        assert "Traceback" not in fleet.log("omega-0")
    yield last


def run_of(folder: Path) -> Path:
    (run_dir,) = (folder / "runs").iterdir()
    return run_dir


@pytest.mark.parametrize("by_name", [False, True])
def test_a_run_that_is_resumed_goes_on_where_it_was(
    folder: Path, trained: LearnerStatus, by_name: bool
):
    run_dir = run_of(folder)
    newest = int(checkpoints(run_dir)[-1].split("-")[0])
    assert newest >= trained.steps_trained, "stopping writes a last checkpoint"
    resume = ("--resume", run_dir.name) if by_name else ("--resume",)
    with run_fleet(folder, "--workers", "1", *resume, environment=ENVIRONMENT) as fleet:
        began = until("the learner answers", lambda: learner(fleet), 60)
        assert began.steps_trained >= newest
        assert began.policy_version >= trained.policy_version
        until("it learns", lambda: learner(fleet).updates > began.updates, 60)
        until(
            "the worker plays with what was learned",
            lambda: fleet.statuses()["omega-0"].policy_version >= began.policy_version,
            30,
        )
        assert fleet_step(fleet) > 0
        fleet.stop()
    assert run_of(folder) == run_dir
    assert int(checkpoints(run_dir)[-1].split("-")[0]) > newest


def test_the_fleet_plays_on_without_its_learner_and_learns_on_from_the_checkpoint(
    folder: Path, trained: LearnerStatus
):
    with run_fleet(folder, "--workers", "1", "--resume", environment=ENVIRONMENT) as fleet:
        until("it learns", lambda: learner(fleet).updates > trained.updates, 60)
        kept = int(checkpoints(run_of(folder))[-1].split("-")[0])
        first = learner(fleet)
        worker = fleet.statuses()["omega-0"]
        psutil.Process(first.pid).kill()
        until(
            "play goes on",
            lambda: fleet.statuses()["omega-0"].step >= worker.step + 100,
            30,
        )
        again = until(
            "another learner", lambda: (s := learner(fleet)) and s.pid != first.pid and s, 60
        )
        assert again.steps_trained >= kept
        until("it learns on", lambda: learner(fleet).updates > again.updates, 60)
        assert fleet.statuses()["omega-0"].pid == worker.pid
        fleet.stop()


def test_play_shows_the_newest_checkpoint_and_learns_nothing(folder: Path, trained: LearnerStatus):
    run_dir = run_of(folder)
    before, settings = checkpoints(run_dir), (run_dir / "settings.json").read_text()
    newest = int(before[-1].removesuffix(".safetensors").split("-")[1])
    with run_fleet(folder, "--mode", "play", "--workers", "1", environment=ENVIRONMENT) as fleet:
        status = until("the worker is live", lambda: live(fleet), 60)
        assert (status.mode, status.game) == (Mode.PLAY, GAME)
        assert status.policy_version == newest
        assert decoded_frames(status, 60) == 60
        until("an episode", lambda: fleet.statuses()["omega-0"].episode >= 1, 30)
        assert "learner" not in {p.cmdline()[3] for p in fleet.tree() if len(p.cmdline()) > 3}
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{fleet.learner}/healthz")
        assert httpx.get(f"{fleet.page}/api/fleet").json()["learner"] is None
        assert fleet.stop() < 10
        assert "Traceback" not in fleet.log("omega-0")
    assert checkpoints(run_dir) == before
    assert (run_dir / "settings.json").read_text() == settings
