"""Command lines in messages."""

import sys

import pytest

from metabonk.settings import commands
from metabonk.settings.commands import EXTRAS, add_extra, missing_module


def test_a_checkout_is_repaired_by_its_start():
    assert add_extra("train") == ".venv/bin/pip install '.[train]'"
    assert missing_module("torch").endswith("has no module 'torch'. Run './start'")


def test_a_wheel_without_an_extra_says_which_one_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(commands, "is_checkout", lambda: False)
    for module, extra in EXTRAS.items():
        sentence = missing_module(module)
        assert f"needs {module}" in sentence
        assert sentence.endswith(f"run pip install 'metabonk[{extra}]'")


@pytest.mark.parametrize("module", ["rich", None])
def test_a_damaged_wheel_is_installed_again(monkeypatch: pytest.MonkeyPatch, module: str | None):
    monkeypatch.setattr(commands, "is_checkout", lambda: False)
    sentence = missing_module(module)
    assert f"{sys.executable} has no module {module!r}" in sentence
    assert "pip install --force-reinstall --no-deps metabonk" in sentence
