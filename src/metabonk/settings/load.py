"""Loading settings from their sources, with one sentence for each that can't be used."""

import difflib
import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from metabonk.errors import SettingsError
from metabonk.settings.schema import RENAMED, Settings
from metabonk.system.files import write_atomically

CONFIG_FILE = Path("metabonk.toml")
PREFIX = "METABONK_"


def load_settings(
    command_line: Mapping[str, Any] | None = None, *, profiles: Path | None = None
) -> Settings:
    """Load the effective settings.

    Args:
        command_line: nested like the schema; ``None`` values are left out.
        profiles: folder of the named stream profiles; default: ``profiles/`` of the checkout, or of
            the working directory.

    Raises:
        SettingsError: names the setting, its value, and what is allowed.
    """
    given = _without_none(command_line or {})
    file = _read_toml(CONFIG_FILE) if CONFIG_FILE.exists() else {}
    environment = _environment()
    profile_name = (
        given.get("stream_profile")
        or environment.get("stream_profile")
        or file.get("stream_profile")
        or Settings.model_fields["stream_profile"].default
    )
    profile = _read_toml(_profile_file(str(profile_name), profiles or _profiles_folder()))

    merged = _merge(_merge(profile, file), _merge(environment, given))
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        raise SettingsError(_describe(error)) from None


def write_settings(settings: Settings, file: Path) -> None:
    """Write the effective settings for child processes and for the record.

    Raises:
        OSError: they can't be written; the file is unchanged.
    """
    write_atomically(file, (settings.model_dump_json(indent=2) + "\n").encode())


def read_settings(file: Path) -> Settings:
    """Read what ``write_settings`` wrote, also in an earlier version; nothing else is consulted.

    Raises:
        SettingsError: the file is missing or holds something else.
    """
    try:
        return Settings.model_validate(_with_current_names(json.loads(file.read_bytes())))
    except OSError as error:
        raise SettingsError(f"can't read the settings in {file}: {error.strerror}") from None
    except ValidationError as error:
        raise SettingsError(f"can't use the settings in {file}: {_describe(error)}") from None
    except ValueError as error:
        raise SettingsError(f"can't use the settings in {file}: {error}") from None


def unknown_variables(environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """Yield a sentence for every ``METABONK_*`` variable that is not a setting."""
    names = {_variable(path) for path in _leaves(Settings)}
    for name in environment if environment is not None else os.environ:
        if name.startswith(PREFIX) and name not in names:
            close = difflib.get_close_matches(name, names, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            yield f"{name} is not a setting and has no effect{hint}"


def user_runtime_dir() -> Path | None:
    """Return ``$XDG_RUNTIME_DIR``, the login session's folder, where there is one."""
    value = os.environ.get("XDG_RUNTIME_DIR")
    return Path(value) if value else None


def _environment() -> dict[str, Any]:
    """Return the ``METABONK_*`` variables that are set, nested like the schema; empty is unset.

    Raises:
        SettingsError: a variable has the name of an earlier version.
    """
    for old, new in RENAMED.items():
        if os.environ.get(_variable(old)):
            raise SettingsError(f"{_variable(old)} is now called {_variable(new)}")
    values: dict[str, Any] = {}
    for path in _leaves(Settings):
        if text := os.environ.get(_variable(path)):
            section = values
            for name in path[:-1]:
                section = section.setdefault(name, {})
            section[path[-1]] = text
    return values


def _with_current_names(values: Any) -> Any:
    """Return nested settings with the names of earlier versions replaced."""
    for (section, old), (_, new) in RENAMED.items():
        inner = values.get(section) if isinstance(values, dict) else None
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
        return tomllib.loads(file.read_text())
    except OSError as error:
        raise SettingsError(f"can't read {file}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not valid TOML: {error}") from None


def _profiles_folder() -> Path:
    checkout = Path(__file__).resolve().parents[3] / "profiles"
    return checkout if checkout.is_dir() else Path("profiles")


def _profile_file(name: str, folder: Path) -> Path:
    if name.endswith(".toml"):
        return Path(name)
    names = sorted(file.stem for file in folder.glob("*.toml"))
    if name not in names:
        raise SettingsError(
            f"stream_profile is {name!r}: there is no such profile. "
            f"Allowed: {', '.join(names)}, or the path of a TOML file"
        )
    return folder / f"{name}.toml"


def _describe(error: ValidationError) -> str:
    """Return one line for each invalid setting."""
    return "\n".join(_describe_one(details) for details in error.errors())


def _describe_one(details: ErrorDetails) -> str:
    path = tuple(str(part) for part in details["loc"])
    setting = ".".join(path)
    message = details["msg"].removeprefix("Value error, ")
    if path in RENAMED:
        new = RENAMED[path]
        return f"{setting} is now called {'.'.join(new)} ({_variable(new)})"
    if details["type"] == "extra_forbidden":
        known = [".".join(leaf) for leaf in _leaves(Settings)]
        close = difflib.get_close_matches(setting, known, 1)
        hint = f"; did you mean {close[0]}?" if close else ""
        return f"there is no setting {setting}{hint}"
    if not path:
        return message
    given = "invalid" if setting == "access_token" else f"{details['input']!r}"
    return f"{setting} ({_variable(path)}) is {given}: {message[0].lower()}{message[1:]}"


def _variable(path: tuple[str, ...]) -> str:
    return PREFIX + "_".join(path).upper()


def _leaves(model: type[BaseModel], prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _leaves(inner, (*prefix, name))
        else:
            yield (*prefix, name)
