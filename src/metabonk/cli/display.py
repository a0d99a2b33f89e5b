"""Display of ``metabonk start``: a live table on a terminal, otherwise plain lines."""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Literal

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.table import Table
from rich.text import Text

from metabonk.messages.fleet import Fleet, NodeStatus
from metabonk.messages.learner import LearnerStatus
from metabonk.messages.program import PROGRAM
from metabonk.messages.workers import StreamState, WorkerKind, WorkerStatus
from metabonk.orchestrator.processes import go2rtc, ray_agents
from metabonk.orchestrator.processes.children import INFERENCE
from metabonk.orchestrator.processes.supervisor import ChildState
from metabonk.printable import printable

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
    starts = [
        Text(f"{name} {start.reason} ({start.waited_s:.0f} s)", "dim")
        for name, start in fleet.starting.items()
    ]
    problems = [
        Text(f"{problem.message}\n  → {problem.action}", "yellow") for problem in fleet.problems
    ]
    table = WorkerTable(fleet, processes)
    return Group(head, table, *starts, *problems, Text("Ctrl-C stops everything", "dim"))


class WorkerTable:
    """Table of the workers, with as many columns as the terminal has room for.

    Args:
        fleet: whose workers they are.
        processes: states of its processes, by name.
    """

    def __init__(self, fleet: Fleet, processes: Mapping[str, ChildState]) -> None:
        self._fleet = fleet
        self._processes = processes

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table for a width."""
        fleet, nodes = self._fleet, _nodes_of_workers(self._fleet)
        columns = [column for column in COLUMNS if options.max_width >= column.min_width]
        table = Table(expand=False)
        table.add_column("worker", no_wrap=True)
        if fleet.nodes:
            table.add_column("node", no_wrap=True)
        for column in columns:
            table.add_column(column.title, justify=column.justify, no_wrap=True)
        for name, process in _by_node(self._processes, nodes):
            if not _is_worker(name):
                continue
            row = [Text(name)]
            if fleet.nodes:
                row.append(Text(nodes.get(name, NOTHING)))
            worker = fleet.workers.get(name)
            if worker is None or process is not ChildState.RUNNING or name in fleet.starting:
                row.append(Text(_process_state(process), "yellow"))
                row += [Text(NOTHING)] * (len(columns) - 1)
            else:
                row += [column.cell(worker) for column in columns]
            table.add_row(*row)
        yield table


@dataclass(frozen=True, slots=True)
class Column:
    """Column of the table of workers.

    Attributes:
        title: of the column.
        cell: returns what it shows of a worker.
        justify: of its cells.
        min_width: of a terminal that has room for it, characters.
    """

    title: str
    cell: Callable[[WorkerStatus], Text]
    justify: Literal["left", "right"] = "right"
    min_width: int = 0


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


def _state(worker: WorkerStatus) -> Text:
    return Text(worker.stream_state, STYLES[worker.stream_state])


def _fps(worker: WorkerStatus) -> Text:
    return Text(f"{worker.frames_fps:.1f}" if worker.stream_backend else NOTHING)


def _return(worker: WorkerStatus) -> Text:
    return Text(NOTHING if worker.episode_return is None else f"{worker.episode_return:.1f}")


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


COLUMNS = (
    Column("state", _state, "left"),
    Column("FPS", _fps),
    Column("size", _size, min_width=70),
    Column("steps/s", lambda worker: Text(f"{worker.steps_per_s:.0f}")),
    Column("return", _return),
    Column("viewers", lambda worker: Text(str(worker.stream_active_clients)), min_width=62),
    Column("backend", lambda worker: Text(worker.stream_backend or NOTHING), "left", min_width=100),
)
"""The columns after the names, in their order."""
