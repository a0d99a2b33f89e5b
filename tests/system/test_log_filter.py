"""``metabonk.system.log_filter``: what a flood of one message leaves of it."""

import errno
import logging
import os
from collections.abc import Iterator

import pytest

from metabonk.system.log_filter import BURST, INTERVAL_S, MAX_MESSAGES, RepetitionFilter
from tests.support.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(clock: Clock, caplog: pytest.LogCaptureFixture) -> Iterator[logging.Logger]:
    logger = logging.getLogger("flooded")
    repetitions = RepetitionFilter(clock)
    caplog.handler.addFilter(repetitions)
    yield logger
    caplog.handler.removeFilter(repetitions)


def test_a_repeated_warning_is_folded_and_counted(
    log: logging.Logger, clock: Clock, caplog: pytest.LogCaptureFixture
):
    for _ in range(1000):
        log.warning("invalid request from %s", "somebody")
    log.warning("invalid request from %s", "somebody else")
    assert len(caplog.messages) == BURST + 1
    clock.now += INTERVAL_S
    log.warning("invalid request from %s", "somebody")
    counted = f"invalid request from somebody ({1000 - BURST} more times before)"
    assert caplog.messages[-1] == counted
    clock.now += INTERVAL_S
    log.warning("invalid request from %s", "somebody")
    assert caplog.messages[-1] == "invalid request from somebody"


def test_what_is_no_warning_is_never_folded(log: logging.Logger, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO):
        for _ in range(10 * BURST):
            log.info("acquired a session")
    assert len(caplog.messages) == 10 * BURST


def test_a_flood_of_different_messages_needs_no_memory(log: logging.Logger, clock: Clock):
    folded = RepetitionFilter(clock)
    for number in range(3 * MAX_MESSAGES):
        folded.filter(logging.makeLogRecord({"msg": str(number), "levelno": logging.ERROR}))
    assert len(folded._intervals) == MAX_MESSAGES


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE])
def test_an_exhausted_resource_is_one_line(
    log: logging.Logger, caplog: pytest.LogCaptureFixture, code: int
):
    error = OSError(code, os.strerror(code))
    log.error("accept() failed\nsocket: %r", 7, exc_info=error)
    assert caplog.records[-1].exc_info is None
    assert caplog.messages[-1] == f"accept() failed: {os.strerror(code)}"
    log.error("it failed", exc_info=ValueError("a mistake"))
    assert caplog.records[-1].exc_info is not None, "of a mistake the traceback is kept"
