"""An environment that broadcasts in the process of the test, and whoever watches it."""

import time
from pathlib import Path

from metabonk.broadcast.records import Record
from metabonk.broadcast.wrapper import Broadcast
from metabonk.guest.source import Source


def ring_of(environment: Broadcast) -> Path:
    file = environment._channel.ring.file  # type: ignore[union-attr]
    assert file is not None
    return file


def step(environment: Broadcast) -> None:
    _, _, terminated, truncated, _ = environment.step(environment.action_space.sample())
    if terminated or truncated:
        environment.reset()


def watch(source: Source, environment: Broadcast, seconds: float, fps: int) -> list[Record]:
    """Play in real time for a while, and return what is shown meanwhile."""
    seen, until_s = list[Record](), time.monotonic() + seconds
    while time.monotonic() < until_s:
        source.ask(fps)
        step(environment)
        seen += source.read()[0]
        time.sleep(0.01)
    return seen
