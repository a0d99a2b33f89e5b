"""Logging on a thread of its own."""

import logging
import threading
from collections.abc import Iterator

import pytest

from metabonk.system.log_thread import BackgroundHandler
from tests.support.waiting import until


class Disk(logging.Handler):
    """Takes records while it does not hang."""

    def __init__(self) -> None:
        super().__init__()
        self.works = threading.Event()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.works.wait(20)
        self.lines.append(self.format(record))


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    yield disk
    disk.works.set()


def logger_of(handler: logging.Handler) -> logging.Logger:
    logger = logging.Logger("test")
    logger.addHandler(handler)
    return logger


def test_lines_arrive_in_order_as_they_were_when_they_were_logged(disk: Disk):
    disk.works.set()
    handler = BackgroundHandler(disk)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    names = ["omega-0"]
    logger_of(handler).info("started %s", names)
    names.clear()
    logger_of(handler).warning("done")
    handler.close()
    assert disk.lines == ["INFO started ['omega-0']", "WARNING done"]


def test_a_disk_that_hangs_holds_up_neither_the_caller_nor_the_end(disk: Disk):
    handler = BackgroundHandler(disk, capacity=3)
    logger = logger_of(handler)
    logger.info("line 0")
    until("the disk hangs with the first line", lambda: handler._queue.empty())
    for number in range(1, 6):
        logger.info("line %d", number)
    assert disk.lines == []
    disk.works.set()
    until("the drop is reported", lambda: "2 log lines were dropped" in str(disk.lines))
    until("the rest", lambda: "line 3" in disk.lines)
    assert "line 4" not in disk.lines
    disk.works.clear()
    for number in range(9):
        logger.info("more %d", number)
    handler.close()
