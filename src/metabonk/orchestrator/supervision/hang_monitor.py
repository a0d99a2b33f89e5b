"""Finds children that hang, from their start on."""

import errno
import logging
import socket
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import httpx
from pydantic import ValidationError

from metabonk.messages.air import AIR
from metabonk.messages.base import Problem
from metabonk.messages.learner import LearnerStatus
from metabonk.messages.program import PROGRAM
from metabonk.messages.workers import Mode, WorkerStatus
from metabonk.orchestrator.fleet.state import FleetState
from metabonk.orchestrator.processes import go2rtc, ray_agents
from metabonk.orchestrator.processes.children import INFERENCE, LEARNER
from metabonk.orchestrator.processes.faults import Faults
from metabonk.orchestrator.supervision.liveness import Liveness, Stall
from metabonk.system import peers
from metabonk.system.periodic_thread import PeriodicThread
from metabonk.system.process_ids import ProcessId
from metabonk.system.thread_usage import session_usage

log = logging.getLogger(__name__)

INTERVAL_S = 1.0
RESPONSE_TIMEOUT_S = 2.0

MAX_ASKED_AT_ONCE = 64
"""Children that don't answer cost the time of one, not one after the other."""

OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


@dataclass(frozen=True, slots=True)
class Hang:
    """A child that only a restart helps.

    Attributes:
        process: the child.
        reason: continues "omega-0 was stopped because it …".
        is_silent: it does not answer either, as when native code keeps Python's lock.
    """

    process: ProcessId
    reason: str
    is_silent: bool


class HangMonitor:
    """Thread that follows the progress of the children, and polls the learner.

    A worker's progress comes with its heartbeats. One that sends none is asked, as are all others
    that have to be, at the same time. Of go2rtc, inference servers and the program, an answer is
    all that can be expected.

    Args:
        state: has the workers' reports, receives the learner's.
        clock: monotonic seconds, without times when this process was suspended.
    """

    name = "hang-monitor"

    def __init__(self, state: FleetState, clock: Callable[[], float]) -> None:
        self._state = state
        self._clock = clock
        self._liveness = Liveness()
        self._faults = Faults()
        self._running: Mapping[str, ProcessId] = {}
        self._stalls: Mapping[str, Stall] = {}
        self._silent: frozenset[str] = frozenset()
        # Without keep-alive no connection outlives its request, so that nothing is left to close.
        self._client = httpx.Client(
            timeout=RESPONSE_TIMEOUT_S,
            trust_env=False,
            limits=httpx.Limits(max_keepalive_connections=0),
        )
        self._answers: Counter[str] = Counter()
        self._threads = ThreadPoolExecutor(MAX_ASKED_AT_ONCE, "ask")
        self._thread = PeriodicThread(self._tick, INTERVAL_S, name=self.name)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread, without waiting for answers."""
        self._thread.close(0.0)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def revive(self) -> bool:
        """Start the thread again if an error has ended it; return whether it was."""
        return self._thread.revive()

    def watch(self, running: Mapping[str, ProcessId]) -> None:
        """Follow these children; others are forgotten."""
        self._running = running

    def hangs(self) -> list[Hang]:
        """Return the children that hang, as of the last look; some may have ended since."""
        return [
            Hang(stall.process, f"it {stall.description}", name in self._silent)
            for name, stall in self._stalls.items()
            if stall.is_hung
        ]

    def problems(self) -> list[Problem]:
        """Report the children without progress, but for those that the fleet reports as silent."""
        silent = self._state.silent()
        stalls = [
            Problem(
                message=f"{name} {stall.description}",
                action=f"it is restarted if it hangs; see logs/{name}.log",
            )
            for name, stall in self._stalls.items()
            if stall.is_reportable
            and name not in silent
            and self._running.get(name) == stall.process
        ]
        return [*stalls, *self._faults.problems()]

    def _tick(self) -> None:
        stalls: Mapping[str, Stall] = {}
        with self._faults.survive("the look for processes that hang"):
            stalls = self._look()
        self._stalls = stalls

    def _look(self) -> Mapping[str, Stall]:
        running = self._running
        reports = {**self._state.workers(), **self._ask(running)}
        now = self._clock()
        self._liveness.keep(set(running))
        for name, process in running.items():
            self._liveness.observe(name, process, self._turns(name, process, reports), now)
        for name, process in self._liveness.suspects(now).items():
            self._liveness.excuse(name, session_usage(process), now)
        return self._liveness.stalls(now)

    def _turns(
        self,
        name: str,
        process: ProcessId,
        reports: Mapping[str, LearnerStatus | WorkerStatus],
    ) -> dict[str, int] | None:
        if name in self._answers:
            return {"serve": self._answers[name]}
        if name == AIR:
            on_air = self._state.on_air.report
            return {"send": on_air.turns} if on_air and on_air.pid == process.pid else None
        report = reports.get(name)
        if report is None or report.pid != process.pid:  # A worker's may be its predecessor's.
            return None
        return {str(loop): count for loop, count in report.turns.items()}

    def _ask(self, running: Mapping[str, ProcessId]) -> dict[str, LearnerStatus | WorkerStatus]:
        """Return the statuses of the learner and of workers whose heartbeats don't arrive."""
        silent = sorted(self._state.silent().keys() & running.keys())
        asked = {name: self._threads.submit(self._ask_worker, name) for name in silent}
        others = {
            name: self._threads.submit(ask)
            for name in running
            if (ask := self._question(name)) is not None
        }
        learner = self._ask_learner() if LEARNER in running else None
        answers = {name: answer.result() for name, answer in asked.items()}
        for name, other in others.items():
            self._answers[name] += other.result()
        self._silent = frozenset(name for name, answer in answers.items() if answer is None)
        if self._state.settings.mode is Mode.TRAIN:
            self._state.set_learner(learner)
        found: dict[str, LearnerStatus | WorkerStatus | None] = {**answers, LEARNER: learner}
        return {name: status for name, status in found.items() if status is not None}

    def _ask_learner(self) -> LearnerStatus | None:
        settings = self._state.settings
        content = self._get(settings.internal_authority(settings.ports.learner))
        try:
            return None if content is None else LearnerStatus.model_validate_json(content)
        except ValidationError as error:
            log.warning("learner: malformed status: %s", error)
            return None

    def _ask_worker(self, name: str) -> WorkerStatus | None:
        if (member := self._state.roster.find(name)) is None:
            return None
        content = self._get(self._state.settings.internal_authority(member.port))
        try:
            return None if content is None else WorkerStatus.model_validate_json(content)
        except ValidationError as error:
            log.warning("%s: malformed status: %s", name, error)
            return None

    def _question(self, name: str) -> Callable[[], bool] | None:
        """Return how to ask a child that only answers; None for one that reports turns."""
        if name == go2rtc.NAME:
            return self._ask_go2rtc
        if name == PROGRAM:
            return self._ask_program
        if name == ray_agents.NAME:
            return partial(self._ask_peer, ray_agents.peer_name(self._state.settings))
        if name.startswith(INFERENCE):
            number = int(name.removeprefix(INFERENCE))
            learner = self._state.settings.ports.learner
            return partial(self._ask_peer, peers.inference_server_name(learner, number))
        return None

    def _ask_peer(self, name: str) -> bool:
        """Return whether the process that listens under a name answers."""
        try:
            return peers.answers(name, RESPONSE_TIMEOUT_S)
        except OSError as error:
            _raise_if_out_of_resources(error)
            return False

    def _ask_go2rtc(self) -> bool:
        """Return whether it answers."""
        with socket.socket(socket.AF_UNIX) as api:
            api.settimeout(RESPONSE_TIMEOUT_S)
            try:
                api.connect(str(go2rtc.socket_path(self._state.settings)))
                api.sendall(b"GET /api/streams HTTP/1.0\r\nHost: localhost\r\n\r\n")
                return api.recv(len(b"HTTP/1.")) == b"HTTP/1."
            except OSError as error:
                _raise_if_out_of_resources(error)
                return False

    def _ask_program(self) -> bool:
        """Return whether it answers."""
        if (port := self._state.program.port) is None:
            return False
        return self._get(self._state.settings.internal_authority(port), "healthz") is not None

    def _get(self, authority: str, path: str = "status") -> bytes | None:
        """Return what a child answers, by default its status; None if it does not.

        Raises:
            OSError: this process could not even ask.
        """
        try:
            return self._client.get(f"http://{authority}/{path}").raise_for_status().content
        except httpx.HTTPError as error:
            _raise_if_out_of_resources(error)
            return None


def _raise_if_out_of_resources(error: Exception) -> None:
    """Raise the cause of a failed request if this process lacked something for it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in OUT_OF_RESOURCES:
            raise cause
        cause = cause.__cause__ or cause.__context__
