"""Options of the test run.

With METABONK_TEST_STRICT=1, as in CI, a skipped test fails. ``--long`` runs the long form of tests
that have one.
"""

import fcntl
import os
from collections.abc import Generator, Iterator
from typing import TypeVar

import pytest
from hypothesis import settings

from tests.support.machine_speed import SLOWNESS
from tests.support.requirements import STRICT

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)

# How long an example takes depends on what else the machine does.
settings.register_profile("patient", settings(), deadline=None)
settings.load_profile("patient")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="the long form of tests that have one")


def pytest_configure(config: pytest.Config) -> None:
    """Measure the coverage of tests, and not of processes that they start, which is slow."""
    if hasattr(config, "workerinput"):
        os.environ.pop("COVERAGE_PROCESS_CONFIG", None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give each test more time on a slower machine."""
    for item in items:
        marker = item.get_closest_marker("timeout")
        seconds = float(marker.args[0] if marker else config.getini("timeout"))
        item.add_marker(pytest.mark.timeout(seconds * SLOWNESS), append=False)


@pytest.fixture(scope="session")
def long(request: pytest.FixtureRequest) -> bool:
    """True if a test may take minutes instead of seconds."""
    return bool(request.config.getoption("--long"))


@pytest.fixture
def cleanup_lock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the other processes of pytest-xdist from killing games or cleaning up after them."""
    with (tmp_path_factory.getbasetemp().parent / "cleanup.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return without_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return without_skip((yield))


def without_skip(report: Report) -> Report:
    if STRICT and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped, although METABONK_TEST_STRICT=1: {report.longrepr}"
    return report
