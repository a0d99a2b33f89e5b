"""``deploy/``: what can be known of it without a container engine and without installing a unit."""

import argparse
import importlib.util
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from configparser import ConfigParser
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from metabonk.cli import start
from metabonk.doctor.gpus import CAPABILITIES, ENCODE_LIBRARY
from metabonk.system import shared_memory
from metabonk.settings import Settings
from metabonk.settings.load import unknown_variables

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"

SERVICE_KEYS = {
    "build",
    "command",
    "init",
    "stop_grace_period",
    "restart",
    "shm_size",
    "ports",
    "environment",
    "volumes",
    "healthcheck",
    "deploy",
}
"""Of the Compose specification, those that are used here: a misspelt one is not among them."""

NEEDED = (
    "start",
    "scripts/bootstrap.py",
    "pyproject.toml",
    "constraints.txt",
    "README.md",
    "LICENSE",
    "src",
    "profiles/local.toml",
    "metabonk.example.toml",
    "docs/stream/validate_deployment.py",
)


@pytest.fixture(scope="module")
def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's, with what each is given."""
    text = (DEPLOY / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in joined.splitlines()]


def all_of(kind: str, instructions: list[tuple[str, str]]) -> list[str]:
    return [given for name, given in instructions if name == kind]


def test_the_dockerfile_has_instructions_that_there_are(instructions: list[tuple[str, str]]):
    known = {"FROM", "RUN", "ENV", "USER", "WORKDIR", "COPY", "EXPOSE", "CMD"}
    assert {name for name, _ in instructions} <= known
    assert instructions[0][0] == "FROM"


def test_the_image_has_a_python_that_metabonk_runs_on(instructions: list[tuple[str, str]]):
    (image,) = all_of("FROM", instructions)
    found = re.fullmatch(r"python:3\.(\d+)-slim-bookworm", image)
    assert found is not None and 11 <= int(found[1]) <= 13


def test_it_installs_as_every_machine_does_and_not_as_root(instructions: list[tuple[str, str]]):
    after_user = instructions[instructions.index(("USER", "metabonk")) :]
    assert ("RUN", "./start --help") in after_user
    assert "USER" not in [name for name, _ in after_user[1:]]
    assert after_user[-1][0] == "CMD"
    program = (ROOT / "start").read_text()
    assert program.index("bootstrap.install()") < program.index('run_metabonk("start", *sys.argv')
    assert (ROOT / "start").stat().st_mode & 0o111


def ignored(path: str) -> bool:
    """By ``.dockerignore``, which a folder's contents follow."""
    patterns = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line]
    parts = PurePosixPath(path)
    for each in (parts, *parts.parents):
        for pattern in patterns:
            anywhere = pattern.removeprefix("**/")
            name = each.name if pattern.startswith("**/") else str(each)
            if fnmatch(name, anywhere):
                return True
    return False


def test_everything_that_the_installation_needs_is_copied(instructions: list[tuple[str, str]]):
    assert all_of("COPY", instructions) == ["--chown=metabonk . ."]
    spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "scripts" / "bootstrap.py")
    assert spec is not None and spec.loader is not None
    bootstrap = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bootstrap)
    needed = [*NEEDED, *(f"web/{part}" for part in bootstrap.WEB_PARTS)]
    for path in needed:
        assert (ROOT / path).exists(), path
        assert not ignored(path), path


@pytest.mark.parametrize(
    "path",
    [
        ".git",
        ".venv",
        "runs/a",
        "logs",
        "metabonk.toml",
        "web/node_modules/vite",
        "src/metabonk/orchestrator/page/index.html",
        "src/metabonk/__pycache__",
        ".mypy_cache",
    ],
)
def test_what_belongs_to_one_machine_stays_there(path: str):
    assert ignored(path)


def test_nvidias_libraries_for_encoding_are_asked_for(instructions: list[tuple[str, str]]):
    assert CAPABILITIES in all_of("ENV", instructions)
    assert ENCODE_LIBRARY in (DEPLOY / "compose.nvidia.yaml").read_text()


def load(name: str) -> dict[str, Any]:
    document = yaml.safe_load((DEPLOY / name).read_text())
    assert isinstance(document, dict) and list(document["services"]) == ["metabonk"]
    return document


@pytest.fixture(scope="module")
def service() -> dict[str, Any]:
    """As compose puts the two files together."""
    base = load("compose.yaml")["services"]["metabonk"]
    nvidia = load("compose.nvidia.yaml")["services"]["metabonk"]
    return {**base, **nvidia, "environment": {**base["environment"], **nvidia["environment"]}}


def test_compose_has_keys_that_there_are_and_builds_this_dockerfile(service: dict[str, Any]):
    assert service.keys() <= SERVICE_KEYS
    build = service["build"]
    assert (DEPLOY / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).samefile(DEPLOY / "Dockerfile")


def test_one_port_is_published_and_behind_it_a_token(
    service: dict[str, Any], instructions: list[tuple[str, str]]
):
    assert service["ports"] == [f"{Settings().ports.page}:{Settings().ports.page}"]
    assert all_of("EXPOSE", instructions) == [str(Settings().ports.page)]
    (default,) = all_of("CMD", instructions)
    for command in (service["command"], yaml.safe_load(default)):
        assert command[0] == "./start"
        settings = Settings(host=started(command[1:]).host)
        assert settings.is_remote and settings.host == "0.0.0.0"


def started(arguments: list[str]) -> argparse.Namespace:
    """What ``./start`` understands; it exits where it doesn't."""
    parser = argparse.ArgumentParser()
    start.add_arguments(parser)
    return parser.parse_args(arguments)


def test_there_is_shared_memory_for_games(service: dict[str, Any]):
    found = re.fullmatch(r"(\d+)g", service["shm_size"])
    assert found is not None
    assert int(found[1]) << 30 >= shared_memory.MIN_TOTAL


def test_the_gpu_comes_with_its_encoder(service: dict[str, Any]):
    name, _, value = CAPABILITIES.partition("=")
    assert service["environment"][name] == value
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}


def test_what_is_kept_lies_where_the_fleet_writes_it(
    service: dict[str, Any], instructions: list[tuple[str, str]]
):
    (home,) = all_of("WORKDIR", instructions)
    kept = dict(volume.split(":") for volume in service["volumes"])
    paths = Settings().paths
    assert kept == {"runs": f"{home}/{paths.runs}", "logs": f"{home}/{paths.logs}"}
    assert load("compose.yaml")["volumes"].keys() == kept.keys()
    # Made by the user: a volume takes over who owns the folder that it is laid over.
    assert f"mkdir {' '.join(kept)}" in all_of("RUN", instructions)


def test_variables_are_settings_that_there_are(service: dict[str, Any]):
    assert list(unknown_variables(service["environment"])) == []


def unit(text: str) -> ConfigParser:
    parser = ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(text)
    return parser


UNIT = DEPLOY / "metabonk.service"


def test_the_unit_starts_the_checkout_with_options_that_there_are():
    service = unit(UNIT.read_text())["Service"]
    program, *arguments = shlex.split(service["ExecStart"])
    assert PurePosixPath(program).parent == PurePosixPath(service["WorkingDirectory"])
    assert PurePosixPath(program).name == "start"
    assert started(arguments).workers == "2"
    name, _, value = service["Environment"].partition("=")
    assert list(unknown_variables({name: value})) == []
    assert value == f"%t/{service['RuntimeDirectory']}"
    assert int(service["TimeoutStopSec"]) > 5, "a clean end may take five seconds"


def complaints(folder: Path) -> Iterator[str]:
    """What systemd itself has to say of the unit, where it is installed."""
    program = shutil.which("systemd-analyze")
    if program is None:
        return
    text = UNIT.read_text().replace("/opt/metabonk", str(ROOT))
    (folder / UNIT.name).write_text(text.replace("User=metabonk", "User=root"))
    verified = subprocess.run(
        [program, "verify", "--man=no", folder / UNIT.name], capture_output=True, text=True
    )
    yield from (line for line in verified.stderr.splitlines() if UNIT.name in line)


def test_systemd_understands_the_unit_where_there_is_one(tmp_path: Path):
    assert list(complaints(tmp_path)) == []
