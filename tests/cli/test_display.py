"""Fleet table and line output of ``metabonk start``."""

import io

import pytest
from rich.console import Console

from metabonk.cli.display import SUMMARY_INTERVAL_S, Lines, draw, summary
from metabonk.messages.base import Problem
from metabonk.messages.fleet import Fleet, NodeStatus, Start
from metabonk.messages.learner import LearnerStatus
from metabonk.messages.workers import Mode, StreamState
from metabonk.orchestrator.processes.supervisor import ChildState
from tests.support.statuses import guest_status, status

PAGE = "http://localhost:5173"
LEARNER = LearnerStatus(
    pid=1, uptime_s=1, policy_version=12, steps_trained=3000, steps_per_s=400, steps_dropped=0,
    updates=5, policy_lag=0.5,
 waiting=0.0,
)  # fmt: skip
LIVE = status(
    0, stream_state=StreamState.LIVE, stream_backend="av:libx264", frames_fps=29.97,
    steps_per_s=7.5, episode_return=-12.25, stream_active_clients=2,
)  # fmt: skip
STANDBY = status(1, steps_per_s=250.0)
PROCESSES = dict.fromkeys(("learner", "omega-0", "omega-1", "omega-2"), ChildState.RUNNING)


def fleet(*problems: Problem, live: bool = True) -> Fleet:
    first = LIVE if live else status(0)
    return Fleet(
        run="run-1",
        game="doom:basic",
        mode=Mode.TRAIN,
        workers={"omega-0": first, "omega-1": STANDBY},
        learner=LEARNER,
        problems=list(problems),
    )


def render(snapshot: Fleet, processes: dict[str, ChildState], width: int = 120) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(draw(snapshot, processes, PAGE))
    return out.getvalue()


def test_the_table_has_a_row_with_figures_for_each_worker():
    text = render(fleet(), PROCESSES)
    rows = {line.split()[1]: line for line in text.splitlines() if "omega-" in line}
    for words in ("live", "30.0", "8", "-12.2", "2", "av:libx264"):
        assert words in rows["omega-0"]
    assert "standby" in rows["omega-1"] and "250" in rows["omega-1"]
    assert "starting" in rows["omega-2"]
    assert PAGE in text and "doom:basic" in text
    assert "version 12" in text and "400 steps/s" in text


def test_a_dead_worker_has_its_problem_and_no_stale_figures():
    problem = Problem(message="omega-0 was killed", action="it is started again in 3 s")
    text = render(fleet(problem), {**PROCESSES, "omega-0": ChildState.WAITING})
    row = next(line for line in text.splitlines() if "omega-0 " in line)
    assert "waiting" in row and "30.0" not in row
    assert "omega-0 was killed" in text and "started again in 3 s" in text


@pytest.mark.parametrize("width", [60, 80])
def test_a_narrow_terminal_has_fewer_columns_and_whole_names(width: int):
    lines = render(fleet(), PROCESSES, width).splitlines()
    rows = [line for line in lines if "omega-" in line]
    assert [row.split()[1] for row in rows] == ["omega-0", "omega-1", "omega-2"]
    assert all(len(line) <= width and "…" not in line for line in rows)
    assert ("viewers" in "".join(lines)) == (width == 80)


def test_a_start_says_what_is_awaited_and_for_how_long():
    snapshot = fleet()
    snapshot.starting["omega-2"] = Start(waited_s=4.2, reason="waits for its turn")
    assert "omega-2 waits for its turn (4 s)" in render(snapshot, PROCESSES)


def test_guests_have_rows_and_a_hub_has_neither_run_nor_learner():
    hub = Fleet(
        run=None,
        game=None,
        mode=None,
        workers={"CartPole-v1-0": guest_status(0, stream_state=StreamState.LIVE)},
        learner=None,
        problems=[],
    )
    text = render(hub, {"CartPole-v1-0": ChildState.RUNNING})
    assert "live" in next(line for line in text.splitlines() if "CartPole-v1-0" in line)
    assert "run" not in text.replace("return", "")
    assert summary(hub).startswith("1 guests, 1 live")
    out = io.StringIO()
    Lines(out, PAGE).show(hub, {"CartPole-v1-0": ChildState.RUNNING})
    assert "CartPole-v1-0: live" in out.getvalue()


def test_an_empty_hub_says_how_to_broadcast():
    hub = Fleet(run=None, game=None, mode=None, workers={}, learner=None, problems=[])
    assert "metabonk.Broadcast(env)" in render(hub, {})
    assert summary(hub) == "nothing is broadcast"


def test_brackets_in_a_message_are_not_markup():
    assert "[red]x[/red]" in render(fleet(Problem(message="[red]x[/red]", action="y")), PROCESSES)


def test_the_summary_covers_workers_and_learner():
    assert summary(fleet()) == (
        "2 workers, 1 live, 258 steps/s; last returns -12.2; "
        "version 12, 3000 steps trained, 400 steps/s"
    )


def test_lines_report_each_change_once_and_a_periodic_summary():
    out, now = io.StringIO(), [0.0]
    lines = Lines(out, PAGE, lambda: now[0])
    for _ in range(3):
        lines.show(fleet(), PROCESSES)
    written = out.getvalue().splitlines()
    assert written == [
        f"page: {PAGE}",
        "learner: running",
        "omega-0: live (av:libx264)",
        "omega-1: standby",
        "omega-2: starting",
    ]
    lines.show(fleet(live=False), PROCESSES)
    now[0] = SUMMARY_INTERVAL_S
    lines.show(fleet(live=False), PROCESSES)
    lines.show(fleet(live=False), PROCESSES)
    assert out.getvalue().splitlines()[5:] == ["omega-0: standby", summary(fleet(live=False))]


def test_a_reduced_quality_is_shown_in_the_table_and_as_a_line():
    quality = "960×540 at 30 frames/s instead of 1280×720 at 30: this machine can't keep up"
    size = {"spectator_width": 960, "spectator_height": 540}
    stepped = LIVE.model_copy(update={"stream_quality": quality, **size})
    reduced = fleet().model_copy(update={"workers": {"omega-0": stepped, "omega-1": STANDBY}})
    assert "1280×720" in render(fleet(), PROCESSES)
    assert "960×540" in render(reduced, PROCESSES)
    out = io.StringIO()
    Lines(out, PAGE, lambda: 0.0).show(reduced, PROCESSES)
    assert f"omega-0: live (av:libx264), {quality}" in out.getvalue().splitlines()


def test_a_problem_is_reported_once_despite_changing_seconds_and_again_when_it_returns():
    out = io.StringIO()
    lines = Lines(out, PAGE, lambda: 0.0)
    for seconds in (5, 6, 7):
        lines.show(fleet(Problem(message=f"silent for {seconds} s", action="look")), {})
    lines.show(fleet(), {})
    lines.show(fleet(Problem(message="silent for 9 s", action="look")), {})
    assert out.getvalue().splitlines()[1:] == [
        "problem: silent for 5 s; look",
        "problem: silent for 9 s; look",
    ]


def test_workers_of_one_node_follow_each_other_below_the_list_of_nodes():
    node = {"address": "http://10.0.0.2:8070", "cores": 16, "gpus": [], "sessions": 2}
    nodes = [
        NodeStatus(node="a", state="present", workers=["omega-0", "omega-2"], **node),
        NodeStatus(node="b", state="silent", workers=["omega-1"], **node),
    ]
    workers = {"omega-0": LIVE.model_copy(update={"node": "a"})}
    snapshot = fleet().model_copy(update={"nodes": nodes, "workers": workers})
    text = render(snapshot, PROCESSES)
    rows = [line.split()[1:4:2] for line in text.splitlines() if "omega-" in line]
    assert rows == [["omega-0", "a"], ["omega-2", "a"], ["omega-1", "b"]]
    assert "a (2 workers, 2 sessions), b (1 workers, 2 sessions, silent)" in text
    out = io.StringIO()
    Lines(out, PAGE).show(snapshot, PROCESSES)
    assert "omega-0: live on a (av:libx264)" in out.getvalue()
