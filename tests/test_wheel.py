"""The built wheel, run in an empty folder without the checkout."""

import email
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from metabonk.settings.commands import FLEET_MODULES
from tests.support.serving import free_ports

ROOT = Path(__file__).parents[1]

RUN = """
import contextlib, json, sys, tempfile
import metabonk
from metabonk.cli.main import main
from metabonk.settings import load_settings

def run(*arguments):
    with tempfile.TemporaryFile("w+") as output:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            code = main(arguments)
        output.seek(0)
        return code, output.read()
"""

ALL = """
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

CORE = """
for name in {missing!r}:
    sys.modules[name] = None  # As if it were not installed.
print(json.dumps({{
    "start": run("start", "--mode", "train"),
    "eval": run("eval"),
    "export": run("export"),
    "nvenc": run("nvenc", "status", "--workers", "1"),
    "runs": run("runs"),
}}))
"""


WATCH = """
for name in {missing!r}:
    sys.modules[name] = None
import importlib
for name in ("watch", "hub", "guest"):
    importlib.import_module(f"metabonk.cli.{{name}}")
import os, signal, threading, time, urllib.request
threading.excepthook = sys.__excepthook__
answers = {{}}

def ask():
    page = f"http://127.0.0.1:{{os.environ['METABONK_PORTS_PAGE']}}"
    while "fleet" not in answers:
        with contextlib.suppress(OSError):
            answers["page"] = urllib.request.urlopen(page).read().decode()
            answers["fleet"] = json.load(urllib.request.urlopen(page + "/api/fleet"))
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=ask, daemon=True).start()
code, text = run("watch")
print(json.dumps({{"code": code, "text": text, **answers}}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("metabonk-*.whl")
    return built


@pytest.fixture
def run_installed(wheel: Path, tmp_path: Path) -> Callable[[str], dict[str, Any]]:
    """Return a function that runs a program in an empty folder, and returns what it prints."""
    site, empty = tmp_path / "site", tmp_path / "empty"
    zipfile.ZipFile(wheel).extractall(site)
    empty.mkdir()
    ports = dict(zip(("ORCHESTRATOR", "PAGE", "LEARNER", "WORKER"), free_ports(4), strict=True))

    def run(program: str) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-P", "-c", RUN + program],
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
        assert not list(empty.iterdir())
        return dict(json.loads(done.stdout))

    return run


RunInstalled = Callable[[str], dict[str, Any]]


def test_commands_of_an_installed_wheel_work_in_an_empty_folder(
    run_installed: RunInstalled, tmp_path: Path
):
    outcome = run_installed(ALL)
    assert Path(outcome["package"]).is_relative_to(tmp_path / "site")
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


def test_a_core_installation_says_what_a_fleet_needs(run_installed: RunInstalled):
    outcome = run_installed(CORE.format(missing=FLEET_MODULES))
    for command in ("start", "eval", "export"):
        code, text = outcome[command]
        assert code == 1 and len(text.splitlines()) == 1
        assert text.endswith("which this installation lacks: run pip install 'metabonk[train]'\n")
    assert "a fleet needs cv2, tensorboardX, torch, vizdoom," in outcome["start"][1]
    assert outcome["nvenc"][0] == 0 and "(not running)" in outcome["nvenc"][1]
    assert outcome["runs"] == [0, "0 runs (0.0 MB) in runs\n"]


def test_a_core_installation_shows_what_is_broadcast(run_installed: RunInstalled):
    outcome = run_installed(WATCH.format(missing=FLEET_MODULES))
    assert outcome["code"] == 0
    assert "<title>" in outcome["page"]
    assert outcome["fleet"]["run"] is None
    assert outcome["fleet"]["workers"] == {}
    assert outcome["text"].startswith("page: http://localhost:")
    assert outcome["text"].endswith("stopped\n")


def test_the_core_fits_into_environments_of_other_trainers(wheel: Path):
    archive = zipfile.ZipFile(wheel)
    (name,) = [each for each in archive.namelist() if each.endswith("/METADATA")]
    metadata = email.message_from_bytes(archive.read(name))
    requirements = map(Requirement, metadata.get_all("Requires-Dist", []))
    core = {each.name.lower(): each.specifier for each in requirements if not each.marker}
    for fleet_only in ("torch", "vizdoom", "opencv-python-headless", "tensorboardx"):
        assert fleet_only not in core
    assert {"train", "doom"} <= set(metadata.get_all("Provides-Extra", []))
    for package, versions in {
        "gymnasium": ("0.29.1", "1.0.0", "1.4.0"),
        "numpy": ("1.26.4", "2.4.6"),
    }.items():
        assert all(core[package].contains(version) for version in versions)


def test_the_wheel_contains_the_page_and_nothing_of_the_checkout(wheel: Path):
    names = zipfile.ZipFile(wheel).namelist()
    assert "metabonk/orchestrator/page/index.html" in names
    assert any(name.startswith("metabonk/orchestrator/page/assets/") for name in names)
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"metabonk"}
