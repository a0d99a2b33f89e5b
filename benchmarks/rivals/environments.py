"""Virtual environments of the rivals, created once in a cache folder."""

import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

TORCH = "torch==2.13.0"
COMPLETE = "complete"


@dataclass(frozen=True)
class Rival:
    """A trainer to compare with.

    Attributes:
        name: shown in tables.
        script: file in this folder; prints ``steps <steps so far>`` after every update, followed on
            the same line, if known, by ``return <mean of the last 100 episodes>``.
        installs: arguments of successive ``pip install`` commands.
    """

    name: str
    script: str
    installs: tuple[tuple[str, ...], ...]


STABLE_BASELINES3 = Rival(
    "Stable-Baselines3 PPO",
    "stable_baselines3_ppo.py",
    (
        (TORCH, "numpy>=2", "pillow", "cloudpickle", "pandas", "matplotlib", "gymnasium>=1,<1.3"),
        ("--no-deps", "stable-baselines3==2.7.1", "vizdoom==1.3.2"),
    ),
)
STABLE_BASELINES3_GYM = Rival(
    "Stable-Baselines3 PPO",
    "stable_baselines3_gym.py",
    (
        (TORCH, "numpy>=2", "cloudpickle", "pandas", "matplotlib", "opencv-python-headless"),
        (
            "gymnasium==1.4.0",
            "pygame-ce",
            "Box2D",
            "mujoco",
            "imageio",
            "minigrid==3.2.0",
            "ale-py==0.12.1",
        ),
        ("--no-deps", "stable-baselines3==2.9.2"),
    ),
)
SAMPLE_FACTORY = Rival(
    "Sample Factory APPO",
    "sample_factory_appo.py",
    (
        (TORCH, "numpy<2", "gymnasium>=0.27,<1", "psutil", "threadpoolctl", "colorlog", "filelock"),
        ("numpy<2", "opencv-python-headless<4.12", "tensorboardX", "huggingface-hub<1"),
        (
            "--no-deps",
            "sample-factory==2.1.1",
            "signal-slot-mp==1.0.5",
            "faster-fifo",
            "vizdoom==1.3.2",
        ),
    ),
)


def python_of(rival: Rival, cache: Path) -> Path:
    """Return the interpreter that runs a rival; installing it takes minutes the first time.

    Raises:
        SystemExit: the installation failed.
    """
    wanted = hashlib.sha256(json.dumps([sys.version, rival.installs]).encode()).hexdigest()[:12]
    folder = cache / f"{Path(rival.script).stem}-{wanted}"
    python = folder / "bin" / "python"
    if (folder / COMPLETE).exists():
        return python
    sys.stderr.write(f"installing {rival.name} into {folder}\n")
    _run(sys.executable, "-m", "venv", "--clear", str(folder))
    for arguments in rival.installs:
        _run(str(python), "-m", "pip", "install", "--quiet", *arguments)
    (folder / COMPLETE).touch()
    return python


def _run(*command: str) -> None:
    code = subprocess.call(command)
    if code:
        raise SystemExit(f"'{' '.join(command)}' failed with exit code {code}")
