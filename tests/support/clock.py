"""A monotonic clock that a test sets."""


class Clock:
    """Stand-in for ``time.monotonic``.

    Args:
        now: seconds.

    Attributes:
        now: seconds; set or increase it to let time pass.
    """

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
