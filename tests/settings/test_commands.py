"""Command lines in messages."""

import sys

import pytest

from metabonk.settings import commands
from metabonk.settings.commands import (
    FLEET_MODULES,
    add_extra,
    is_installed,
    missing_for_fleet,
    missing_module,
)


@pytest.fixture
def wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "is_checkout", lambda: False)


def test_a_checkout_is_completed_by_its_start():
    assert add_extra("gst") == ".venv/bin/pip install '.[gst]'"
    assert missing_module("torch").endswith("run ./start")
    assert missing_module("rich").endswith("has no module 'rich'. Run './start'")


@pytest.mark.usefixtures("wheel")
@pytest.mark.parametrize("module", FLEET_MODULES)
def test_a_wheel_without_the_extra_names_it(module: str):
    sentence = missing_module(module)
    assert f"needs {module}" in sentence
    assert sentence.endswith("run pip install 'metabonk[train]'")


@pytest.mark.usefixtures("wheel")
@pytest.mark.parametrize("module", ["rich", None])
def test_a_damaged_wheel_is_installed_again(module: str | None):
    sentence = missing_module(module)
    assert f"{sys.executable} has no module {module!r}" in sentence
    assert "pip install --force-reinstall --no-deps metabonk" in sentence


def test_all_that_a_fleet_lacks_is_named_at_once(monkeypatch: pytest.MonkeyPatch):
    assert missing_for_fleet() is None
    monkeypatch.setattr(commands, "FLEET_MODULES", ("nowhere", "torch", "nothing"))
    assert missing_for_fleet() == "a fleet needs nowhere, nothing, which this installation lacks"


def test_looking_for_a_module_does_not_import_it():
    assert is_installed("this") and not is_installed("nowhere")
    assert "this" not in sys.modules
