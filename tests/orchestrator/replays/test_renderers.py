"""With real processes."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from metabonk.orchestrator.processes.exit_report import ExitReport
from metabonk.orchestrator.replays.renderers import Renderers
from tests.support.children import CARELESS, STUBBORN, all_gone, descendants
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("_only_own_descendants")


@pytest.fixture
def killed() -> list[str]:
    return []


@pytest.fixture
def renderers(tmp_path: Path, killed: list[str]) -> Iterator[Renderers]:
    renderers = Renderers(
        tmp_path / "logs" / "renderers.log", on_killed=lambda: killed.append("yes")
    )
    yield renderers
    renderers.close()


def program(source: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-c", source, *arguments)


def ended(renderers: Renderers, key: str) -> ExitReport:
    found: dict[str, ExitReport] = {}

    def has_ended() -> bool:
        found.update(renderers.reap())
        return key in found

    until(f"{key} has ended", has_ended)
    return found[key]


def test_the_end_of_one_is_reported_once_with_the_error_that_it_printed(
    renderers: Renderers, killed: list[str]
):
    renderers.start("a", program("import sys; sys.exit('metabonk: no such scenario')"))
    report = ended(renderers, "a")
    assert report.message == "the renderer ended with exit code 1: no such scenario"
    assert renderers.reap() == {}
    renderers.start("a", program("pass"))
    assert ended(renderers, "a").message == "the renderer ended with exit code 0"
    assert killed == []


def test_one_is_killed_with_its_game_even_if_it_is_stopped(renderers: Renderers, killed: list[str]):
    renderers.start("a", program(STUBBORN))
    until("its game runs", lambda: len(descendants()) >= 3)
    family = descendants()
    psutil.Process(family[0].pid).send_signal(signal.SIGSTOP)
    renderers.kill("a")
    assert ended(renderers, "a").code == -signal.SIGKILL
    assert all_gone(family)
    assert killed == ["yes"], "its game's shared memory is cleaned up after"
    renderers.kill("a")


def test_what_a_killed_one_left_goes_with_it(renderers: Renderers):
    renderers.start("a", program(CARELESS))
    ended(renderers, "a")
    until("its child is gone", lambda: descendants() == [])


def test_close_kills_all(tmp_path: Path):
    renderers = Renderers(tmp_path / "renderers.log")
    for key in "ab":
        renderers.start(key, program(STUBBORN))
    until("their games run", lambda: len(descendants()) >= 6)
    family = descendants()
    renderers.close()
    assert all_gone(family)
    assert renderers.reap() == {}
