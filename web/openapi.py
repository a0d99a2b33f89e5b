"""Writes ``openapi.json``: every message of ``metabonk.messages`` as the page receives it.

``python openapi.py`` writes the file, ``python openapi.py --check`` only says whether it is up to
date. ``scripts/types.ts`` makes ``src/api/schema.ts`` from it.

The models are taken from the module and not from the orchestrator's application, because a
worker's WebSocket messages belong to the page's types and to no HTTP path.
"""

import inspect
import json
import sys
from pathlib import Path

from pydantic.json_schema import models_json_schema

from metabonk import messages

TARGET = Path(__file__).with_name("openapi.json")
REF_TEMPLATE = "#/components/schemas/{model}"


def document() -> str:
    """The OpenAPI document as JSON text; fields with a default are always present in an answer."""
    models = [
        model
        for _, model in inspect.getmembers(messages, inspect.isclass)
        if issubclass(model, messages.Message) and model is not messages.Message
    ]
    _, schema = models_json_schema(
        [(model, "serialization") for model in models], ref_template=REF_TEMPLATE
    )
    return (
        json.dumps(
            {
                "openapi": "3.1.0",
                "info": {"title": "MetaBonk", "version": "1"},
                "paths": {},
                "components": {"schemas": schema["$defs"]},
            },
            indent=2,
        )
        + "\n"
    )


if __name__ == "__main__":
    text = document()
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(text)
    elif not TARGET.exists() or TARGET.read_text() != text:
        sys.exit("web/openapi.json is not what metabonk.messages says: run 'npm run types' in web/")
