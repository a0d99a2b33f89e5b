"""The built wheel, run in an empty folder without the checkout."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.serving import free_ports

ROOT = Path(__file__).parents[1]

PROGRAM = """
import contextlib, json, tempfile
import metabonk
from metabonk.cli.main import main
from metabonk.settings import load_settings

def run(*arguments):
    with tempfile.TemporaryFile("w+") as output:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            code = main(arguments)
        output.seek(0)
        return code, output.read()

print(json.dumps({
    "package": metabonk.__file__,
    "fps": load_settings({"stream_profile": "rtx5090_webrtc_8"}).stream.fps,
    "stop": run("stop"),
    "status": run("nvenc", "status", "--workers", "1"),
    "cleanup": run("nvenc", "cleanup"),
    "validate": run("validate", "--json"),
    "resume": run("start", "--resume"),
    "profile": run("start", "--stream-profile", "nine"),
}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("metabonk-*.whl")
    return built


def test_commands_of_an_installed_wheel_work_in_an_empty_folder(wheel: Path, tmp_path: Path):
    site, empty = tmp_path / "site", tmp_path / "empty"
    zipfile.ZipFile(wheel).extractall(site)
    empty.mkdir()
    ports = dict(zip(("ORCHESTRATOR", "PAGE", "LEARNER", "WORKER"), free_ports(4), strict=True))
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM],
        cwd=empty,
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(site),
            "METABONK_PATHS_RUNTIME": str(tmp_path / "runtime"),
            **{f"METABONK_PORTS_{name}": str(port) for name, port in ports.items()},
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert Path(outcome["package"]).is_relative_to(site)
    assert outcome["fps"] == 30
    assert outcome["stop"] == [0, "nothing is running\n"]
    code, text = outcome["status"]
    assert code == 0 and "instance_id=omega-0" in text
    assert outcome["cleanup"][0] == 0
    code, text = outcome["validate"]
    assert code == 1 and len(json.loads(text)["checks"]) == 5
    assert "metabonk start --mode train" in text and "./start" not in text
    code, text = outcome["resume"]
    assert code == 1 and "start one with 'metabonk start --mode train'" in text
    code, text = outcome["profile"]
    assert code == 2 and "Allowed: laptop, local, rtx5090_webrtc_8, template," in text
    assert not list(empty.iterdir())


def test_the_wheel_contains_the_page_and_nothing_of_the_checkout(wheel: Path):
    names = zipfile.ZipFile(wheel).namelist()
    assert "metabonk/orchestrator/page/index.html" in names
    assert any(name.startswith("metabonk/orchestrator/page/assets/") for name in names)
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"metabonk"}
