"""Display of ``metabonk start``: a live table on a terminal, otherwise plain lines."""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import IO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from metabonk.messages import (
    Fleet,
    LearnerStatus,
    NodeStatus,
    StreamState,
    WorkerKind,
    WorkerStatus,
)
from metabonk.orchestrator import go2rtc, ray_agents
from metabonk.orchestrator.children import INFERENCE
from metabonk.orchestrator.supervisor import ChildState
from metabonk.printable import printable
from metabonk.program_messages import PROGRAM

SUMMARY_INTERVAL_S = 10.0
STYLES = {
    StreamState.LIVE: "bold green",
    StreamState.STARTING: "yellow",
    StreamState.STANDBY: "cyan",
    StreamState.ERROR: "bold red",
}
NOTHING = "–"
LEARNER = "learner"
HOW_TO_BROADCAST = "nothing is broadcast; env = metabonk.Broadcast(env) in your training does that"


class LiveTable:
    """Table that is redrawn in place.

    Args:
        console: a terminal.
        page: URL of the page.
    """

    def __init__(self, console: Console, page: str) -> None:
        self._page = page
        # Drawn by show() alone: rich's own thread would keep drawing while the fleet stops.
        # Nothing is redirected: whoever wrote to standard error would wait for the terminal.
        self._live = Live(
            console=console,
            auto_refresh=False,
            vertical_overflow="crop",
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def close(self) -> None:
        """Restore the terminal."""
        self._live.stop()

    def show(self, fleet: Fleet, processes: Mapping[str, ChildState]) -> None:
        """Draw the fleet."""
        self._live.update(draw(fleet, processes, self._page), refresh=True)


class Lines:
    """A line for every change of state, and a summary every ten seconds.

    Args:
        out: file to write to.
        page: URL of the page.
        clock: monotonic seconds.
    """

    def __init__(
        self, out: IO[str], page: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._out = out
        self._clock = clock
        self._known: dict[str, str] = {}
        self._problems: set[str] = set()
        self._summary_at = clock() + SUMMARY_INTERVAL_S
        self._write(f"page: {page}")

    def close(self) -> None:
        """Do nothing: there is nothing to restore."""

    def show(self, fleet: Fleet, processes: Mapping[str, ChildState]) -> None:
        """Write what has changed since the last call."""
        states = dict(_states(fleet, processes))
        for name, state in states.items():
            if self._known.get(name) != state:
                self._write(f"{name}: {state}")
        problems = {_without_numbers(problem.message): problem for problem in fleet.problems}
        for key, problem in problems.items():
            if key not in self._problems:
                self._write(f"problem: {problem.message}; {problem.action}")
        self._problems = set(problems)
        self._known = states
        now = self._clock()
        if now >= self._summary_at:
            self._summary_at = now + SUMMARY_INTERVAL_S
            self._write(summary(fleet))

    def _write(self, line: str) -> None:
        self._out.write(f"{printable(line)}\n")
        self._out.flush()


def make_display(console: Console, page: str) -> LiveTable | Lines:
    """Return the display for a terminal, or for whatever else the output goes to."""
    return LiveTable(console, page) if console.is_terminal else Lines(console.file, page)


def draw(fleet: Fleet, processes: Mapping[str, ChildState], page: str) -> RenderableType:
    """Render the fleet: header, workers and problems."""
    head = Table.grid(padding=(0, 2))
    head.add_row(Text("page", "dim"), Text(page, "bold underline"))
    if fleet.run is not None:
        head.add_row(Text("run", "dim"), Text(f"{fleet.run} ({fleet.game}, {fleet.mode})"))
    elif not processes:
        head.add_row(Text("hub", "dim"), Text(HOW_TO_BROADCAST))
    for name, process in processes.items():
        if not _is_worker(name):
            words = _learner(fleet.learner, process) if name == LEARNER else process
            head.add_row(Text(name, "dim"), Text(words))
    if fleet.nodes:
        head.add_row(Text("nodes", "dim"), Text(", ".join(map(_node, fleet.nodes))))
    table = Table(expand=False)
    table.add_column("worker")
    if fleet.nodes:
        table.add_column("node")
    table.add_column("state", min_width=10)
    for title in ("FPS", "size", "steps/s", "return", "viewers"):
        table.add_column(title, justify="right")
    table.add_column("backend")
    nodes = _nodes_of_workers(fleet)
    for name, process in _by_node(processes, nodes):
        if _is_worker(name):
            row = _row(name, fleet.workers.get(name), process)
            if fleet.nodes:
                row.insert(1, Text(nodes.get(name, NOTHING)))
            table.add_row(*row)
    problems = [
        Text(f"{problem.message}\n  → {problem.action}", "yellow") for problem in fleet.problems
    ]
    return Group(head, table, *problems, Text("Ctrl-C stops everything", "dim"))


def summary(fleet: Fleet) -> str:
    """Summarize the fleet in one line."""
    workers = list(fleet.workers.values())
    if not workers and fleet.run is None:
        return "nothing is broadcast"
    live = sum(worker.stream_state is StreamState.LIVE for worker in workers)
    steps = sum(worker.steps_per_s for worker in workers)
    returns = [worker.episode_return for worker in workers if worker.episode_return is not None]
    guests = sum(worker.kind is WorkerKind.GUEST for worker in workers)
    counts = {"workers": len(workers) - guests, "guests": guests}
    shown = [f"{count} {what}" for what, count in counts.items() if count] or ["0 workers"]
    parts = [f"{', '.join(shown)}, {live} live, {steps:.0f} steps/s"]
    if returns:
        parts.append(f"last returns {', '.join(f'{value:.1f}' for value in returns)}")
    if fleet.learner is not None:
        parts.append(_learner(fleet.learner, ChildState.RUNNING))
    return "; ".join(parts)


def _node(node: NodeStatus) -> str:
    silent = "" if node.state == "present" else f", {node.state}"
    return f"{node.node} ({len(node.workers)} workers, {node.sessions} sessions{silent})"


def _nodes_of_workers(fleet: Fleet) -> dict[str, str]:
    """Return the node of each worker that has one."""
    return {name: node.node for node in fleet.nodes for name in node.workers}


def _by_node(
    processes: Mapping[str, ChildState], nodes: Mapping[str, str]
) -> list[tuple[str, ChildState]]:
    """Return processes with those of one node after another; those without one come first."""
    return sorted(processes.items(), key=lambda process: nodes.get(process[0], ""))


def _states(fleet: Fleet, processes: Mapping[str, ChildState]) -> Iterator[tuple[str, str]]:
    for name, process in processes.items():
        worker = fleet.workers.get(name)
        if name == LEARNER and fleet.learner is not None:
            yield name, "running"
        elif not _is_worker(name) and name != LEARNER:
            yield name, process.value
        elif worker is not None and process is ChildState.RUNNING:
            backend = f" ({worker.stream_backend})" if worker.stream_backend else ""
            quality = f", {worker.stream_quality}" if worker.stream_quality else ""
            where = f" on {worker.node}" if worker.node else ""
            yield name, f"{worker.stream_state}{where}{backend}{quality}"
        else:
            yield name, _process_state(process)


def _is_worker(name: str) -> bool:
    """Tell whether this is the name of a worker or a guest; no guest has that of another child."""
    others = (LEARNER, go2rtc.NAME, PROGRAM, ray_agents.NAME)
    return name not in others and not name.startswith(INFERENCE)


def _without_numbers(sentence: str) -> str:
    """Return a problem's identity: its text without the numbers that keep changing."""
    return re.sub(r"[0-9.]+", "#", sentence)


def _row(name: str, worker: WorkerStatus | None, process: ChildState) -> list[Text]:
    if worker is None or process is not ChildState.RUNNING:
        return [Text(name), Text(_process_state(process), "yellow"), *([Text(NOTHING)] * 6)]
    last_return = worker.episode_return
    return [
        Text(name),
        Text(worker.stream_state, STYLES[worker.stream_state]),
        Text(f"{worker.frames_fps:.1f}" if worker.stream_backend else NOTHING),
        _size(worker),
        Text(f"{worker.steps_per_s:.0f}"),
        Text(NOTHING if last_return is None else f"{last_return:.1f}"),
        Text(str(worker.stream_active_clients)),
        Text(worker.stream_backend or NOTHING),
    ]


def _size(worker: WorkerStatus) -> Text:
    """Render the size of the stream, highlighted if it is reduced."""
    if not worker.stream_backend:
        return Text(NOTHING)
    size = f"{worker.spectator_width}×{worker.spectator_height}"
    return Text(size, "yellow" if worker.stream_quality else "")


def _process_state(process: ChildState) -> str:
    return "starting" if process is ChildState.RUNNING else process.value


def _learner(learner: LearnerStatus | None, process: ChildState) -> str:
    if learner is None:
        return _process_state(process)
    return (
        f"version {learner.policy_version}, {learner.steps_trained} steps trained, "
        f"{learner.steps_per_s:.0f} steps/s"
    )
