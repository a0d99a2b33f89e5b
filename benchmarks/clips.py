"""Cost of keeping the last minute of a stream, and of clips of it.

``python -m benchmarks.clips [--rounds 20]`` publishes recorded video (8 Mbit/s, 60 frames and 15
thoughts a second) to a hub, alternately with and without keeping the past, and prints the time per
frame; then how long a clip of a minute takes to pack, and how much memory the past holds.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import psutil
from tests.support.frames import encode_frames, padded
from tests.support.recordings import thought

from metabonk.encoding.access_unit import AccessUnit
from metabonk.messages.workers import StreamState
from metabonk.streaming.clip import Clip
from metabonk.streaming.gop import Epoch, Fragment
from metabonk.streaming.hub import RECENT_S, Hub
from metabonk.streaming.recent import RecentGops

FPS, GOP, SIZE = 60, 120, (640, 360)
PADDING = 8_000_000 // 8 // FPS
FRAMES_PER_THOUGHT = 4
ROUND_FRAMES = 60 * FPS

THOUGHT = thought(7)


class Forgetful(RecentGops):
    """Keeps nothing."""

    def add(self, epoch: Epoch, fragment: Fragment) -> None:
        """Drop the frame."""


class Publisher:
    """Publishes the same group of pictures again and again.

    Args:
        hub: takes it.
        units: a group of pictures.
    """

    def __init__(self, hub: Hub, units: list[AccessUnit]) -> None:
        self._hub = hub
        self._units = units
        self._frame = 0
        hub.open_epoch(*SIZE, FPS)
        hub.set_state(StreamState.LIVE, "live")

    def publish(self, count: int) -> float:
        """Publish frames; return seconds of CPU time per frame."""
        # Copied in advance: an encoder's output is new bytes, whoever keeps them.
        start = self._frame
        prepared = [
            AccessUnit(bytes(bytearray(unit.data)), (start + i) / FPS, unit.keyframe)
            for i, unit in ((i, self._units[(start + i) % GOP]) for i in range(count))
        ]
        self._frame += count
        began = time.process_time()
        for i, unit in enumerate(prepared):
            self._hub.publish(unit, [THOUGHT] if i % FRAMES_PER_THOUGHT == 0 else [])
        return (time.process_time() - began) / count


def median_ms(work: Callable[[], object], rounds: int) -> float:
    """Return the median duration of some calls, milliseconds."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    units = [padded(unit, PADDING) for unit in encode_frames(range(GOP), size=SIZE)]
    keeping, forgetting = Hub(), Hub()
    forgetting._recent = Forgetful(RECENT_S, 0)
    publishers = {"kept": Publisher(keeping, units), "not kept": Publisher(forgetting, units)}
    times: dict[str, list[float]] = {name: [] for name in publishers}
    memory = psutil.Process().memory_info().rss
    for _ in range(rounds):
        for name, publisher in publishers.items():
            times[name].append(publisher.publish(ROUND_FRAMES // 10))
    grown = psutil.Process().memory_info().rss - memory
    for name, each in times.items():
        print(f"{name}: {1e6 * statistics.median(each):.1f} µs a frame")
    ratios = [a / b for a, b in zip(times["kept"], times["not kept"], strict=True)]
    print(f"difference: {100 * (statistics.median(ratios) - 1):+.1f} % of publishing")
    clip = Clip(keeping.recent(RECENT_S))
    print(
        f"a minute is {clip.size / 2**20:.0f} MB of file and {grown / 2**20:.0f} MB of memory; "
        f"packed in {median_ms(lambda: Clip(keeping.recent(RECENT_S)), rounds):.1f} ms, "
        f"under the hub's lock for {median_ms(lambda: keeping.recent(RECENT_S), rounds):.2f} ms; "
        f"joined in {median_ms(lambda: sum(map(len, clip.chunks())), rounds):.1f} ms"
    )


if __name__ == "__main__":
    main()
