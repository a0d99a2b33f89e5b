"""MetaBonk trains a fleet of game-playing workers and shows every one of them live in the browser.

``load_policy`` is all that other programs need; everything else runs by the command ``metabonk``.

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
    from metabonk.inference import load_policy

__all__ = ["load_policy"]

_MODULES = {"load_policy": "metabonk.inference"}
"""Modules of the public names, imported at their first use: PyTorch takes seconds."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
