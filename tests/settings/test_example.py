"""The example file matches the schema."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from metabonk.policy.defaults import TUNED
from metabonk.settings import Settings, load_settings
from metabonk.settings.learning import Learning

EXAMPLE = Path(__file__).parents[2] / "metabonk.example.toml"
UNSET = re.compile(r"^# (\w+) = (.+)$")


def setting_names(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from setting_names(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def flatten(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield every setting; one inside a section may be a table itself."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}.{setting}", each) for setting, each in value.items())
        else:
            yield name, value


def with_unset_settings() -> dict[str, Any]:
    text = "\n".join(UNSET.sub(r"\1 = \2", line) for line in EXAMPLE.read_text().splitlines())
    return tomllib.loads(text)


def test_the_example_lists_exactly_the_settings_of_the_schema():
    assert sorted(name for name, _ in flatten(with_unset_settings())) == sorted(
        setting_names(Settings)
    )


def test_the_example_shows_the_defaults():
    values = tomllib.loads(EXAMPLE.read_text())
    assert Settings.model_validate(values) == Settings()
    defaults = dict(flatten(Settings().model_dump(mode="json")))
    assert dict(flatten(values)).items() <= defaults.items()


def test_a_copy_of_the_example_leaves_the_defaults_to_the_kind_of_game():
    learning = tomllib.loads(EXAMPLE.read_text())["learning"]
    assert not learning.keys() & set(TUNED)
    commented = with_unset_settings()["learning"]
    assert {name: commented[name] for name in TUNED} == {
        name: getattr(Learning(), name) for name in TUNED
    }


def test_values_of_commented_settings_are_valid():
    Settings.model_validate(with_unset_settings())


def test_every_setting_of_the_example_has_a_comment():
    lines = EXAMPLE.read_text().splitlines()
    for number, line in enumerate(lines):
        if re.match(r"^(# )?\w+ = ", line):
            assert lines[number - 1].startswith(("# ", "width = ")), f"{line} has no comment"


def test_the_example_loads_as_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "metabonk.toml").write_text(EXAMPLE.read_text())
    monkeypatch.chdir(tmp_path)
    assert load_settings() == Settings()
