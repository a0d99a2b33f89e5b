"""A log that a flood of one message can't fill."""

import errno
import logging
import time
from collections import OrderedDict
from collections.abc import Callable

INTERVAL_S = 60.0
BURST = 5
"""Repetitions within an interval that are written as they come."""

MAX_MESSAGES = 256
"""Messages that are remembered; the one that was logged longest ago is forgotten first."""

EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
"""Errors that say nothing about the place where they occur, so need no traceback."""


class RepetitionFilter(logging.Filter):
    """Drops repetitions of a warning or error, and adds their number to the next one written.

    Of each message of a logger, ``BURST`` are written every ``INTERVAL_S``. Thread-safe where its
    handler holds its lock, and otherwise at worst counts wrong.

    Args:
        clock: monotonic, seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._intervals: OrderedDict[tuple[str, str], _Interval] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the record is to be written, and shorten it if a resource is exhausted."""
        if record.levelno < logging.WARNING:
            return True
        _shorten(record)
        key, now = (record.name, record.getMessage()), self._clock()
        last = self._intervals.pop(key, None)
        current = _Interval(now) if last is None or last.is_over(now) else last
        self._intervals[key] = current
        if len(self._intervals) > MAX_MESSAGES:
            self._intervals.popitem(last=False)
        current.count += 1
        if current.count > BURST:
            return False
        if last is not None and last is not current and last.count > BURST:
            record.msg = f"{record.getMessage()} ({last.count - BURST} more times before)"
            record.args = None
        return True


class _Interval:
    def __init__(self, begin: float) -> None:
        self._begin = begin
        self.count = 0

    def is_over(self, now: float) -> bool:
        return now - self._begin >= INTERVAL_S


def _shorten(record: logging.LogRecord) -> None:
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, OSError) and error.errno in EXHAUSTED:
        what = record.getMessage().partition("\n")[0]
        record.msg, record.args = f"{what}: {error.strerror}", None
        record.exc_info, record.exc_text = None, None
