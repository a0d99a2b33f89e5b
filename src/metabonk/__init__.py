"""MetaBonk trains a fleet of game-playing workers and shows every one of them live in the browser.

Other programs use what is in ``__all__``: they broadcast their own environments, or play a trained
policy (``load_policy``). Everything else runs by the command ``metabonk``.

The folders follow the data::

    games ──frame──▶ encoding ──access unit──▶ streaming ──fragments──▶ viewers
      ▲ action                (only with a lease)
    policy ◀──weights── learner ◀──rollouts── worker
                        orchestrator: who is alive, who is live, one door for the page

``games``, ``policy``, ``encoding``, ``streaming`` and ``doctor`` are libraries and know no process;
``worker``, ``learner`` and ``orchestrator`` are processes and meet only through ``messages``;
``cli`` starts them, and ``validation`` looks at them from outside.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metabonk.broadcast.notebook import watch
    from metabonk.broadcast.stream import Stream
    from metabonk.broadcast.vector import BroadcastVector
    from metabonk.broadcast.wrapper import Broadcast
    from metabonk.inference import load_policy

__all__ = ["Broadcast", "BroadcastVector", "Stream", "load_policy", "watch"]

_MODULES = {
    "Broadcast": "metabonk.broadcast.wrapper",
    "BroadcastVector": "metabonk.broadcast.vector",
    "Stream": "metabonk.broadcast.stream",
    "load_policy": "metabonk.inference",
    "watch": "metabonk.broadcast.notebook",
}
"""Modules of the public names, imported at their first use: PyTorch takes seconds."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
