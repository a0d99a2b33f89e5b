"""``metabonk validate``: five checks of the running fleet, each by really looking."""

import argparse
import json
import sys

from metabonk.orchestrator.lock import is_held, lock_files, read_record
from metabonk.settings import Settings, load_settings, read_settings
from metabonk.settings.runtime_dir import runtime_dir
from metabonk.validation import Check, look, validate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what is checked against, and the form of the answer."""
    parser.add_argument(
        "--workers", type=int, help="how many there should be (default: the fleet's)"
    )
    parser.add_argument("--json", action="store_true", help="for machines")


def run(arguments: argparse.Namespace) -> int:
    """Looks, and says what is so.

    Returns:
        0 only if every check passes.

    Raises:
        MetaBonkError: a setting or the slot directory can't be used.
    """
    given = load_settings()
    settings, page = _of_the_running_fleet(given)
    count = settings.workers if arguments.workers is None else arguments.workers
    expected = [f"omega-{index}" for index in range(count)]
    checks = validate(look(settings, expected, page))
    sys.stdout.write(as_json(checks) if arguments.json else as_text(checks))
    return 0 if all(check.passed for check in checks) else 1


def _of_the_running_fleet(given: Settings) -> tuple[Settings, str]:
    """The settings that it was started with, and its page: this command has not heard of either.

    The token is in no file, so that it is asked for in the environment.
    """
    for file in lock_files(runtime_dir(given.paths.runtime), given.ports.orchestrator):
        if (record := read_record(file)) and record.settings and is_held(file):
            settings = read_settings(record.settings)
            return settings.model_copy(update={"access_token": given.access_token}), record.page
    return given, f"http://127.0.0.1:{given.ports.page}"


def as_text(checks: list[Check]) -> str:
    """For people: a line a check, what was found, and a fix for each failure."""
    lines = []
    for number, check in enumerate(checks, 1):
        lines.append(f"{'PASS' if check.passed else 'FAIL'}  {number}. {check.name}")
        lines += [f"        {fact}" for fact in check.facts]
        for what, do in check.failures:
            lines += [f"      ✗ {what}", f"        → {do}"]
    passed = sum(check.passed for check in checks)
    return "\n".join([*lines, f"{passed} of {len(checks)} checks passed", ""])


def as_json(checks: list[Check]) -> str:
    """For machines."""
    answer = {
        "passed": all(check.passed for check in checks),
        "checks": [
            {
                "name": check.name,
                "passed": check.passed,
                "facts": check.facts,
                "failures": [{"what": what, "do": do} for what, do in check.failures],
            }
            for check in checks
        ],
    }
    return json.dumps(answer, indent=2, ensure_ascii=False) + "\n"
