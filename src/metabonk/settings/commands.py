"""Commands as the user types them, for messages: a checkout has scripts, a wheel has not."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]

SCRIPTS = {
    "start": "./start",
    "stop": "python scripts/stop.py",
    "nvenc status": "python scripts/nvenc_status.py",
    "nvenc cleanup": "python scripts/cleanup_nvenc_sessions.py",
}


def command(name: str, *arguments: str) -> str:
    """Return the command line of a sub-command of ``metabonk``."""
    script = SCRIPTS.get(name, f".venv/bin/metabonk {name}")
    shown = script if is_checkout() else f"metabonk {name}"
    return " ".join([shown, *arguments])


def add_extra(name: str) -> str:
    """Return the command that installs a group of optional dependencies."""
    checkout = is_checkout()
    return f".venv/bin/pip install '.[{name}]'" if checkout else f"pip install 'metabonk[{name}]'"


def repair() -> str:
    """Return the command that mends an incomplete installation."""
    return "./start" if is_checkout() else "pip install --force-reinstall --no-deps metabonk"


def is_checkout() -> bool:
    """Tell whether this package runs from a checkout, whose scripts install and start it."""
    return (CHECKOUT / "start").is_file()
