"""The workers that the head gives to this node: started and ended as it orders."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from metabonk.encoding.sessions.nvml import Gpu
from metabonk.messages.base import Problem
from metabonk.messages.nodes import Grant
from metabonk.messages.workers import Counters, instance_id
from metabonk.orchestrator.fleet.state import FleetState
from metabonk.orchestrator.processes import children
from metabonk.orchestrator.processes.faults import Faults
from metabonk.orchestrator.processes.supervisor import ChildSpec, Supervisor
from metabonk.runs.layout import STARTS_DIR
from metabonk.settings import Settings, write_settings
from metabonk.system.log_files import LogRotation


class NodeWorkers:
    """Keeps the ordered workers running. ``tick`` belongs to the supervising thread.

    Args:
        settings: of the node.
        settings_file: holds them for the workers; written with their number.
        run_dir: folder of the run on this node.
        state: of the node, whose roster gets the workers.
        supervisor: runs them.
        rotation: of their logs.
        gpus: usable ones, which the workers are spread over.
    """

    def __init__(
        self,
        settings: Settings,
        settings_file: Path,
        run_dir: Path,
        state: FleetState,
        supervisor: Supervisor,
        rotation: LogRotation,
        gpus: Sequence[Gpu],
    ) -> None:
        self._settings = settings
        self._settings_file = settings_file
        self._run_dir = run_dir
        self._state = state
        self._supervisor = supervisor
        self._rotation = rotation
        self._gpus = gpus
        self._common = children.common_arguments(settings_file, run_dir)
        self._lock = threading.Lock()
        self._wanted: Mapping[int, Grant] = {}
        self._shown: set[int] = set()
        self._held: frozenset[int] = frozenset()
        self._has_inference = False
        self._faults = Faults()

    def order(self, grants: Iterable[Grant]) -> None:
        """Take the head's orders; ``tick`` carries them out. Any thread."""
        with self._lock:
            self._wanted = {grant.worker_index: grant for grant in grants}

    def held(self) -> list[int]:
        """Return the workers that have a process or soon will; any thread."""
        with self._lock:
            return sorted(self._held | self._wanted.keys())

    def tick(self) -> None:
        """Start what is ordered, and end what is not."""
        with self._lock, self._faults.survive("the start of a worker"):
            for index in sorted(self._shown - self._wanted.keys()):
                self._shown.discard(index)
                self._supervisor.remove(instance_id(index))
                self._state.remove(instance_id(index))
            running = self._supervisor.states()
            # One of the same name may still be ending.
            new = [
                grant
                for index, grant in sorted(self._wanted.items())
                if index not in self._shown and instance_id(index) not in running
            ]
            if new:
                self._prepare(len(self._wanted))
            for grant in new:
                self._add(grant)
            self._held = frozenset(
                index
                for index in (*self._shown, *self._held)
                if index in self._shown or instance_id(index) in self._supervisor.states()
            )

    def problems(self) -> list[Problem]:
        """Report failures."""
        return self._faults.problems()

    def _prepare(self, count: int) -> None:
        """Tell new workers how many there are here, and start what decides for them."""
        if count != self._settings.workers:
            self._settings = self._settings.model_copy(update={"workers": count})
            write_settings(self._settings, self._settings_file)
        if not self._has_inference:
            self._has_inference = True
            for spec in children.inference_specs(self._settings, self._common, self._gpus):
                self._run(spec)

    def _add(self, grant: Grant) -> None:
        index = grant.worker_index
        starts = self._run_dir / STARTS_DIR / instance_id(index)
        starts.parent.mkdir(exist_ok=True)
        starts.write_bytes(b"%d\n" % grant.start)
        known = self._state.counters(index)
        # This node may know of episodes whose report has not arrived.
        counters = Counters(max(known.step, grant.step), max(known.episode, grant.episode))
        self._state.set_counters(index, counters)
        member = self._state.roster.add_worker(index)
        self._shown.add(index)
        spec = children.worker_spec(
            self._settings, self._common, index, member.seat, self._gpus, self._state.counters
        )
        self._run(spec)

    def _run(self, spec: ChildSpec) -> None:
        # Not vital: what this machine lacks is reported to the head, and others may have it.
        self._rotation.add(spec.log)
        self._supervisor.add(replace(spec, vital=False))
