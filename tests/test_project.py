"""Consistency of the root files: versions, commands and paths."""

import ast
import json
import re
import tomllib
from pathlib import Path

import yaml

from metabonk.settings.validation import RENAMED

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()


def checks() -> dict[str, str]:
    """Return the checks of ``./test`` with their descriptions."""
    tree = ast.parse((ROOT / "test").read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CHECKS":
            return dict(ast.literal_eval(node.value))
    raise AssertionError("./test has no CHECKS")


def test_the_changelog_starts_with_the_version_of_the_package():
    newest = re.search(r"^## \[(.+?)\]", CHANGELOG, re.MULTILINE)
    assert newest and newest[1] == PYPROJECT["project"]["version"]


def test_the_web_page_has_the_version_and_license_of_the_package():
    package = json.loads((ROOT / "web" / "package.json").read_text())
    project = PYPROJECT["project"]
    assert (package["version"], package["license"]) == (project["version"], project["license"])


def test_the_changelog_lists_every_renamed_setting():
    for old, new in RENAMED.items():
        assert f"| `{'.'.join(old)}` | `{'.'.join(new)}` |" in CHANGELOG


def test_every_check_is_a_nox_session():
    tree = ast.parse((ROOT / "noxfile.py").read_text())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    sessions = [node.name for node in functions if node.decorator_list]
    assert sorted(sessions) == sorted(checks())


def test_paths_in_the_contributing_guide_exist():
    code = "\n".join(re.findall(r"`([^`\n]+)`", CONTRIBUTING))
    named = set(re.findall(r"(?<![\w./])(?!\.venv)((?:[\w.-]+/)+[\w.-]*)", code))
    placeholders = {"web/src/pages/NamePage.tsx"}
    assert {name for name in named - placeholders if not (ROOT / name).exists()} == set()


def test_commands_in_the_contributing_guide_exist():
    for words in re.findall(r"\./test ([a-z]+)\b", CONTRIBUTING):
        assert words in checks() or (ROOT / words).exists(), words
    scripts = json.loads((ROOT / "web" / "package.json").read_text())["scripts"]
    for name in re.findall(r"web_checks\.py (\w+)", CONTRIBUTING):
        assert name in scripts


def test_pre_commit_hooks_run_programs_of_the_environment():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    installed = {"ruff", "codespell", "lint-imports", "mypy", "python"}
    assert {Path(hook["entry"].split()[0]).name for hook in hooks} == installed
    assert all(hook["entry"].startswith(".venv/bin/") for hook in hooks)
    assert all(hook["language"] == "system" for hook in hooks)
