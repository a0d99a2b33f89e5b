"""A fleet of a live and a standby worker, observed by a real decoder."""

import itertools
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import psutil
import pytest

from metabonk.messages.workers import StreamState, WorkerStatus
from tests.support import http
from tests.support.census import runs, shared_memory
from tests.support.fleet import FleetUnderTest, run_fleet, run_gameless_fleet
from tests.support.machine_speed import slowness
from tests.support.waiting import GENEROUS_S, until

pytestmark = pytest.mark.timeout(400)

PATIENCE_S = 60
"""On a busy machine, importing PyTorch alone takes a quarter of it."""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetUnderTest]:
    folder = tmp_path_factory.mktemp("fleet")
    arguments = ("--mode", "train", "--workers", "2", "--game", "doom:basic")
    environment = {
        "METABONK_CPU_MAX_SESSIONS": "1",
        # Small enough for a slow machine, which is not to be what ``validate`` finds.
        "METABONK_STREAM_WIDTH": "640",
        "METABONK_STREAM_HEIGHT": "360",
        # One game per worker, so that its steps are those of the game shown.
        "METABONK_WORKER_GAMES_PER_WORKER": "1",
        # A change of quality ends the stream that a decoder reads; see test_overload.
        "METABONK_STREAM_ADAPTIVE": "0",
        # No rotation while answers are compared; see test_sessions.
        "METABONK_FEATURED_ROTATE_S": "3600",
    }
    with run_fleet(folder, *arguments, environment=environment) as fleet:
        until("the page answers", lambda: http.get(f"{fleet.page}/").is_success, PATIENCE_S)
        shown_by(fleet)
        standby(fleet)
        yield fleet


def live(fleet: FleetUnderTest) -> WorkerStatus | None:
    return next(iter(fleet.in_state(StreamState.LIVE)), None)


def shown_by(fleet: FleetUnderTest) -> WorkerStatus:
    return until("one worker is live", lambda: live(fleet), 2 * PATIENCE_S)


def standby(fleet: FleetUnderTest) -> WorkerStatus:
    return until(
        "one worker is in standby",
        lambda: next(iter(fleet.in_state(StreamState.STANDBY)), None),
        PATIENCE_S,
    )


def test_the_live_stream_decodes_and_changes_every_second(fleet: FleetUnderTest):
    worker = shown_by(fleet)
    frames: list[tuple[float, np.ndarray]] = []
    with av.open(worker.stream_url, timeout=PATIENCE_S) as container:
        stream = container.streams.video[0]
        for frame in container.decode(stream):
            frames.append((float(frame.time), frame.to_ndarray(format="gray")))
            if frames[-1][0] - frames[0][0] > 6:
                break
    assert frames[0][1].shape == (worker.spectator_height, worker.spectator_width)
    start = frames[0][0]
    for second in range(6):
        images = [image for at, image in frames if second <= at - start < second + 1]
        # The rate has a test of its own; on a busy machine frames are lost.
        assert len(images) >= 5, f"second {second} has {len(images)} frames"
        change = max(
            float(np.abs(before.astype(int) - after).mean())
            for before, after in itertools.pairwise(images)
        )
        assert change > 0.1, f"nothing changes in second {second}"


def test_a_worker_with_a_session_answers_200_and_one_without_answers_503(fleet: FleetUnderTest):
    shown, hidden = shown_by(fleet), standby(fleet)
    head = http.head(shown.stream_url)
    assert (head.status_code, head.headers["Content-Type"]) == (200, "video/mp4")
    refused = http.head(hidden.stream_url)
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) >= 1
    body = http.get(f"{hidden.stream_url}?wait=0").json()
    assert body["error"] == "no_encoder_session"
    assert body["message"]


def test_both_workers_serve_a_snapshot(fleet: FleetUnderTest):
    for index in range(2):
        address = f"{fleet.worker(index)}/snapshot.jpg"
        answer = until("a snapshot", lambda url=address: http.get(url).raise_for_status())
        assert answer.headers["Content-Type"] == "image/jpeg"
        assert answer.content.startswith(b"\xff\xd8")


def test_the_standby_worker_trains_faster_than_the_live_one(fleet: FleetUnderTest):
    def is_faster() -> bool:
        shown, hidden = live(fleet), standby(fleet)
        return shown is not None and 0 < 3 * shown.steps_per_s <= hidden.steps_per_s

    until("the standby worker is faster", is_faster, 60)


def test_every_server_returns_the_same_status(fleet: FleetUnderTest):
    own = http.get(f"{fleet.worker(0)}/status").json()
    named = http.get(f"{fleet.worker(0)}/api/worker/omega-0/status").json()
    through_page = http.get(f"{fleet.page}/api/worker/omega-0/status").json()
    listed = http.get(f"{fleet.orchestrator}/workers").json()["omega-0"]
    assert own.keys() == named.keys() == through_page.keys() == listed.keys()
    for status in (own, named, through_page, listed):
        assert (status["instance_id"], status["pid"]) == ("omega-0", own["pid"])
        WorkerStatus.model_validate(status)


def test_frames_are_counted_and_measured(fleet: FleetUnderTest):
    seen: list[tuple[float, int]] = []

    def agrees() -> WorkerStatus | None:
        """Compare the rate with that of the last two seconds at least."""
        shown = live(fleet)
        if shown is None:
            return None
        now = time.monotonic()
        seen.append((now, shown.frames_ok))
        older = [(at, frames) for at, frames in seen if at <= now - 2]
        if not older:
            return None
        at, frames = older[-1]
        measured = (shown.frames_ok - frames) / (now - at)
        return shown if shown.frames_fps == pytest.approx(measured, rel=0.5) else None

    shown = until("the rate is that of the frames counted", agrees, 60)
    assert shown.frames_fps > 0
    assert shown.stream_backend == "av:libx264"
    assert shown.stream_bitrate > 10_000


def test_returns_are_recorded_and_the_policy_advances(fleet: FleetUnderTest):
    episodes = until(
        "ten episodes",
        lambda: (
            (e := http.get(f"{fleet.page}/api/episodes?limit=100").json()) and len(e) >= 10 and e
        ),
        60,
    )
    assert all(-500 <= episode["total_reward"] <= 101 for episode in episodes)
    assert http.get(f"{fleet.page}/api/curve?points=20").json()
    until(
        "a newer policy acts",
        lambda: all(status.policy_version >= 2 for status in fleet.statuses().values()),
        60,
    )


def test_health_metrics_and_openapi_answer(fleet: FleetUnderTest):
    for address in (fleet.orchestrator, fleet.worker(0), fleet.learner):
        assert http.get(f"{address}/healthz").is_success
        assert "metabonk_" in http.get(f"{address}/metrics").raise_for_status().text
    paths = http.get(f"{fleet.orchestrator}/openapi.json").json()["paths"]
    assert "/workers" in paths


def test_a_killed_worker_is_restarted(fleet: FleetUnderTest):
    victim = standby(fleet)
    psutil.Process(victim.pid).kill()
    until(
        "it has a new process",
        lambda: (s := fleet.statuses().get(victim.instance_id)) and s.pid != victim.pid,
        PATIENCE_S,
    )
    again = fleet.statuses()[victim.instance_id]
    assert (again.step, again.episode) >= (victim.step, victim.episode), "counters continue"
    until("it plays", lambda: fleet.statuses()[victim.instance_id].step > again.step, PATIENCE_S)
    shown_by(fleet)


def test_validate_passes_and_names_a_missing_worker(fleet: FleetUnderTest):
    shown_by(fleet)
    # A busy machine may not keep up at first; a broken fleet fails every time.
    deadline = time.monotonic() + 2 * PATIENCE_S
    while True:
        checked = fleet.command("validate", "--json")
        answer = json.loads(checked.stdout)
        if answer["passed"] or time.monotonic() > deadline:
            break
    assert answer["passed"], checked.stdout
    assert checked.returncode == 0
    facts = {check["name"]: " ".join(check["facts"]) for check in answer["checks"]}
    assert "cpu: 1 of 1 sessions in use" in facts["session management"]
    assert "HTTP 200" in facts["worker streaming"]
    assert "HTTP 503" in facts["worker streaming"]
    assert "frames/s" in facts["FPS and quality"]
    assert "streamed at 640×360" in facts["resolution"]
    more = fleet.command("validate", "--workers", "3")
    assert more.returncode == 1
    assert "omega-2 is missing" in more.stdout


def test_a_second_start_fails_and_changes_nothing(fleet: FleetUnderTest):
    before = {status.pid for status in fleet.statuses().values()}
    second = fleet.command("start", "--mode", "train", "--workers", "2")
    assert second.returncode != 0
    assert "already running" in second.stdout + second.stderr
    assert "Traceback" not in second.stdout + second.stderr
    assert {status.pid for status in fleet.statuses().values()} == before


def test_stop_leaves_no_process_and_no_shared_memory(fleet: FleetUnderTest):
    """End the shared fleet; must be its last test."""
    members = fleet.tree()
    files = shared_memory(members)
    assert files
    assert len(members) >= 6, "orchestrator, learner, two workers and two game engines"
    stopped = fleet.command("stop", "--all")
    assert stopped.returncode == 0, stopped.stderr
    fleet.process.wait(GENEROUS_S)
    until("every process has ended", lambda: not any(map(runs, members)))
    assert not [file for file in files if file.exists()]
    for name in ("orchestrator", "learner", "omega-0", "omega-1"):
        assert "Traceback" not in fleet.log(name)
    assert "Traceback" not in fleet.output.read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_everything_in_ten_seconds(tmp_path: Path, number: int):
    """With real workers: see ``test_play_and_resume`` for SIGINT, and above for SIGTERM."""
    with run_gameless_fleet(tmp_path, "--workers", "1") as fleet:
        shown_by(fleet)
        members = fleet.tree()
        assert fleet.stop(number) < 10 * slowness()
        until("every process has ended", lambda: not any(map(runs, members)))
        assert fleet.process.returncode == 0


def test_children_end_with_a_killed_orchestrator(tmp_path: Path):
    """With real workers: see ``faults/test_kills``."""
    with run_gameless_fleet(tmp_path, "--workers", "1") as fleet:
        shown_by(fleet)
        members = fleet.tree()
        fleet.process.kill()
        until("every process has ended", lambda: not any(map(runs, members)))
