"""Generate ``openapi.json`` from the models of ``metabonk.messages``.

``python openapi.py`` writes the file; ``python openapi.py --check`` fails if it is out of date.
``scripts/types.js`` generates ``src/api/schema.ts`` from it.

The models come from the modules, not from the orchestrator's FastAPI application: the page also
needs the WebSocket messages, which belong to no HTTP path.
"""

import importlib
import inspect
import json
import pkgutil
import sys
from pathlib import Path

from pydantic.json_schema import models_json_schema

import metabonk.messages
from metabonk.messages.base import Message

TARGET = Path(__file__).with_name("openapi.json")
NOT_FOR_THE_PAGE = "nodes"
MODULES = [
    importlib.import_module(f"{metabonk.messages.__name__}.{module.name}")
    for module in pkgutil.iter_modules(metabonk.messages.__path__)
    if module.name != NOT_FOR_THE_PAGE
]
REF_TEMPLATE = "#/components/schemas/{model}"


def document() -> str:
    """Return the OpenAPI document as JSON.

    Serialization mode marks fields with a default as required: every response contains them.
    """
    models = [
        model
        for module in MODULES
        for _, model in inspect.getmembers(module, inspect.isclass)
        if issubclass(model, Message) and model.__module__ == module.__name__
    ]
    models.remove(Message)
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
        TARGET.write_text(text, encoding="utf-8")
    elif not TARGET.exists() or TARGET.read_text(encoding="utf-8") != text:
        sys.exit("web/openapi.json does not match metabonk.messages: run 'npm run types' in web/")
