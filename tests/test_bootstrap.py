"""``scripts/bootstrap.py`` in a temporary checkout, with installation steps replaced."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]

PYPROJECT = """
[project]
name = "metabonk"
dependencies = ["typing-Extensions>=4", "numpy[test]>=2.0"]

[project.optional-dependencies]
train = ["torch>=2", "metabonk[doom]"]
doom = ["vizdoom>=1"]
test = ["pytest>=8"]
"""


class Checkout:
    """Folder that looks like a checkout, with its bootstrap module."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        (folder / "scripts").mkdir(parents=True)
        (folder / "web" / "src").mkdir(parents=True)
        (folder / "web" / "src" / "main.tsx").write_text("main")
        (folder / "web" / "src" / "main.test.tsx").write_text("test")
        (folder / "constraints.txt").write_text("constraints.txt")
        (folder / "pyproject.toml").write_text(PYPROJECT)
        copy = folder / "scripts" / "bootstrap.py"
        copy.write_text((ROOT / "scripts" / "bootstrap.py").read_text())
        self.module = load(copy)
        self.steps: list[str] = []
        self.command: list[object] = []
        self.error: BaseException | None = None
        self.installed = ["metabonk", "typing_extensions", "numpy", "torch", "vizdoom"]
        monkeypatch.setattr(self.module, "step", self.step)

    def step(self, what: str, command: list[object], **given: object) -> None:
        time.sleep(0.05)
        self.steps.append(what.split()[0])
        self.command = command
        if self.error:
            raise self.error
        if "venv" in command:
            python = self.folder / ".venv" / "bin" / "python"
            shutil.rmtree(self.folder / ".venv", ignore_errors=True)
            python.parent.mkdir(parents=True)
            version = sys.version_info[:3]
            python.write_text(f"#!/bin/sh\necho '{self.folder / '.venv'} {version}'\n")
            python.chmod(0o755)
            (python.parent / "activate").write_text(str(self.folder / ".venv"))
        else:
            for name in self.installed:
                (self.site / f"{name}-1.0.dist-info").mkdir(parents=True, exist_ok=True)

    @property
    def site(self) -> Path:
        return self.folder / ".venv" / "lib" / "python3.99" / "site-packages"

    def install(self, extra: str = "") -> list[str]:
        """Install and return the first word of each step."""
        self.steps.clear()
        self.module.install(extra)
        return list(self.steps)


def load(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"bootstrap_{file.parent.parent.name}", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    return Checkout(tmp_path / "checkout", monkeypatch)


def test_the_first_start_installs_everything_and_the_second_nothing(checkout: Checkout):
    assert checkout.install() == ["making", "installing"]
    assert checkout.install() == []


@pytest.mark.parametrize(
    "changed", ["pyproject.toml", "constraints.txt", "web/src/main.tsx", "web/package.json"]
)
def test_a_changed_source_repeats_the_installation(checkout: Checkout, changed: str):
    checkout.install()
    with (checkout.folder / changed).open("a") as file:
        file.write("\n# changed\n")
    assert checkout.install() == ["installing"]
    assert checkout.install() == []


def test_a_changed_test_of_the_page_does_not_repeat_the_installation(checkout: Checkout):
    checkout.install()
    (checkout.folder / "web" / "src" / "main.test.tsx").write_text("changed")
    assert checkout.install() == []


def test_an_installation_for_tests_also_serves_the_start_but_not_vice_versa(
    checkout: Checkout,
):
    checkout.install()
    assert checkout.install("test") == ["installing"]
    assert checkout.install() == []
    assert checkout.install("test") == []


@pytest.mark.parametrize("interruption", [SystemExit("no network"), KeyboardInterrupt()])
def test_an_interrupted_installation_is_repeated(checkout: Checkout, interruption: BaseException):
    checkout.install()
    (checkout.folder / "pyproject.toml").write_text(f"{PYPROJECT}# changed")
    checkout.error = interruption
    with pytest.raises(type(interruption)):
        checkout.install()
    (checkout.folder / "pyproject.toml").write_text(PYPROJECT)
    checkout.error = None
    assert checkout.install() == ["installing"]


@pytest.mark.parametrize("damage", ["half a stamp", "no python", "broken python", "moved"])
def test_a_damaged_environment_is_recreated(checkout: Checkout, damage: str):
    checkout.install()
    venv = checkout.folder / ".venv"
    (venv / "metabonk-stamp.json").write_text('{"digest": ')
    expected = ["making", "installing"]
    if damage == "half a stamp":
        expected = ["installing"]
    elif damage == "moved":
        (venv / "bin" / "activate").write_text("/elsewhere/.venv")
    else:
        (venv / "bin" / "python").unlink()
        if damage == "broken python":
            (venv / "bin" / "python").symlink_to("/nowhere/python3")
    for leftover in ("python", "activate"):
        if expected == ["making", "installing"]:
            (venv / "bin" / leftover).unlink(missing_ok=True)
    if expected == ["making", "installing"]:
        (venv / "bin").rmdir()
    assert checkout.install() == expected


def test_an_environment_whose_stamp_is_current_but_that_lacks_a_package_heals(checkout: Checkout):
    checkout.install()
    (checkout.site / "numpy-1.0.dist-info").rmdir()
    assert checkout.install() == ["installing"]
    (checkout.folder / ".venv" / "bin" / "python").unlink()
    assert checkout.install() == ["making", "installing"]
    assert checkout.install() == []


@pytest.mark.parametrize("lost", ["numpy", "torch", "vizdoom"])
def test_a_lost_dependency_of_a_fleet_is_installed_again(checkout: Checkout, lost: str):
    checkout.install("test")
    shutil.rmtree(checkout.site / f"{lost}-1.0.dist-info")
    assert checkout.install("test") == ["installing"]
    assert checkout.install("test") == []


@pytest.mark.parametrize(
    ("extra", "target"), [("", ".[train,doom]"), ("test,docs", ".[train,doom,test,docs]")]
)
def test_an_installation_has_all_that_a_fleet_needs(checkout: Checkout, extra: str, target: str):
    checkout.install(extra)
    assert checkout.command[-1] == target


def test_an_installation_that_went_elsewhere_is_an_error_and_is_repeated(checkout: Checkout):
    checkout.installed = ["numpy", "torch", "vizdoom"]
    for _ in range(2):
        with pytest.raises(SystemExit, match=r"\.venv has no metabonk, typing-extensions"):
            checkout.install()
        assert checkout.steps[-1] == "installing"


PIP_CONF = """
[global]
index-url = https://mirror.example/simple
timeout = 7
target = elsewhere
[install]
user = yes
trusted-host =
    mirror.example
    second.example
"""


def test_pip_installs_into_the_environment_from_the_users_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    module = load(ROOT / "scripts" / "bootstrap.py")
    module.PYTHON = sys.executable
    for name in [name for name in os.environ if name.startswith(("PIP_", "PYTHON"))]:
        monkeypatch.delenv(name)
    (tmp_path / "pip.conf").write_text(PIP_CONF)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    for name in ("TARGET", "PREFIX", "ROOT", "SRC", "REQUIREMENT", "REQUIRE_VIRTUALENV"):
        monkeypatch.setenv(f"PIP_{name}", str(tmp_path / "elsewhere"))
    for name in ("PYTHONPATH", "PYTHONUSERBASE"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("PIP_TIMEOUT", "9")
    monkeypatch.setenv("PIP_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    environment = module.pip_environment()
    assert environment.items() >= {
        ("PIP_CONFIG_FILE", "/dev/null"),
        ("PIP_INDEX_URL", "https://mirror.example/simple"),
        ("PIP_TIMEOUT", "9"),
        ("PIP_PROXY", "http://proxy.example:3128"),
        ("PIP_TRUSTED_HOST", "\nmirror.example\nsecond.example"),
        ("HTTPS_PROXY", "http://proxy.example:3128"),
    }
    assert "elsewhere" not in " ".join(environment.values())
    assert not environment.keys() & {"PIP_USER", "PYTHONPATH", "PYTHONUSERBASE"}


def test_pip_puts_a_package_into_the_environment_whatever_the_user_has_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    module = load(ROOT / "scripts" / "bootstrap.py")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "elsewhere"))
    wheel = tmp_path / "nothing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("nothing.py", "")
        archive.writestr("nothing-1.0.dist-info/METADATA", "Name: nothing\nVersion: 1.0\n")
        archive.writestr(
            "nothing-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr("nothing-1.0.dist-info/RECORD", "")
    python = str(tmp_path / "venv" / "bin" / "python")
    module.PYTHON = sys.executable
    pip = [sys.executable, "-I", "-m", "pip", "--python", python, "install", "--no-index", wheel]
    subprocess.run(pip, env=module.pip_environment(), check=True, capture_output=True)
    assert not (tmp_path / "elsewhere").exists()
    found = subprocess.run([python, "-c", "import nothing"], check=False)
    assert found.returncode == 0


def test_a_configuration_that_pip_cannot_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    module = load(ROOT / "scripts" / "bootstrap.py")
    module.PYTHON = sys.executable
    (tmp_path / "pip.conf").write_text("index-url = without a section")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    with pytest.raises(SystemExit, match="pip can't read its configuration"):
        module.pip_environment()


def test_of_concurrent_starts_one_installs_and_the_others_wait(checkout: Checkout):
    threads = [threading.Thread(target=checkout.module.install) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert checkout.steps == ["making", "installing"]
    stamp = json.loads((checkout.folder / ".venv" / "metabonk-stamp.json").read_text())
    assert stamp["extras"] == [""]


def test_a_failed_step_is_reported_with_its_output_and_a_fix(tmp_path: Path):
    module = load(ROOT / "scripts" / "bootstrap.py")
    program = "print('one'); print('OSError: No space left on device'); raise SystemExit(1)"
    with pytest.raises(SystemExit) as exited:
        module.step("installing", [sys.executable, "-c", program])
    message = str(exited.value.code)
    assert "this step failed after" in message and "installing" in message
    assert "    OSError: No space left on device" in message
    assert "→ free some disk" in message


def test_without_ensurepip_the_package_to_install_is_named(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(checkout.module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="apt install python3-venv"):
        checkout.install()


def test_an_old_python_re_executes_in_a_newer_one_or_fails(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
):
    executed: list[str] = []
    monkeypatch.setattr(checkout.module.sys, "version_info", (3, 9, 2))
    monkeypatch.setattr(checkout.module.os, "execv", lambda path, words: executed.append(path))
    monkeypatch.setattr(
        checkout.module.shutil, "which", lambda name: "/x" if name == "python3.12" else None
    )
    with pytest.raises(SystemExit):
        checkout.module.require_python()
    assert executed == ["/x"]
    monkeypatch.setattr(checkout.module.shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match=r"needs Python 3\.11 or newer"):
        checkout.module.require_python()


def test_scripts_of_a_checkout_that_is_not_installed_explain_it(tmp_path: Path):
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    for name in ("bootstrap.py", "stop.py"):
        (scripts / name).write_text((ROOT / "scripts" / name).read_text())
    result = subprocess.run(
        [sys.executable, str(scripts / "stop.py"), "--all"], capture_output=True, text=True
    )
    assert result.returncode == 1
    assert "./start installs it" in result.stderr
    assert "Traceback" not in result.stderr


def test_every_direct_dependency_is_pinned():
    import re
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    requirements = [*project["dependencies"], *(line for extra in extras for line in extra)]
    names = {re.split(r"[<>=\[;]", line)[0].strip() for line in requirements}
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert names - {project["name"]} <= pinned.keys()
    assert pinned["torch"] == "2.13.0"
