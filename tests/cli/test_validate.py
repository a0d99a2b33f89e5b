"""What ``metabonk validate`` says without a fleet; with one, see ``tests/integration``."""

import json
from pathlib import Path

import pytest

from metabonk.cli.main import main
from metabonk.cli.validate import as_json, as_text
from metabonk.validation import CHECKS, Check
from tests.support.serving import free_ports


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, port in zip(("ORCHESTRATOR", "PAGE", "WORKER"), free_ports(3), strict=True):
        monkeypatch.setenv(f"METABONK_PORTS_{name}", str(port))
    monkeypatch.setenv("METABONK_PATHS_RUNTIME", str(tmp_path / "runtime"))


@pytest.mark.usefixtures("nobody")
def test_without_a_fleet_it_fails_and_says_how_to_start_one(capsys: pytest.CaptureFixture[str]):
    assert main(["validate"]) == 1
    said = capsys.readouterr().out
    assert [line[:4] for line in said.splitlines() if line[:4] in ("PASS", "FAIL")] == ["FAIL"] * 5
    assert "./start" in said
    assert "0 of 5 checks passed" in said


@pytest.mark.usefixtures("nobody")
def test_machines_get_json(capsys: pytest.CaptureFixture[str]):
    assert main(["validate", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["passed"] is False
    assert [check["name"] for check in answer["checks"]] == list(CHECKS)
    assert all(check["problems"][0]["action"] for check in answer["checks"])


def test_what_is_found_is_told_and_each_failure_comes_with_a_fix():
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


def test_the_users_own_command_is_the_same():
    script = Path(__file__).parents[2] / "docs" / "stream" / "validate_deployment.py"
    assert 'run_metabonk("validate"' in script.read_text()
