"""Processes that start, and what is awaited of each. Pure: the caller passes the time."""

from collections.abc import Mapping

from metabonk.messages.fleet import Start
from metabonk.orchestrator.processes.supervisor import ChildState

FIRST_TURN = "waits for its turn: processes start one after another, once PyTorch is imported"
AGAIN = "starts again: {ending}"
BEGINS = "has started, and has not reported yet"


class Starts:
    """Start of each child, from when it is first wanted until it is known to answer."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self._endings: dict[str, str] = {}

    def on_exit(self, name: str, message: str, now: float) -> None:
        """Note the end of a child: from now on the next one is awaited.

        Args:
            name: of the child.
            message: how it ended.
            now: monotonic seconds.
        """
        self._endings[name] = message
        self._since[name] = now

    def update(self, states: Mapping[str, ChildState], now: float) -> dict[str, Start]:
        """Return what is awaited of each child, should it not answer yet.

        Args:
            states: of the children, by name.
            now: monotonic seconds.
        """
        for name in self._since.keys() - states.keys():
            del self._since[name]
            self._endings.pop(name, None)
        return {
            name: Start(
                waited_s=round(now - self._since.setdefault(name, now), 1),
                reason=self._reason(name, state),
            )
            for name, state in states.items()
            if state is not ChildState.STOPPED
        }

    def _reason(self, name: str, state: ChildState) -> str:
        if (ending := self._endings.get(name)) is not None:
            return AGAIN.format(ending=ending)
        return FIRST_TURN if state is ChildState.WAITING else BEGINS
