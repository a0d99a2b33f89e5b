"""With METABONK_TEST_STRICT=1, as in CI, a test that is skipped counts as failed.

With ``--long`` the tests that can go on for longer, or more often, do.
"""

import os
from collections.abc import Generator
from typing import TypeVar

import pytest

STRICT = os.environ.get("METABONK_TEST_STRICT") == "1"
Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="the long form of tests/faults")


@pytest.fixture(scope="session")
def long(request: pytest.FixtureRequest) -> bool:
    """Whether tests have time: minutes instead of seconds."""
    return bool(request.config.getoption("--long"))


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
        report.longrepr = f"it was skipped, and METABONK_TEST_STRICT=1: {report.longrepr}"
    return report
