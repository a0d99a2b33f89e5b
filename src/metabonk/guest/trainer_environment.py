"""Environment variables of a trainer, which its environment may depend on, as ``MUJOCO_GL``."""

import os
from pathlib import Path


def trainer_environment(pid: int, ring: Path) -> dict[str, str] | None:
    """Return the variables that a trainer was started with; what it changed later is not known.

    Args:
        pid: of the trainer, as it says.
        ring: file that the trainer has open.

    Returns:
        None: this process can't know them; or another one has that pid here, as where the trainer
        runs in a container.
    """
    process = Path(f"/proc/{pid}")
    try:
        if not any(_is(descriptor, ring) for descriptor in (process / "fd").iterdir()):
            return None
        data = (process / "environ").read_bytes()
    except OSError:
        return None
    pairs = (os.fsdecode(each).partition("=") for each in data.split(b"\0") if b"=" in each)
    return {name: value for name, _, value in pairs if name}


def _is(descriptor: Path, file: Path) -> bool:
    try:
        return descriptor.samefile(file)
    except OSError:  # Closed meanwhile.
        return False
