"""Guests: the processes that show environments of other trainers, started and ended with these."""

from collections.abc import Sequence
from pathlib import Path

from metabonk.encoding.sessions.gpu_selection import gpu_of_worker
from metabonk.encoding.sessions.nvml import Gpu
from metabonk.messages.base import Problem
from metabonk.orchestrator.fleet.state import FleetState
from metabonk.orchestrator.guests.ring_finder import RingFinder
from metabonk.orchestrator.processes.children import common_arguments, metabonk
from metabonk.orchestrator.processes.faults import Faults
from metabonk.orchestrator.processes.supervisor import ChildSpec, Supervisor
from metabonk.system.log_files import LogRotation


class Guests:
    """Keeps a guest running for each ring that is found.

    Args:
        finder: of rings.
        state: of the fleet or the hub, whose roster gets the guests.
        supervisor: runs them.
        rotation: of their logs.
        settings_file: holds the settings for them.
        folder: of the run, or of the hub.
        gpus: usable ones, which guests are spread over.
    """

    def __init__(
        self,
        finder: RingFinder,
        state: FleetState,
        supervisor: Supervisor,
        rotation: LogRotation,
        *,
        settings_file: Path,
        folder: Path,
        gpus: Sequence[Gpu],
    ) -> None:
        self._finder = finder
        self._state = state
        self._supervisor = supervisor
        self._rotation = rotation
        self._common = common_arguments(settings_file, folder)
        self._gpus = gpus
        self._shown: dict[str, Path] = {}
        self._faults = Faults()

    def tick(self) -> None:
        """Start the guests of new rings, and end those whose ring has gone."""
        found = self._finder.guests
        for name in [name for name, ring in self._shown.items() if found.get(name) != ring]:
            del self._shown[name]
            self._supervisor.remove(name)
            self._state.remove(name)
        running = self._supervisor.states()
        for name, ring in found.items():
            # A guest of the same name may still be ending.
            if name not in self._shown and name not in running:
                with self._faults.survive("the start of a guest"):
                    self._add(name, ring)

    def problems(self) -> list[Problem]:
        """Report rings that can't be shown, and failures."""
        return [*self._finder.problems(), *self._faults.problems()]

    def _add(self, name: str, ring: Path) -> None:
        """Add a guest.

        Raises:
            OSError: there is no port for it.
        """
        member = self._state.roster.add_guest(name)
        self._shown[name] = ring
        gpu = gpu_of_worker(member.index, self._gpus)
        log = self._state.settings.paths.logs / f"{name}.log"
        self._rotation.add(log)

        def command() -> tuple[str, ...]:
            return metabonk(
                *("guest", *self._common, "--index", str(member.index), "--name", name),
                *("--port", str(self._state.roster.renew_port(name)), "--ring", str(ring)),
            )

        self._supervisor.add(
            ChildSpec(
                name,
                command,
                log,
                vital=False,
                environment=gpu.environment if gpu else {},
                forked=True,
                may_end=True,
                starts_quickly=True,
            )
        )
