"""A run is trained with several games, resumed, and played without a learner."""

from collections.abc import Iterator
from pathlib import Path

import av
import httpx
import psutil
import pytest

from metabonk.messages.learner import LearnerStatus
from metabonk.messages.workers import Mode, StreamState, WorkerStatus
from tests.support import http
from tests.support.census import members, runs, shared_memory
from tests.support.fleet import FleetUnderTest, run_fleet
from tests.support.machine_speed import slowness
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(600)

GAME = "doom:basic"
GAMES = 3
ENVIRONMENT = {
    "METABONK_LEARNING_BATCH_SIZE": "128",
    "METABONK_LEARNING_EPOCHS": "1",
    "METABONK_LEARNING_CHECKPOINT_INTERVAL_S": "1",
    "METABONK_STREAM_ADAPTIVE": "0",
}
LIVE_STEPS_PER_S = 35 / 4
"""Rate of one game at Doom's 35 tics/s and four tics a step."""


def live(fleet: FleetUnderTest) -> WorkerStatus | None:
    return next(iter(fleet.in_state(StreamState.LIVE)), None)


def learner(fleet: FleetUnderTest) -> LearnerStatus:
    answer = http.get(f"{fleet.learner}/status").raise_for_status()
    return LearnerStatus.model_validate(answer.json())


def engines(fleet: FleetUnderTest) -> list[psutil.Process]:
    return members(fleet)["engine"]


def checkpoints(run_dir: Path) -> list[str]:
    return sorted(file.name for file in (run_dir / "checkpoints").glob("*.safetensors"))


def fleet_step(fleet: FleetUnderTest) -> int:
    curve = http.get(f"{fleet.page}/api/curve?points=1").raise_for_status().json()
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
def trained(folder: Path) -> LearnerStatus:
    """Return the learner's last status before its fleet of one worker and three games stopped."""
    arguments = ("--workers", "1", "--games-per-worker", str(GAMES), "--game", GAME)
    with run_fleet(folder, *arguments, environment=ENVIRONMENT) as fleet:
        status = until("the worker is live", lambda: live(fleet), 120)
        until("all games are open", lambda: len(engines(fleet)) >= GAMES, 60)
        # The game shown is paced; steps above its rate come from the others.
        until(
            "the others are played as well",
            lambda: (s := live(fleet)) and s.steps_per_s > 3 * LIVE_STEPS_PER_S,
            120,
        )
        assert decoded_frames(status, 60) == 60
        until("some updates", lambda: learner(fleet).updates >= 5, 120)
        until("episodes", lambda: fleet_step(fleet) > 0, 60)
        family, last = fleet.tree(), learner(fleet)
        files = shared_memory(family)
        assert files
        assert fleet.stop() < 10 * slowness()
        until("every process has ended", lambda: not any(map(runs, family)))
        assert not [file for file in files if file.exists()]
        assert "Traceback" not in fleet.log("omega-0")
    return last


def run_of(folder: Path) -> Path:
    (run_dir,) = (folder / "runs").iterdir()
    return run_dir


@pytest.fixture(scope="module")
def saved(folder: Path, trained: LearnerStatus) -> int:
    """Return the steps of the checkpoint that was written last, by the stop."""
    steps = steps_saved(folder)
    assert steps >= trained.steps_trained
    return steps


def steps_saved(folder: Path) -> int:
    return int(checkpoints(run_of(folder))[-1].split("-")[0])


@pytest.fixture(scope="module")
def resumed(folder: Path, saved: int) -> Iterator[FleetUnderTest]:
    """Return a fleet that resumes the run by its name; test_kills resumes the newest run."""
    arguments = ("--workers", "1", "--resume", run_of(folder).name)
    with run_fleet(folder, *arguments, environment=ENVIRONMENT) as fleet:
        yield fleet


def test_a_resumed_run_continues_where_it_stopped(
    trained: LearnerStatus, saved: int, resumed: FleetUnderTest
):
    began = until("the learner answers", lambda: learner(resumed), 120)
    assert began.steps_trained >= saved
    assert began.policy_version >= trained.policy_version
    until("it learns", lambda: learner(resumed).updates > began.updates, 120)
    until(
        "the worker plays what was learned",
        lambda: resumed.statuses()["omega-0"].policy_version >= began.policy_version,
        60,
    )
    assert fleet_step(resumed) > 0


def test_workers_play_without_their_learner_which_resumes_from_its_checkpoint(
    folder: Path, trained: LearnerStatus, resumed: FleetUnderTest
):
    """End the resumed fleet; must be its last test."""
    run_dir = run_of(folder)
    until("it learns", lambda: learner(resumed).updates > trained.updates, 120)
    kept = steps_saved(folder)
    first = learner(resumed)
    worker = resumed.statuses()["omega-0"]
    psutil.Process(first.pid).kill()
    until(
        "play continues",
        lambda: resumed.statuses()["omega-0"].step >= worker.step + 100,
        60,
    )
    again = until(
        "another learner", lambda: (s := learner(resumed)) and s.pid != first.pid and s, 120
    )
    assert again.steps_trained >= kept
    until("it learns", lambda: learner(resumed).updates > again.updates, 120)
    assert resumed.statuses()["omega-0"].pid == worker.pid
    resumed.stop()
    assert run_of(folder) == run_dir
    assert steps_saved(folder) > kept


def test_play_shows_the_newest_checkpoint_and_learns_nothing(folder: Path, trained: LearnerStatus):
    run_dir = run_of(folder)
    before, settings = checkpoints(run_dir), (run_dir / "settings.json").read_text()
    newest = int(before[-1].removesuffix(".safetensors").split("-")[1])
    with run_fleet(folder, "--mode", "play", "--workers", "1", environment=ENVIRONMENT) as fleet:
        status = until("the worker is live", lambda: live(fleet), 120)
        assert (status.mode, status.game) == (Mode.PLAY, GAME)
        assert status.policy_version == newest
        assert decoded_frames(status, 60) == 60
        until("an episode", lambda: fleet.statuses()["omega-0"].episode >= 1, 60)
        assert "learner" not in members(fleet)
        with pytest.raises(httpx.ConnectError):
            http.get(f"{fleet.learner}/healthz")
        assert http.get(f"{fleet.page}/api/fleet").json()["learner"] is None
        assert fleet.stop() < 10 * slowness()
        assert "Traceback" not in fleet.log("omega-0")
    assert checkpoints(run_dir) == before
    assert (run_dir / "settings.json").read_text() == settings
