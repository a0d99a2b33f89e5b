"""A whole fleet at full speed: decisions, what is learned from, the live streams, and the cores.

``python -m benchmarks.full_speed [--game doom:defend_the_center] [--workers 8] [--live 1]
[--seconds 40] [--set worker.inference=own] [--json FILE]`` starts a fleet, waits until it learns,
and measures it for a while: decisions played and learned from, the age of what is learned from, the
learner's wait for rollouts, the live streams' frames and size, CPU cores by kind of process, and
the GPU. ``--live 0`` shows nobody.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pynvml
from rich.console import Console
from tests.support.fleet import FleetUnderTest, run_fleet
from tests.support.waiting import until

from metabonk.messages.fleet import Fleet
from metabonk.messages.learner import LearnerStatus
from metabonk.messages.workers import StreamState, WorkerStatus
from metabonk.settings.schema import available_cores

START_S = 180.0
SAMPLE_S = 1.0
KINDS = ("worker", "learner", "inference-server", "fork-server", "start", "games")


def measure(
    game: str,
    workers: int,
    live: int,
    seconds: float,
    warm_up_s: float,
    settings: Mapping[str, str],
) -> dict[str, Any]:
    """Run a fleet and measure it."""
    given = dict(settings)
    if live:
        given["cpu.max_sessions"] = str(live)
    else:
        given["stream.enabled"] = "false"
    environment = {f"METABONK_{name.upper().replace('.', '_')}": v for name, v in given.items()}
    with tempfile.TemporaryDirectory() as folder:
        arguments = ("--workers", str(workers), "--game", game)
        with run_fleet(Path(folder), *arguments, environment=environment) as fleet:
            began = time.monotonic()
            until("all workers play", lambda: all_play(fleet, workers), START_S)
            until("it learns", lambda: is_learning(fleet), START_S)
            ready_s = time.monotonic() - began
            time.sleep(warm_up_s)
            result = {"ready_s": round(ready_s, 1), **_observe(fleet, seconds)}
            fleet.stop()
    return {"game": game, "workers": workers, "live": live, "settings": given, **result}


def all_play(fleet: FleetUnderTest, workers: int) -> bool:
    """Tell whether every worker makes steps."""
    statuses = fleet.statuses().values()
    return len(statuses) == workers and all(status.step for status in statuses)


def is_learning(fleet: FleetUnderTest) -> bool:
    """Tell whether the learner has made a few updates."""
    learner = _fleet(fleet).learner
    return learner is not None and learner.updates > 2


def learner_of(fleet: FleetUnderTest) -> LearnerStatus:
    """Return the learner's status, as soon as it has answered."""
    return until("the learner answers", lambda: _fleet(fleet).learner)


def _fleet(fleet: FleetUnderTest) -> Fleet:
    answer = httpx.get(f"{fleet.page}/api/fleet").raise_for_status()
    return Fleet.model_validate(answer.json())


def _observe(fleet: FleetUnderTest, seconds: float) -> dict[str, Any]:
    gpu = _Gpu()
    before, learned = fleet.statuses(), learner_of(fleet)
    cpu, began = _cpu(fleet), time.monotonic()
    lags, waits, streams, busy = [], [], [], []
    while (elapsed := time.monotonic() - began) < seconds:
        time.sleep(min(SAMPLE_S, seconds - elapsed))
        learner = learner_of(fleet)
        lags.append(learner.policy_lag)
        waits.append(learner.waiting)
        streams += [s for s in fleet.statuses().values() if s.stream_state is StreamState.LIVE]
        busy.append(gpu.utilization())
    after, learner = fleet.statuses(), learner_of(fleet)
    spent, elapsed = _cpu(fleet), time.monotonic() - began
    steps = sum(status.step for status in after.values()) - sum(s.step for s in before.values())
    dropped = learner.steps_dropped - learned.steps_dropped
    return {
        "played_per_s": round(steps / elapsed),
        "trained_per_s": round((learner.steps_trained - learned.steps_trained) / elapsed),
        "dropped_per_s": round(dropped / elapsed, 1),
        "lag": round(statistics.fmean(lags), 1),
        "learner_waits": round(statistics.fmean(waits), 2),
        "versions_per_s": round((learner.updates - learned.updates) / elapsed, 1),
        "cores": {
            kind: round((spent[kind] - cpu[kind]) / elapsed, 2)
            for kind in sorted(spent, key=lambda kind: cpu[kind] - spent[kind])
        },
        "gpu_percent": round(statistics.fmean(busy)) if gpu.is_there else None,
        "gpu_mb": gpu.memory_mb(),
        "streams": _streams(streams, before, after),
    }


def _streams(
    seen: list[WorkerStatus], before: Mapping[str, WorkerStatus], after: Mapping[str, WorkerStatus]
) -> dict[str, Any]:
    if not seen:
        return {}
    return {
        "fps": round(statistics.fmean(status.frames_fps for status in seen), 1),
        "lowest_fps": round(min(status.frames_fps for status in seen), 1),
        "quality": sorted({str(status.stream_quality) for status in seen}),
        "frames_dropped": sum(
            status.frames_dropped - before[name].frames_dropped for name, status in after.items()
        ),
    }


def _cpu(fleet: FleetUnderTest) -> Counter[str]:
    """Return the CPU seconds of each kind of process so far."""
    spent: Counter[str] = Counter()
    for process in fleet.tree():
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            spent[_kind(process)] += times.user + times.system
    return spent


def _kind(process: psutil.Process) -> str:
    command = process.cmdline()
    return next((kind for kind in KINDS if kind in command), process.name())


class _Gpu:
    """The first GPU, if there is one."""

    def __init__(self) -> None:
        self.is_there = False
        with suppress(pynvml.NVMLError):
            pynvml.nvmlInit()
            self._handle = pynvml.nvmlDeviceGetHandleByIndex(0)
            self.is_there = True

    def utilization(self) -> float:
        """Return the share of time in which a kernel ran, percent."""
        return float(pynvml.nvmlDeviceGetUtilizationRates(self._handle).gpu) if self.is_there else 0

    def memory_mb(self) -> int | None:
        """Return the memory in use, MB."""
        if not self.is_there:
            return None
        return int(pynvml.nvmlDeviceGetMemoryInfo(self._handle).used) // 1_000_000


def main() -> None:
    """Measure, and print a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--game", default="doom:defend_the_center")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--live", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--warm-up", type=float, default=10.0)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result = measure(
        arguments.game,
        arguments.workers,
        arguments.live,
        arguments.seconds,
        arguments.warm_up,
        dict(pair.split("=", 1) for pair in arguments.set),
    )
    line = json.dumps({"cores_available": available_cores(), **result}, ensure_ascii=False)
    Console(highlight=False).print(line, soft_wrap=True)
    if arguments.json:
        arguments.json.write_text(line + "\n")


if __name__ == "__main__":
    main()
