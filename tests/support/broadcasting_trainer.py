"""A trainer that broadcasts an environment, and does what it is told.

``python -m tests.support.broadcasting_trainer ID [OPTION=VALUE …]`` makes the environment with
``render_mode=rgb_array``, wraps it by ``Broadcast`` with these options, and resets it once. For
each line ``N PAUSE`` on its standard input it plays a new episode of N steps by chance, as soon as
somebody asks for its records, with so many seconds between two steps; it saves the last picture to
``last.npy`` in its folder, and prints the return and the length as JSON.
"""

import contextlib
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from metabonk.broadcast.places import find_rings
from metabonk.broadcast.ring_reader import RingReader
from metabonk.broadcast.wrapper import Broadcast
from metabonk.errors import WireError
from tests.support.processes import kill_tree
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
PACKAGES = ("ale_py", "minigrid", "vizdoom.gymnasium_wrapper", "tests.support.clocked")


class BroadcastingTrainer:
    """The trainer as a process, in its folder.

    Args:
        folder: of the process.
        process: with pipes.
    """

    def __init__(self, folder: Path, process: "subprocess.Popen[str]") -> None:
        self.folder = folder
        self.process = process
        (self.ring,) = find_rings()

    def begin(self, steps: int, pause_s: float = 0.0) -> None:
        """Have it play an episode."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{steps} {pause_s}\n")
        self.process.stdin.flush()

    def finish(self) -> tuple[float, int, NDArray[np.uint8]]:
        """Return the return, the length and the last picture of the episode that was begun."""
        assert self.process.stdout is not None
        total, length = json.loads(self.process.stdout.readline())
        file = self.folder / "last.npy"
        picture = np.load(file) if file.exists() else np.zeros((0, 0, 3), np.uint8)
        return total, length, picture


@contextlib.contextmanager
def broadcasting(folder: Path, name: str, **options: Any) -> Iterator[BroadcastingTrainer]:
    """Run a trainer for the block, as the only one of this test."""
    given = [f"{option}={json.dumps(value)}" for option, value in options.items()]
    command = [sys.executable, "-m", "tests.support.broadcasting_trainer", name, *given]
    folder.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        try:
            until("its ring is complete", _has_ring)
            yield BroadcastingTrainer(folder, process)
        finally:
            kill_tree(process)  # An environment may be an engine of its own.


def _has_ring() -> bool:
    for ring in find_rings():
        with contextlib.suppress(WireError), contextlib.closing(RingReader(ring)):
            return True
    return False


def main(name: str, *given: str) -> None:
    for package in PACKAGES:
        importlib.import_module(package)
    options = dict(each.split("=", 1) for each in given)
    arguments = {key: json.loads(value) for key, value in options.items()}
    render_mode = arguments.pop("render_mode", "rgb_array")
    environment = Broadcast(gymnasium.make(name, render_mode=render_mode), **arguments)
    environment.action_space.seed(5)
    environment.reset(seed=3)
    answers, sys.stdout = sys.stdout, sys.stderr  # Environments may print.
    for line in sys.stdin:
        until("somebody asks for records", lambda: environment._channel.ring.demand, 60)
        environment.reset()
        total, length = 0.0, 0
        steps, pause_s = line.split()
        for _ in range(int(steps)):
            time.sleep(float(pause_s))
            _, reward, terminated, truncated, _ = environment.step(
                environment.action_space.sample()
            )
            total, length = total + float(reward), length + 1
            if terminated or truncated:
                break
        environment._channel.flush()
        if render_mode:
            np.save("last.npy", np.asarray(environment.render()))
        print(json.dumps([total, length]), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
