"""Generate ``openapi.json`` from the models of ``metabonk.messages`` and its siblings.

``python openapi.py`` writes the file; ``python openapi.py --check`` fails if it is out of date.
``scripts/types.js`` generates ``src/api/schema.ts`` from it.

The models come from the modules, not from the orchestrator's FastAPI application: the page also
needs the WebSocket messages, which belong to no HTTP path.
"""

import inspect
import json
import sys
from pathlib import Path

from pydantic.json_schema import models_json_schema

from metabonk import (
    air_messages,
    alert_messages,
    feed_messages,
    messages,
    program_messages,
    replay_messages,
    run_messages,
    session_messages,
    stream_messages,
)

TARGET = Path(__file__).with_name("openapi.json")
MODULES = (
    *(air_messages, alert_messages, feed_messages, messages, program_messages, replay_messages),
    *(run_messages, session_messages, stream_messages),
)
REF_TEMPLATE = "#/components/schemas/{model}"


def document() -> str:
    """Return the OpenAPI document as JSON.

    Serialization mode marks fields with a default as required: every response contains them.
    """
    models = [
        model
        for module in MODULES
        for _, model in inspect.getmembers(module, inspect.isclass)
        if issubclass(model, messages.Message) and model.__module__ == module.__name__
    ]
    models.remove(messages.Message)
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
