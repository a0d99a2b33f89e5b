"""Demand for the program, and its port. Thread-safe."""


class ProgramDemand:
    """Demand for the program, and the worker that somebody has chosen for it.

    Attributes:
        port: on which its process listens; None before there is one.
        pin: name of the worker that was chosen; None: the director chooses.
    """

    def __init__(self) -> None:
        self.port: int | None = None
        self.pin: str | None = None
        self._is_wanted = False

    @property
    def is_wanted(self) -> bool:
        """True from the first viewer on: its process waits for the next one at no cost."""
        return self._is_wanted

    def want(self) -> None:
        """Ask for its process."""
        self._is_wanted = True
