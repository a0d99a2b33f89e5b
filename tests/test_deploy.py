"""``deploy/``, as far as it can be checked without a container engine or systemd."""

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
from metabonk.settings import Settings
from metabonk.settings.load import unknown_variables
from metabonk.system import shared_memory

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
"""Keys of the Compose specification that are used here, to catch misspelt ones."""

REQUIRED = (
    "start",
    "scripts/bootstrap.py",
    "pyproject.toml",
    "constraints.txt",
    "README.md",
    "LICENSE",
    "src",
    "src/metabonk/profiles/local.toml",
    "metabonk.example.toml",
    "docs/stream/validate_deployment.py",
)


@pytest.fixture(scope="module")
def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions with their arguments."""
    text = (DEPLOY / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in joined.splitlines()]


def arguments_of(kind: str, instructions: list[tuple[str, str]]) -> list[str]:
    return [arguments for name, arguments in instructions if name == kind]


def test_the_dockerfile_uses_only_known_instructions(instructions: list[tuple[str, str]]):
    known = {"FROM", "RUN", "ENV", "USER", "WORKDIR", "COPY", "EXPOSE", "CMD"}
    assert {name for name, _ in instructions} <= known
    assert instructions[0][0] == "FROM"


def test_the_image_has_a_supported_python(instructions: list[tuple[str, str]]):
    (image,) = arguments_of("FROM", instructions)
    found = re.fullmatch(r"python:3\.(\d+)-slim-bookworm", image)
    assert found is not None and 11 <= int(found[1]) <= 13


def test_the_image_installs_by_the_start_script_as_an_unprivileged_user(
    instructions: list[tuple[str, str]],
):
    after_user = instructions[instructions.index(("USER", "metabonk")) :]
    assert ("RUN", "./start --help") in after_user
    assert "USER" not in [name for name, _ in after_user[1:]]
    assert after_user[-1][0] == "CMD"
    program = (ROOT / "start").read_text()
    assert program.index("bootstrap.install()") < program.index('run_metabonk("start", *sys.argv')
    assert (ROOT / "start").stat().st_mode & 0o111


def ignored(path: str) -> bool:
    """Return whether ``.dockerignore`` excludes a path or one of its parents."""
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
    assert arguments_of("COPY", instructions) == ["--chown=metabonk . ."]
    spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "scripts" / "bootstrap.py")
    assert spec is not None and spec.loader is not None
    bootstrap = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bootstrap)
    required = [*REQUIRED, *(f"web/{part}" for part in bootstrap.WEB_PARTS)]
    for path in required:
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
def test_local_files_are_not_copied(path: str):
    assert ignored(path)


def test_nvidias_encoding_libraries_are_requested(instructions: list[tuple[str, str]]):
    assert CAPABILITIES in arguments_of("ENV", instructions)
    assert ENCODE_LIBRARY in (DEPLOY / "compose.nvidia.yaml").read_text()


def load(name: str) -> dict[str, Any]:
    document = yaml.safe_load((DEPLOY / name).read_text())
    assert isinstance(document, dict) and list(document["services"]) == ["metabonk"]
    return document


@pytest.fixture(scope="module")
def service() -> dict[str, Any]:
    """Return the service as Compose merges the two files."""
    base = load("compose.yaml")["services"]["metabonk"]
    nvidia = load("compose.nvidia.yaml")["services"]["metabonk"]
    return {**base, **nvidia, "environment": {**base["environment"], **nvidia["environment"]}}


def test_compose_uses_only_known_keys_and_builds_this_dockerfile(service: dict[str, Any]):
    assert service.keys() <= SERVICE_KEYS
    build = service["build"]
    assert (DEPLOY / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).samefile(DEPLOY / "Dockerfile")


def test_only_the_page_is_published_and_it_requires_a_token(
    service: dict[str, Any], instructions: list[tuple[str, str]]
):
    assert service["ports"] == [f"{Settings().ports.page}:{Settings().ports.page}"]
    assert arguments_of("EXPOSE", instructions) == [str(Settings().ports.page)]
    (default,) = arguments_of("CMD", instructions)
    for command in (service["command"], yaml.safe_load(default)):
        assert command[0] == "./start"
        settings = Settings(host=parse_start(command[1:]).host)
        assert settings.is_remote and settings.host == "0.0.0.0"


def parse_start(arguments: list[str]) -> argparse.Namespace:
    """Parse arguments as ``./start`` does; exit if they are invalid."""
    parser = argparse.ArgumentParser()
    start.add_arguments(parser)
    return parser.parse_args(arguments)


def test_there_is_enough_shared_memory_for_games(service: dict[str, Any]):
    found = re.fullmatch(r"(\d+)g", service["shm_size"])
    assert found is not None
    assert int(found[1]) << 30 >= shared_memory.MIN_TOTAL


def test_the_gpu_is_reserved_with_its_encoder(service: dict[str, Any]):
    name, _, value = CAPABILITIES.partition("=")
    assert service["environment"][name] == value
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}


def test_volumes_are_mounted_where_the_fleet_writes(
    service: dict[str, Any], instructions: list[tuple[str, str]]
):
    (home,) = arguments_of("WORKDIR", instructions)
    volumes = dict(volume.split(":") for volume in service["volumes"])
    paths = Settings().paths
    assert volumes == {"runs": f"{home}/{paths.runs}", "logs": f"{home}/{paths.logs}"}
    assert load("compose.yaml")["volumes"].keys() == volumes.keys()
    # Created by the user, since a new volume inherits the owner of the folder it covers.
    assert f"mkdir {' '.join(volumes)}" in arguments_of("RUN", instructions)


def test_variables_are_known_settings(service: dict[str, Any]):
    assert list(unknown_variables(service["environment"])) == []


def unit(text: str) -> ConfigParser:
    parser = ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(text)
    return parser


UNIT = DEPLOY / "metabonk.service"


def test_the_unit_starts_the_checkout_with_valid_options():
    service = unit(UNIT.read_text())["Service"]
    program, *arguments = shlex.split(service["ExecStart"])
    assert PurePosixPath(program).parent == PurePosixPath(service["WorkingDirectory"])
    assert PurePosixPath(program).name == "start"
    assert parse_start(arguments).workers == "2"
    name, _, value = service["Environment"].partition("=")
    assert list(unknown_variables({name: value})) == []
    assert value == f"%t/{service['RuntimeDirectory']}"
    assert int(service["TimeoutStopSec"]) > 5, "a clean shutdown may take five seconds"


def complaints(folder: Path) -> Iterator[str]:
    """Yield the messages of ``systemd-analyze`` about the unit, if it is installed."""
    program = shutil.which("systemd-analyze")
    if program is None:
        return
    text = UNIT.read_text().replace("/opt/metabonk", str(ROOT))
    (folder / UNIT.name).write_text(text.replace("User=metabonk", "User=root"))
    verified = subprocess.run(
        [program, "verify", "--man=no", folder / UNIT.name], capture_output=True, text=True
    )
    yield from (line for line in verified.stderr.splitlines() if UNIT.name in line)


def test_systemd_accepts_the_unit(tmp_path: Path):
    assert list(complaints(tmp_path)) == []
