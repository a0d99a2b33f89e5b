"""Checks of this repository, one session each; ``.venv/bin/nox -l`` lists them.

``./test`` installs what they need and runs them. They share ``.venv``, so a single one starts at
once: ``.venv/bin/nox -s lint``, ``.venv/bin/nox -s unit -- -k lock``.
"""

import sys
from pathlib import Path

import nox

nox.needs_version = ">=2026.10"
nox.options.default_venv_backend = "none"

ROOT = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent
PYTEST = (sys.executable, "-m", "pytest")
FLEET_TESTS = ("tests/integration", "tests/faults")
ALONE_TESTS = tuple(
    f"tests/integration/test_{name}.py" for name in ("fleet", "operations", "overload", "standby")
)
"""Those of ``FLEET_TESTS`` that need every core or the default ports."""

SIDE_BY_SIDE = ("--dist", "loadfile", "--no-loadscope-reorder")
IN_PAIRS = ("-n", "2", *SIDE_BY_SIDE)
IN_THREES = ("-n", "3", *SIDE_BY_SIDE)
"""For tests that wait for a third of their time on two cores, as the unit tests do."""

BROWSER_TESTS = ("tests/browser",)
COMMAND_TESTS = ("tests/cli/test_start_and_stop.py", "tests/cli/test_cleanup.py")
"""Start and stop whole processes for most of their time; ``coverage`` runs them, ``unit`` not."""

UNIT_TESTS = (
    "tests",
    *(f"--ignore={folder}" for folder in (*FLEET_TESTS, *BROWSER_TESTS)),
    *("-n", "3", "--dist", "worksteal"),
)
LINTED = (".", "start", "test")
"""Ruff finds files by their suffix, and the last two have none."""

TEARDOWN_S = 30.0
"""After Ctrl-C, time for fixtures to stop their fleets."""


@nox.session(allow_parallel=True)
def lint(session: nox.Session) -> None:
    """Check style, formatting, spelling and import directions."""
    session.run(BIN / "ruff", "check", *LINTED)
    session.run(BIN / "ruff", "format", "--check", *LINTED)
    session.run(BIN / "codespell")
    session.run(BIN / "lint-imports")


@nox.session(allow_parallel=True)
def types(session: nox.Session) -> None:
    """Check types with mypy."""
    session.run(BIN / "mypy", *session.posargs)


@nox.session(allow_parallel=True)
def web(session: nox.Session) -> None:
    """Check the web page: TypeScript, Biome, Vitest and the generated types."""
    session.run(sys.executable, "scripts/web_checks.py", "check", "types:check", "test")


@nox.session(allow_parallel=True)
def docs(session: nox.Session) -> None:
    """Build the documentation site and check its links."""
    session.run(sys.executable, "scripts/settings_reference.py", "--check")
    session.run(BIN / "mkdocs", "build", "--quiet", env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session(allow_parallel=True, default=False)
def unit(session: nox.Session) -> None:
    """Run the tests that start no fleet and no browser, three at a time."""
    others = (f"--ignore={file}" for file in COMMAND_TESTS)
    session.run(*PYTEST, *UNIT_TESTS, *others, *session.posargs, **_patient())


@nox.session(allow_parallel=True)
def coverage(session: nox.Session) -> None:
    """Run the unit tests, measure what they cover, and hold it against the floor."""
    tool = (sys.executable, "-m", "coverage")
    # Python 3.12 and later measure at nearly no cost.
    core = {"COVERAGE_CORE": "sysmon"} if sys.version_info >= (3, 12) else {}
    (ROOT / "build").mkdir(exist_ok=True)
    session.run(*tool, "erase")
    session.run(*tool, "run", "-m", *PYTEST[2:], *UNIT_TESTS, env=core, **_patient())
    session.run(*tool, "combine", "--quiet")
    session.run(*tool, "report")


@nox.session
def fleet(session: nox.Session) -> None:
    """Run the tests of whole fleets: integration and faults."""
    if session.posargs:
        session.run(*PYTEST, *FLEET_TESTS, *session.posargs, **_patient())
        return
    others = (f"--ignore={file}" for file in ALONE_TESTS)
    session.run(*PYTEST, *FLEET_TESTS, *others, *IN_THREES, **_patient())
    session.run(*PYTEST, *ALONE_TESTS, **_patient())


@nox.session
def browser(session: nox.Session) -> None:
    """Run the tests of the page in a real browser."""
    # Installs axe-core and what else they load into it.
    session.run(sys.executable, "scripts/web_checks.py")
    session.run(*PYTEST, *BROWSER_TESTS, *(session.posargs or IN_PAIRS), **_patient())


def _patient() -> dict[str, float]:
    return {"interrupt_timeout": TEARDOWN_S, "terminate_timeout": TEARDOWN_S}
