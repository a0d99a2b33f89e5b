import logging
import sys
from pathlib import Path

import pytest

from metabonk.orchestrator.processes.cleanup import HUNG_AFTER_S, RETRY_S, GameCleanup
from tests.support.clock import Clock
from tests.support.waiting import GENEROUS_S, until


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO)
    return caplog


def program(source: str) -> tuple[str, ...]:
    return (sys.executable, "-c", source)


def test_its_output_is_logged_once_it_has_ended(logged: pytest.LogCaptureFixture):
    cleanup = GameCleanup(program("print('removed /dev/shm/ViZDoom1')"))
    cleanup.request()

    def ended() -> bool:
        cleanup.tick()
        return bool(logged.messages)

    until("it has ended", ended)
    assert logged.messages == ["cleanup: removed /dev/shm/ViZDoom1"]


def test_requests_during_a_cleanup_start_one_more(tmp_path: Path):
    runs = tmp_path / "runs"
    cleanup = GameCleanup(
        program(f"import time; open({str(runs)!r}, 'a').write('x'); time.sleep(0.3)")
    )
    for _ in range(3):
        cleanup.request()

    def ran_twice() -> bool:
        cleanup.tick()
        return runs.exists() and runs.read_text() == "xx"

    until("it ran twice", ran_twice)
    cleanup.close(GENEROUS_S)
    cleanup.tick()
    assert runs.read_text() == "xx"


def test_one_that_takes_too_long_is_killed_and_left_to_the_next_start(
    logged: pytest.LogCaptureFixture,
):
    cleanup = GameCleanup(program("import time; time.sleep(600)"))
    cleanup.request()
    cleanup.close(0.1)
    assert "cleanup of dead game engines timed out; the next start retries it" in logged.messages


def test_one_that_cannot_be_started_is_a_problem_until_it_is(
    tmp_path: Path, logged: pytest.LogCaptureFixture
):
    clock = Clock()
    command = tmp_path / "missing"
    cleanup = GameCleanup((str(command),), clock)
    cleanup.request()
    assert "the cleanup of dead game engines failed" in cleanup.problems()[0].message
    command.write_text("#!/bin/sh\necho removed\n")
    command.chmod(0o755)
    cleanup.tick()
    assert cleanup.problems(), "not tried again at once"
    clock.now += RETRY_S
    cleanup.tick()
    assert cleanup.problems() == []
    cleanup.close(GENEROUS_S)
    assert "cleanup: removed" in logged.messages


def test_one_that_hangs_is_killed_and_the_next_runs(tmp_path: Path):
    clock = Clock()
    runs = tmp_path / "runs"
    cleanup = GameCleanup(
        program(
            f"import pathlib, time; runs = pathlib.Path({str(runs)!r}); again = runs.exists(); "
            "runs.open('a').write('x'); again or time.sleep(600)"
        ),
        clock,
    )
    cleanup.request()
    until("it runs", lambda: runs.read_text() == "x")
    cleanup.request()
    clock.now += HUNG_AFTER_S

    def ran_twice() -> bool:
        cleanup.tick()
        return runs.read_text() == "xx"

    until("the next runs", ran_twice)
    cleanup.close(GENEROUS_S)
