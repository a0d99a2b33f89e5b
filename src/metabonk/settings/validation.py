"""Validation of settings, with a sentence for each that can't be used. Pure."""

import difflib
from collections.abc import Container, Iterator, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from metabonk.settings.schema import Settings

PREFIX = "METABONK_"

RENAMED = {
    ("worker", "games"): ("worker", "games_per_worker"),
    ("worker", "restart_limit_s"): ("worker", "restart_backoff_max_s"),
    ("go2rtc", "bin"): ("go2rtc", "path"),
    ("learning", "batch_steps"): ("learning", "batch_size"),
    ("learning", "minibatches"): ("learning", "num_minibatches"),
    ("learning", "learning_rate_final"): ("learning", "lr_final"),
    ("learning", "schedule_steps"): ("learning", "lr_decay_steps"),
    ("learning", "clip"): ("learning", "clip_range"),
    ("learning", "value_clip"): ("learning", "value_clip_range"),
    ("learning", "exploration"): ("learning", "exploration_loss"),
    ("learning", "checkpoint_s"): ("learning", "checkpoint_interval_s"),
}
"""Section and name of each setting renamed since version 0.1, and what it is called now."""


def validate(values: dict[str, Any], variables: Container[str] = ()) -> tuple[Settings, list[str]]:
    """Return the settings with defaults for invalid ones, and a sentence for each of those.

    Args:
        values: nested like the schema.
        variables: of the environment that are set, and so may hold an invalid value.
    """
    mistakes: list[str] = []
    while True:
        try:
            return Settings.model_validate(values), mistakes
        except ValidationError as error:
            errors = error.errors()
            mistakes += [_describe(details, variables) for details in errors]
            for path in {_present(values, details["loc"]) for details in errors}:
                values = _without(values, path)


def _present(values: Any, path: Sequence[int | str]) -> tuple[int | str, ...]:
    """Return the longest beginning of ``path`` that is in nested values."""
    for depth, name in enumerate(path):
        if not isinstance(values, dict) or name not in values:
            return tuple(path[:depth])
        values = values[name]
    return tuple(path)


def _without(values: dict[str, Any], path: tuple[int | str, ...]) -> dict[str, Any]:
    """Return nested values without the one at ``path``; without any for an empty path."""
    if not path:
        return {}
    first, *rest = path
    kept = {name: value for name, value in values.items() if name != first}
    inner = values.get(str(first))
    if rest and isinstance(inner, dict):
        kept[str(first)] = _without(inner, tuple(rest))
    return kept


SECRET = ("access_token", "air.key", "air.to", "alerts.webhook")
"""Settings that are, or may contain by mistake, what nobody should read."""


def _describe(details: ErrorDetails, variables: Container[str]) -> str:
    """Return a line about an invalid setting."""
    path = tuple(str(part) for part in details["loc"])
    setting = ".".join(path)
    message = details["msg"].removeprefix("Value error, ")
    if path in RENAMED:
        new = RENAMED[path]
        return f"{setting} is now called {'.'.join(new)} ({variable(new)})"
    if details["type"] == "extra_forbidden":
        known = [".".join(leaf) for leaf in leaves(Settings)]
        close = difflib.get_close_matches(setting, known, 1)
        hint = f"; did you mean {close[0]}?" if close else ""
        return f"there is no setting {setting}{hint}"
    if not path:
        return message
    given = "invalid" if setting in SECRET else f"{details['input']!r}"
    named = f"{setting} ({variable(path)})" if variable(path) in variables else setting
    return f"{named} is {given}: {message[0].lower()}{message[1:]}"


def variable(path: tuple[str, ...]) -> str:
    """Return the environment variable of a setting."""
    return PREFIX + "_".join(path).upper()


def leaves(model: type[BaseModel], prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every setting below a section."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from leaves(inner, (*prefix, name))
        else:
            yield (*prefix, name)
