"""``metabonk validate`` without a fleet; ``tests/integration`` runs it with one."""

import json
from pathlib import Path

import pytest

from metabonk.cli.main import main
from metabonk.cli.validate import as_json, as_text
from metabonk.validation import CHECKS, Check
from tests.support.serving import free_ports


@pytest.fixture
def no_fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, port in zip(("ORCHESTRATOR", "PAGE", "WORKER"), free_ports(3), strict=True):
        monkeypatch.setenv(f"METABONK_PORTS_{name}", str(port))
    monkeypatch.setenv("METABONK_PATHS_RUNTIME", str(tmp_path / "runtime"))


@pytest.mark.usefixtures("no_fleet")
def test_without_a_fleet_it_fails_and_explains_how_to_start_one(capsys: pytest.CaptureFixture[str]):
    assert main(["validate"]) == 1
    output = capsys.readouterr().out
    results = [line[:4] for line in output.splitlines() if line[:4] in ("PASS", "FAIL")]
    assert results == ["FAIL"] * 5
    assert "./start" in output
    assert "0 of 5 checks passed" in output


@pytest.mark.usefixtures("no_fleet")
def test_json_output_is_machine_readable(capsys: pytest.CaptureFixture[str]):
    assert main(["validate", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["passed"] is False
    assert [check["name"] for check in answer["checks"]] == list(CHECKS)
    assert all(check["problems"][0]["action"] for check in answer["checks"])


def test_the_report_has_facts_and_a_fix_for_each_failure():
    good, bad = Check("one", ["all is well"]), Check("two")
    bad.fail("it is broken", "mend it")
    assert as_text([good, bad]).splitlines() == [
        "PASS  1. one",
        "        all is well",
        "FAIL  2. two",
        "      ✗ it is broken",
        "        → mend it",
        "1 of 2 checks passed",
    ]
    assert json.loads(as_json([good]))["passed"] is True


def test_a_problem_that_fails_several_checks_is_explained_once():
    checks = [Check("one"), Check("two"), Check("three")]
    for check in checks[:2]:
        check.fail("no fleet runs", "start one")
        check.fail("no fleet runs", "start one")
    checks[1].fail("it is broken", "mend it")
    report = as_text(checks)
    assert (report.count("no fleet runs"), report.count("start one")) == (2, 2)
    assert report.splitlines()[5:8] == [
        "FAIL  2. two",
        "      ✗ as in check 1",
        "      ✗ it is broken",
    ]


def test_the_documented_script_runs_the_same_command():
    script = Path(__file__).parents[2] / "docs" / "stream" / "validate_deployment.py"
    assert 'run_metabonk("validate"' in script.read_text()
