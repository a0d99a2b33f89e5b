"""What showing many environments of another trainer costs, and whom.

``python -m benchmarks.guests [--guests 64] [--seconds 20] [--json FILE]`` trains in 64 CartPoles in
one process, which a hub shows, two of them live. It measures three times: while nobody looks but at
the two, while a page shows stills of the others, and without a hub. Shares
are of one core; memory is what a process has of its own and its part of what it shares (PSS).
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Coroutine, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table
from tests.support.hub import Place, place
from tests.support.waiting import until
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from metabonk.messages.streams import StillsRequest
from metabonk.messages.workers import StreamState, WorkerStatus
from metabonk.settings.schema import available_cores

KINDS = {
    "shadow_process": "shadows",
    "guest": "guests",
    "fork-server": "fork server",
    "hub": "hub",
    "probe_child": "probes",
}
START_S = 180.0
SETTLE_S = 5.0
STILL_WIDTH = 320
"""Of a tile on a desktop, pixels."""


@dataclass
class Sample:
    """One measurement.

    Attributes:
        name: what was looked at.
        cores: share of a core that each kind of process took.
        processes: of each kind.
        pss_mb: of each kind, all together.
        live_fps: frames a second of the live streams.
        stills_per_s: different stills of each guest that is not live, median.
        fewest_stills_per_s: of the one with the fewest.
        steps_per_s: of the trainer, all environments together.
    """

    name: str
    cores: dict[str, float] = field(default_factory=dict)
    processes: dict[str, int] = field(default_factory=dict)
    pss_mb: dict[str, float] = field(default_factory=dict)
    live_fps: list[float] = field(default_factory=list)
    stills_per_s: float = 0.0
    fewest_stills_per_s: float = 0.0
    steps_per_s: float = 0.0


class Page:
    """Shows every guest in a tile, as the page does: a connection to each, and stills of those
    that are not live."""

    def __init__(self, here: Place) -> None:
        self._here = here
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.stills: dict[str, int] = defaultdict(int)
        self.live = set[str]()

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._leave)
        self._thread.join()

    def restart(self) -> None:
        self.stills.clear()
        self.live.clear()

    def _leave(self) -> None:
        for task in asyncio.all_tasks(self._loop):
            task.cancel()

    def _run(self) -> None:
        shows = [self._show(name) for name in self._here.guests()]
        with (
            contextlib.suppress(asyncio.CancelledError),
            asyncio.Runner(loop_factory=lambda: self._loop) as runner,
        ):
            runner.run(_all(shows))

    async def _show(self, name: str) -> None:
        page = self._here.page.replace("http", "ws", 1)
        address = f"{page}/api/worker/{name}/stream?audience=broadcast&page=benchmark"
        async for socket in connect(address, max_size=None, compression=None, ping_interval=None):
            with contextlib.suppress(ConnectionClosed):
                await socket.send(StillsRequest(max_width=STILL_WIDTH).model_dump_json())
                async for message in socket:
                    if isinstance(message, bytes):
                        self.live.add(name)
                    elif json.loads(message)["type"] == "still":
                        self.stills[name] += 1


async def _all(tasks: Iterable[Coroutine[None, None, None]]) -> None:
    await asyncio.gather(*tasks)


def measure(
    here: Place, name: str, seconds: float, *, has_hub: bool = True, page: Page | None = None
) -> Sample:
    """Measure what goes on now."""
    time.sleep(SETTLE_S)
    trainer = here.trainings[0].pid
    before = cpu_of(here, trainer)
    if page is not None:
        page.restart()
    began, steps = time.monotonic(), steps_of(here)
    sample = Sample(name)
    fps = list[float]()
    while time.monotonic() - began < seconds:
        time.sleep(1.0)
        if has_hub:
            fps += [each.stream_fps for each in live_guests(here)]
    passed = time.monotonic() - began
    after = cpu_of(here, trainer)
    for (_, kind), spent in after.items():
        sample.cores[kind] = sample.cores.get(kind, 0.0) + spent / passed
        sample.processes[kind] = sample.processes.get(kind, 0) + 1
    for (pid, kind), spent in before.items():
        if (pid, kind) in after:
            sample.cores[kind] -= spent / passed
    for pid, kind in after:
        with contextlib.suppress(psutil.Error):
            pss = psutil.Process(pid).memory_full_info().pss / 2**20
            sample.pss_mb[kind] = sample.pss_mb.get(kind, 0.0) + pss
    sample.live_fps = [round(statistics.median(fps), 1)] if fps else []
    sample.steps_per_s = (steps_of(here) - steps) / passed
    if page is not None:
        rates = sorted(
            page.stills[name] / passed for name in here.guests() if name not in page.live
        )
        sample.stills_per_s = statistics.median(rates)
        sample.fewest_stills_per_s = rates[0]
    return sample


def live_guests(here: Place) -> list[WorkerStatus]:
    return [each for each in here.guests().values() if each.stream_state is StreamState.LIVE]


def cpu_of(here: Place, trainer: int) -> dict[tuple[int, str], float]:
    """Return the CPU time of each process of the place and of the trainer, by pid and kind."""
    found = {}
    for process in (*here.processes(), psutil.Process(trainer)):
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            kind = "trainer" if process.pid == trainer else kind_of(process.cmdline())
            found[process.pid, kind] = times.user + times.system
    return found


def kind_of(command: list[str]) -> str:
    words = {word.rpartition(".")[2] for word in command}
    return next((kind for word, kind in KINDS.items() if word in words), "others")


def steps_of(here: Place) -> int:
    """Return the rounds of steps that the trainer has taken, as it writes them into a file."""
    return int((here.folder / "steps").read_text() or "0")


TRAINER = """
import sys, time
from pathlib import Path
import gymnasium
import metabonk

count, pause_s = int(sys.argv[1]), float(sys.argv[2])
envs = [metabonk.Broadcast(gymnasium.make("CartPole-v1")) for _ in range(count)]
for env in envs:
    env.action_space.seed(1)
    env.reset(seed=1)
steps, told = 0, 0.0
while True:
    for env in envs:
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            env.reset()
    steps += count
    time.sleep(pause_s)
    if time.monotonic() > told + 0.2:
        told = time.monotonic()
        partial = Path("steps.partial")
        partial.write_text(str(steps))
        partial.replace("steps")
"""


@contextlib.contextmanager
def training(folder: Path, guests: int, pause_s: float, **variables: str) -> Iterator[Place]:
    stream = {
        "METABONK_STREAM_WIDTH": "1280",
        "METABONK_STREAM_HEIGHT": "720",
        "METABONK_STREAM_FPS": "30",
    }
    with place(folder, **stream, **variables) as here:
        environment = here.environment | variables
        script = folder / "train.py"
        script.write_text(TRAINER)
        (folder / "steps").write_text("0")
        command = [sys.executable, str(script), str(guests), str(pause_s)]
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, text=True
        )
        here.trainings.append(process)
        until("it trains", lambda: steps_of(here) > 0, START_S)
        yield here


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--guests", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--pause", type=float, default=0.01, help="of the trainer in each round")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    samples = list[Sample]()
    with tempfile.TemporaryDirectory() as folder:
        off = {"METABONK_BROADCAST": "0"}
        with training(Path(folder), arguments.guests, arguments.pause, **off) as here:
            samples.append(measure(here, "without a hub", arguments.seconds, has_hub=False))
    with (
        tempfile.TemporaryDirectory() as folder,
        training(Path(folder), arguments.guests, arguments.pause) as here,
    ):
        live = min(2, arguments.guests)
        until("all guests are there", lambda: len(here.guests()) == arguments.guests, START_S)
        until("two are live", lambda: len(live_guests(here)) >= live, START_S)
        samples.append(measure(here, "two live", arguments.seconds))
        page = Page(here)
        page.start()
        others = arguments.guests - live
        until("all stills", lambda: len(page.stills) >= others, START_S)
        samples.append(measure(here, "and the others' stills", arguments.seconds, page=page))
        page.close()
    show(samples)
    if arguments.json:
        machine = {"cores": available_cores(), "kernel": platform.release()}
        content = {"machine": machine, "samples": [asdict(each) for each in samples]}
        arguments.json.write_text(json.dumps(content, indent=2))


def show(samples: list[Sample]) -> None:
    table = Table("", *(each.name for each in samples))
    kinds = sorted({kind for each in samples for kind in each.cores})
    for kind in kinds:
        table.add_row(
            f"{kind}: processes, cores, MB",
            *(
                f"{each.processes.get(kind, 0)}, {each.cores.get(kind, 0.0):.2f}, "
                f"{each.pss_mb.get(kind, 0.0):.0f}"
                for each in samples
            ),
        )
    table.add_row("frames/s, live", *(str(each.live_fps) for each in samples))
    table.add_row(
        "stills/s of the others: median, fewest",
        *(f"{each.stills_per_s:.2f}, {each.fewest_stills_per_s:.2f}" for each in samples),
    )
    table.add_row("steps/s of the trainer", *(f"{each.steps_per_s:,.0f}" for each in samples))
    Console(width=140).print(f"{available_cores()} cores, {os.getpid()}")
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
