"""Commands as the user types them, for messages: a checkout has scripts, a wheel has not."""

import importlib.util
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]

SCRIPTS = {
    "start": "./start",
    "stop": "python scripts/stop.py",
    "nvenc status": "python scripts/nvenc_status.py",
    "nvenc cleanup": "python scripts/cleanup_nvenc_sessions.py",
}

FLEET_EXTRA = "train"
FLEET_MODULES = ("cv2", "tensorboardX", "torch", "vizdoom")
"""Modules that only fleets and their policies need; ``FLEET_EXTRA`` installs them."""


def command(name: str, *arguments: str) -> str:
    """Return the command line of a sub-command of ``metabonk``."""
    script = SCRIPTS.get(name, f".venv/bin/metabonk {name}")
    shown = script if is_checkout() else f"metabonk {name}"
    return " ".join([shown, *arguments])


def add_extra(name: str) -> str:
    """Return the command that installs a group of optional dependencies."""
    checkout = is_checkout()
    return f".venv/bin/pip install '.[{name}]'" if checkout else f"pip install 'metabonk[{name}]'"


def is_installed(module: str) -> bool:
    """Look for a module without importing it, which may take seconds."""
    spec = importlib.util.find_spec(module)
    # A folder of that name in the working directory, such as W&B's own, has no origin.
    return spec is not None and spec.origin is not None


def missing_for_fleet() -> str | None:
    """Return which modules of a fleet are not installed, as a sentence; None if all are."""
    missing = [module for module in FLEET_MODULES if not is_installed(module)]
    if not missing:
        return None
    return f"a fleet needs {', '.join(missing)}, which this installation lacks"


def missing_module(name: str | None) -> str:
    """Return the sentence that says what to install where a module can't be imported."""
    if name in FLEET_MODULES:
        return f"this command needs {name}, which this installation lacks: run {add_fleet()}"
    return f"incomplete installation: {sys.executable} has no module {name!r}. Run '{repair()}'"


def add_fleet() -> str:
    """Return the command that installs what a fleet needs."""
    return repair() if is_checkout() else add_extra(FLEET_EXTRA)


def repair() -> str:
    """Return the command that mends an incomplete installation."""
    return "./start" if is_checkout() else "pip install --force-reinstall --no-deps metabonk"


def is_checkout() -> bool:
    """Tell whether this package runs from a checkout, whose scripts install and start it."""
    return (CHECKOUT / "start").is_file()
