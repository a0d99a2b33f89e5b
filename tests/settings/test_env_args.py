"""``metabonk.settings.env_args``: arguments for an environment's constructor."""

from pathlib import Path
from typing import Any

import pytest

from metabonk.errors import SettingsError
from metabonk.settings import Settings, load_settings, read_settings, write_settings
from metabonk.settings.env_args import show

ARGUMENTS = {"is_slippery": False, "size": 8, "rate": 0.5, "name": "4x4", "desc": "SFHG"}


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("a=1", 1),
        ("a=-0.5", -0.5),
        ("a=1e-3", 1e-3),
        ("a=true", True),
        ("a=False", False),
        ("a=None", None),
        ("a=4x4", "4x4"),
        ("a=", ""),
        ('a="8"', "8"),
        ("a=x=y", "x=y"),
        (" a = 2 ", 2),
        ('a={"lanes": 3}', {"lanes": 3}),
        ("a=[1, 2]", [1, 2]),
    ],
)
def test_a_value_has_the_type_that_it_looks_like(word: str, value: Any):
    given = load_settings({"learning": {"env_args": [word]}}).learning.env_args
    assert given == {"a": value}
    assert type(given["a"]) is type(value)


@pytest.mark.parametrize(
    "given",
    [
        "is_slippery=false,size=8,rate=0.5,name=4x4,desc=SFHG",
        '{"is_slippery": false, "size": 8, "rate": 0.5, "name": "4x4", "desc": "SFHG"}',
    ],
)
def test_the_environment_variable_holds_several(given: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("METABONK_LEARNING_ENV_ARGS", given)
    assert load_settings().learning.env_args == ARGUMENTS


def test_the_file_holds_a_table_that_the_command_line_replaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "metabonk.toml").write_text("[learning]\nenv_args = { size = 8, slow = true }\n")
    assert load_settings().learning.env_args == {"size": 8, "slow": True}
    assert load_settings({"learning": {"env_args": ["size=4"]}}).learning.env_args == {"size": 4}


def test_arguments_are_recorded_with_their_types(tmp_path: Path):
    settings = Settings.model_validate({"learning": {"env_args": ARGUMENTS}})
    write_settings(settings, tmp_path / "settings.json")
    assert read_settings(tmp_path / "settings.json").learning.env_args == ARGUMENTS


@pytest.mark.parametrize("word", ["slippery", "=1", "two words=1", ""])
def test_what_names_no_argument_is_refused_with_an_example(word: str):
    with pytest.raises(SettingsError, match=r"learning\.env_args .*as is_slippery=false"):
        load_settings({"learning": {"env_args": [word]}})


def test_how_an_environment_renders_is_not_to_choose():
    with pytest.raises(SettingsError, match="must not contain render_mode"):
        load_settings({"learning": {"env_args": ["render_mode=human"]}})


def test_arguments_are_shown_as_they_are_typed():
    assert show({"a": True, "b": "4x4", "c": 2}) == "a=true, b=4x4, c=2"
    assert show({}) == "no arguments"
