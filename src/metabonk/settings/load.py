"""Reads settings from where people put them, and says in a sentence what is wrong with one."""

import difflib
import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource

from metabonk.errors import SettingsError
from metabonk.settings.schema import Settings

CONFIG_FILE = Path("metabonk.toml")
PREFIX = "METABONK_"


def load_settings(
    command_line: Mapping[str, Any] | None = None, *, profiles: Path | None = None
) -> Settings:
    """The effective settings.

    Args:
        command_line: nested like the schema; ``None`` values are left out.
        profiles: folder of the named stream profiles; default: ``profiles/`` of the checkout, or of
            the working directory.

    Raises:
        SettingsError: names the setting, its value, and what is allowed.
    """
    given = _without_none(command_line or {})
    file = _read_toml(CONFIG_FILE) if CONFIG_FILE.exists() else {}
    profile_name = (
        given.get("stream_profile")
        or os.environ.get(f"{PREFIX}STREAM_PROFILE")
        or file.get("stream_profile")
        or Settings.model_fields["stream_profile"].default
    )
    profile = _read_toml(_profile_file(str(profile_name), profiles or _profiles_folder()))

    class Layered(Settings):
        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], **_: PydanticBaseSettingsSource
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (
                _Values(settings_cls, given),
                EnvSettingsSource(settings_cls),
                _Values(settings_cls, file),
                _Values(settings_cls, profile),
            )

    try:
        layered = Layered()
    except ValidationError as error:
        raise SettingsError(_sentence(error)) from None
    except ValueError as error:
        raise SettingsError(f"the environment can't be read: {error}") from None
    return Settings.model_construct(**{n: getattr(layered, n) for n in Settings.model_fields})


def write_settings(settings: Settings, file: Path) -> None:
    """Writes the effective settings where child processes, and people later, read them."""
    file.write_text(settings.model_dump_json(indent=2) + "\n")


def read_settings(file: Path) -> Settings:
    """The settings that ``write_settings`` wrote; the environment has no say any more.

    Raises:
        SettingsError: the file is missing or holds something else.
    """

    class Stored(Settings):
        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], **_: PydanticBaseSettingsSource
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (_Values(settings_cls, json.loads(file.read_text())),)

    try:
        stored = Stored()
    except (OSError, ValueError) as error:
        raise SettingsError(f"can't read the settings in {file}: {error}") from None
    return Settings.model_construct(**{n: getattr(stored, n) for n in Settings.model_fields})


def unknown_variables(environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """A sentence for every ``METABONK_*`` variable that no setting reads."""
    names = {_variable(path) for path in _leaves(Settings)}
    for name in environment if environment is not None else os.environ:
        if name.startswith(PREFIX) and name not in names:
            close = difflib.get_close_matches(name, names, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            yield f"{name} is not a setting and has no effect{hint}"


def user_runtime_dir() -> Path | None:
    """``$XDG_RUNTIME_DIR``: the login session's folder, where there is one."""
    value = os.environ.get("XDG_RUNTIME_DIR")
    return Path(value) if value else None


class _Values(PydanticBaseSettingsSource):
    """A source that already holds its values."""

    def __init__(self, settings_cls: type[BaseSettings], values: dict[str, Any]) -> None:
        super().__init__(settings_cls)
        self._values = values

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return self._values.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return self._values


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


def _sentence(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        path = tuple(str(part) for part in problem["loc"])
        setting = ".".join(path)
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            known = [".".join(leaf) for leaf in _leaves(Settings)]
            close = difflib.get_close_matches(setting, known, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            lines.append(f"there is no setting {setting}{hint}")
        else:
            lines.append(
                f"{setting} ({_variable(path)}) is {problem['input']!r}: "
                f"{message[0].lower()}{message[1:]}"
            )
    return "\n".join(lines)


def _variable(path: tuple[str, ...]) -> str:
    return PREFIX + "_".join(path).upper()


def _leaves(model: type[BaseModel], prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _leaves(inner, (*prefix, name))
        else:
            yield (*prefix, name)
