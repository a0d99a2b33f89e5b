"""Arguments for the constructor of a Gymnasium environment, from ``KEY=VALUE``."""

import json
from typing import Annotated, TypeAlias

from pydantic import BeforeValidator, JsonValue

PYTHON_WORDS = {"True": True, "False": False, "None": None}

EnvArgs: TypeAlias = dict[str, JsonValue]


def parse(given: object) -> object:
    """Return the arguments in any notation as a table.

    Args:
        given: a table, as in TOML; ``KEY=VALUE`` strings, as on the command line; or one string, as
            in the environment: ``KEY=VALUE,…``, or a JSON object.

    Raises:
        ValueError: an argument has no name, or one that MetaBonk sets itself.
    """
    match given:
        case str() if given.lstrip().startswith("{"):
            arguments = _value(given)
        case str():
            arguments = _table([each for each in given.split(",") if each.strip()])
        case list():
            arguments = _table(given)
        case _:
            arguments = given
    if isinstance(arguments, dict) and "render_mode" in arguments:
        raise ValueError("must not contain render_mode: viewers need 'rgb_array'")
    return arguments


def show(arguments: EnvArgs) -> str:
    """Return the arguments as they are typed; "no arguments" without any."""
    typed = (
        f"{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in arguments.items()
    )
    return ", ".join(typed) or "no arguments"


def _table(words: list[object]) -> dict[str, object]:
    table: dict[str, object] = {}
    for word in words:
        name, equals, text = str(word).partition("=")
        if not equals or not name.strip().isidentifier():
            raise ValueError("must be KEY=VALUE, such as is_slippery=false")
        table[name.strip()] = _value(text.strip())
    return table


def _value(text: str) -> object:
    """Return a value in JSON, or a word of Python's, as such; anything else is text."""
    if text in PYTHON_WORDS:
        return PYTHON_WORDS[text]
    try:
        return json.loads(text)
    except ValueError:
        return text


EnvArgsSetting = Annotated[EnvArgs, BeforeValidator(parse)]
