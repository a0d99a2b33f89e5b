"""Commands as the user types them, for messages: a checkout has scripts, a wheel has not."""

import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]

SCRIPTS = {
    "start": "./start",
    "stop": "python scripts/stop.py",
    "nvenc status": "python scripts/nvenc_status.py",
    "nvenc cleanup": "python scripts/cleanup_nvenc_sessions.py",
}

EXTRAS = {"cv2": "train", "tensorboardX": "train", "torch": "train", "vizdoom": "doom"}
"""Modules that the core of the package does not need, and the extra that installs each."""


def command(name: str, *arguments: str) -> str:
    """Return the command line of a sub-command of ``metabonk``."""
    script = SCRIPTS.get(name, f".venv/bin/metabonk {name}")
    shown = script if is_checkout() else f"metabonk {name}"
    return " ".join([shown, *arguments])


def add_extra(name: str) -> str:
    """Return the command that installs a group of optional dependencies."""
    checkout = is_checkout()
    return f".venv/bin/pip install '.[{name}]'" if checkout else f"pip install 'metabonk[{name}]'"


def missing_module(name: str | None) -> str:
    """Return the sentence that says what to install where a module can't be imported."""
    extra = EXTRAS.get(name or "")
    if extra is None or is_checkout():
        return f"incomplete installation: {sys.executable} has no module {name!r}. Run '{repair()}'"
    return f"this needs {name}, which the extra {extra!r} installs: run {add_extra(extra)}"


def repair() -> str:
    """Return the command that mends an incomplete installation."""
    return "./start" if is_checkout() else "pip install --force-reinstall --no-deps metabonk"


def is_checkout() -> bool:
    """Tell whether this package runs from a checkout, whose scripts install and start it."""
    return (CHECKOUT / "start").is_file()
