"""Loading settings from their sources, with one sentence for each that can't be used."""

import difflib
import json
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping, Set
from pathlib import Path
from typing import Any

from metabonk.errors import SettingsError
from metabonk.settings.learning import Learning
from metabonk.settings.nodes import TOKEN_VARIABLE
from metabonk.settings.schema import Settings
from metabonk.settings.validation import PREFIX, RENAMED, leaves, validate, variable
from metabonk.system.files import write_atomically
from metabonk.system.json_text import to_json

CONFIG_FILE = Path("metabonk.toml")
PROFILE_FOLDERS = (Path("profiles"), Path(__file__).resolve().parents[1] / "profiles")
"""Folders of named stream profiles: the user's own take precedence over those of the package."""

OTHER_VARIABLES = frozenset({f"{PREFIX}BROADCAST", f"{PREFIX}HUB", TOKEN_VARIABLE})
"""Variables for ``broadcast`` in other trainers, which have no settings, and the nodes' secret."""


def load_settings(
    command_line: Mapping[str, Any] | None = None, recorded: Mapping[str, Any] | None = None
) -> Settings:
    """Load the effective settings.

    Args:
        command_line: nested like the schema; ``None`` values are left out.
        recorded: of the run that is resumed, nested like the schema; every other source overrides
            them.

    Raises:
        SettingsError: names each invalid setting, its value, and what is allowed.
    """
    settings, mistakes = load_usable_settings(command_line, recorded)
    if mistakes:
        raise SettingsError("\n".join(mistakes))
    return settings


def load_usable_settings(
    command_line: Mapping[str, Any] | None = None, recorded: Mapping[str, Any] | None = None
) -> tuple[Settings, list[str]]:
    """Load the settings with defaults for invalid ones, and a sentence for each of those."""
    mistakes: list[str] = []

    def usable(read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        try:
            return read()
        except SettingsError as error:
            mistakes.append(str(error))
            return {}

    given = _without_none(command_line or {})
    file = usable(lambda: _read_toml(CONFIG_FILE)) if CONFIG_FILE.exists() else {}
    mistakes += _renamed_variables()
    environment = _environment()
    profile_name = (
        given.get("stream_profile")
        or environment.get("stream_profile")
        or file.get("stream_profile")
        or Settings.model_fields["stream_profile"].default
    )
    profile = usable(lambda: _read_toml(_profile_file(str(profile_name))))
    settings, invalid = validate(
        _merge(_merge(_merge(recorded or {}, profile), file), _merge(environment, given)),
        os.environ,
    )
    return settings, [*mistakes, *invalid]


def write_settings(settings: Settings, file: Path) -> None:
    """Write the effective settings for child processes and for the record.

    Raises:
        OSError: they can't be written; the file is unchanged.
    """
    write_atomically(file, to_json(settings, indent=2, exclude=_unset(settings)) + b"\n")


def settings_values(settings: Settings) -> dict[str, Any]:
    """Return the effective settings as JSON values, as ``write_settings`` writes them."""
    values: dict[str, Any] = json.loads(to_json(settings, exclude=_unset(settings)))
    return values


def _unset(settings: Settings) -> dict[str, Set[str]]:
    """Return the settings of learning that nobody has set: their defaults depend on the game."""
    return {"learning": Learning.model_fields.keys() - settings.learning.model_fields_set}


def read_settings(file: Path) -> Settings:
    """Read what ``write_settings`` wrote, also in an earlier version; nothing else is consulted.

    Raises:
        SettingsError: the file is missing or holds something else.
    """
    settings, mistakes = read_usable_settings(file)
    if mistakes:
        raise SettingsError(f"can't use the settings in {file}: {'; '.join(mistakes)}")
    return settings


def read_usable_settings(file: Path) -> tuple[Settings, list[str]]:
    """Read what another version wrote: the usable settings, and a sentence for each other one.

    Raises:
        SettingsError: the file is missing or holds something else.
    """
    return validate(_with_current_names(read_values(file)))


def read_values(file: Path) -> dict[str, Any]:
    """Read what ``write_settings`` wrote, in any version, without validation.

    Raises:
        SettingsError: the file is missing or holds something else.
    """
    try:
        values = json.loads(file.read_bytes())
    except OSError as error:
        raise SettingsError(f"can't read the settings in {file}: {error.strerror}") from None
    except ValueError as error:
        raise SettingsError(f"can't use the settings in {file}: {error}") from None
    if not isinstance(values, dict):
        raise SettingsError(f"can't use the settings in {file}: it holds no JSON object")
    return values


def unknown_variables(environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """Yield a sentence for every ``METABONK_*`` variable that is not a setting."""
    names = {variable(path) for path in leaves(Settings)} | OTHER_VARIABLES
    for name in environment if environment is not None else os.environ:
        if name.startswith(PREFIX) and name not in names:
            close = difflib.get_close_matches(name, names, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            yield f"{name} is not a setting and has no effect{hint}"


def _renamed_variables() -> Iterator[str]:
    """Yield a sentence for each variable that has the name of an earlier version."""
    for old, new in RENAMED.items():
        if os.environ.get(variable(old)):
            yield f"{variable(old)} is now called {variable(new)}"


def _environment() -> dict[str, Any]:
    """Return the ``METABONK_*`` variables that are set, nested like the schema; empty is unset."""
    values: dict[str, Any] = {}
    for path in leaves(Settings):
        if text := os.environ.get(variable(path)):
            section = values
            for name in path[:-1]:
                section = section.setdefault(name, {})
            section[path[-1]] = text
    return values


def _with_current_names(values: dict[str, Any]) -> dict[str, Any]:
    """Return nested settings with the names of earlier versions replaced."""
    for (section, old), (_, new) in RENAMED.items():
        inner = values.get(section)
        if isinstance(inner, dict) and old in inner:
            inner[new] = inner.pop(old)
    return values


def _merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for name, value in over.items():
        below = merged.get(name)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            merged[name] = _merge(below, value)
        else:
            merged[name] = value
    return merged


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            if inner := _without_none(value):
                kept[name] = inner
        elif value is not None:
            kept[name] = value
    return kept


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SettingsError(f"can't read {file}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not valid TOML: {error}") from None


def _profile_file(name: str) -> Path:
    if name.endswith(".toml"):
        return Path(name)
    files = [file for folder in PROFILE_FOLDERS for file in sorted(folder.glob("*.toml"))]
    for file in files:
        if file.stem == name:
            return file
    names = sorted({file.stem for file in files})
    raise SettingsError(
        f"stream_profile is {name!r}: there is no such profile. "
        f"Allowed: {', '.join(names)}, or the path of a TOML file"
    )
