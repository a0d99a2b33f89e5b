"""``metabonk validate``: make five checks of a running fleet."""

import argparse
import json
import sys

from metabonk.cli.inspection import inspection_settings, running_fleet
from metabonk.messages.workers import instance_id
from metabonk.printable import printable
from metabonk.settings import Settings
from metabonk.settings.runtime_dir import runtime_dir
from metabonk.validation import Check, inspect, validate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the expected workers and the output format."""
    parser.add_argument(
        "--workers", type=int, help="expected number of workers (default: the fleet's)"
    )
    parser.add_argument("--json", action="store_true", help="machine-readable output")


def run(arguments: argparse.Namespace) -> int:
    """Check the fleet and print the results.

    Returns:
        0 only if every check passes.

    Raises:
        MetaBonkError: the runtime or slot directory can't be used.
    """
    settings, page = _running_fleet(inspection_settings())
    count = settings.workers if arguments.workers is None else arguments.workers
    expected = [instance_id(index) for index in range(count)]
    checks = validate(inspect(settings, expected, page))
    sys.stdout.write(as_json(checks) if arguments.json else printable(as_text(checks)))
    return 0 if all(check.passed for check in checks) else 1


def _running_fleet(given: Settings) -> tuple[Settings, str]:
    """Return the settings that the fleet was started with, and the URL of its page.

    The token is not written to any file, so it is taken from the environment.
    """
    fleet = running_fleet(runtime_dir(given.paths.runtime), given.ports.orchestrator)
    if fleet is None:
        return given, f"http://{given.internal_authority(given.ports.page)}"
    return fleet.settings.model_copy(update={"access_token": given.access_token}), fleet.page


def as_text(checks: list[Check]) -> str:
    """Format the checks for people: findings, and a fix for each problem.

    A problem that makes several checks fail is explained once.
    """
    lines: list[str] = []
    explained: dict[str, int] = {}
    for number, check in enumerate(checks, 1):
        lines.append(f"{'PASS' if check.passed else 'FAIL'}  {number}. {check.name}")
        lines += [f"        {fact}" for fact in check.facts]
        for problem in check.problems:
            first = explained.setdefault(problem.message, number)
            if first == number:
                lines += [f"      ✗ {problem.message}", f"        → {problem.action}"]
            elif f"      ✗ as in check {first}" not in lines[-1:]:
                lines.append(f"      ✗ as in check {first}")
    passed = sum(check.passed for check in checks)
    return "\n".join([*lines, f"{passed} of {len(checks)} checks passed", ""])


def as_json(checks: list[Check]) -> str:
    """Format the checks as JSON."""
    answer = {
        "passed": all(check.passed for check in checks),
        "checks": [
            {
                "name": check.name,
                "passed": check.passed,
                "facts": check.facts,
                "problems": [problem.model_dump() for problem in check.problems],
            }
            for check in checks
        ],
    }
    return json.dumps(answer, indent=2, ensure_ascii=False) + "\n"
