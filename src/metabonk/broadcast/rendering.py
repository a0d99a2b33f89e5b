"""Drawing an environment in a process that is not MetaBonk's own."""

import os
from typing import Any

NO_SIGNAL_HANDLERS = "SDL_NO_SIGNAL_HANDLERS"
"""Tells SDL to leave signals alone (SDL_hints.h). Once pygame has drawn an image, SIGTERM would end
the process no more: SDL takes it for a wish to quit, which nobody reads."""


def render(environment: Any) -> Any:
    """Return what an environment's ``render`` does, and leave the process as it was."""
    os.environ.setdefault(NO_SIGNAL_HANDLERS, "1")
    return environment.render()
