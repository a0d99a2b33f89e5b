"""JSON that processes of MetaBonk exchange, also where it holds names of files that are not UTF-8.

Python keeps the bytes of such names as lone surrogates, which JSON can carry as escapes only.
"""

import json
from collections.abc import Mapping, Set
from typing import TypeVar

from pydantic import BaseModel

Model = TypeVar("Model", bound=BaseModel)


def to_json(
    model: BaseModel,
    *,
    indent: int | None = None,
    exclude: Mapping[str, Set[str]] | None = None,
) -> bytes:
    """Return a model as JSON in ASCII.

    Args:
        model: to encode.
        indent: spaces; None: all on one line.
        exclude: fields to leave out of fields that are models, by the names of those.
    """
    excluded = {name: set(fields) for name, fields in (exclude or {}).items()}
    return json.dumps(model.model_dump(mode="json", exclude=excluded), indent=indent).encode()


def from_json(kind: type[Model], text: bytes) -> Model:
    """Return the model that ``to_json`` was given.

    Raises:
        ValueError: it is no JSON, or of something else.
    """
    return kind.model_validate(json.loads(text))
