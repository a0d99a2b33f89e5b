"""The example file against the schema."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from metabonk.settings import Settings, load_settings

EXAMPLE = Path(__file__).parents[2] / "metabonk.example.toml"
UNSET = re.compile(r"^# (\w+) = (.+)$")


def leaves(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from leaves(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def with_the_unset_ones() -> dict[str, Any]:
    text = "\n".join(UNSET.sub(r"\1 = \2", line) for line in EXAMPLE.read_text().splitlines())
    return tomllib.loads(text)


def test_the_example_shows_every_setting_and_no_other():
    assert sorted(name for name, _ in flat(with_the_unset_ones())) == sorted(leaves(Settings))


def test_the_example_shows_the_defaults():
    shown = tomllib.loads(EXAMPLE.read_text())
    assert Settings.model_validate(shown) == Settings()
    defaults = dict(flat(Settings().model_dump(mode="json")))
    assert dict(flat(shown)).items() <= defaults.items()


def test_what_the_example_leaves_unset_would_be_allowed():
    Settings.model_validate(with_the_unset_ones())


def test_every_setting_of_the_example_is_explained():
    lines = EXAMPLE.read_text().splitlines()
    for number, line in enumerate(lines):
        if re.match(r"^(# )?\w+ = ", line):
            assert lines[number - 1].startswith(("# ", "width = ")), f"{line} is not explained"


def test_the_example_can_be_used_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "metabonk.toml").write_text(EXAMPLE.read_text())
    monkeypatch.chdir(tmp_path)
    assert load_settings() == Settings()
