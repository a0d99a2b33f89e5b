"""Distribution of a fleet over several GPUs, as NVML reports it.

``python -m benchmarks.gpu_spread [--seconds 60] [--workers-per-gpu 2] [--json FILE]`` runs a real
fleet three times: on all GPUs, on the last one by ``METABONK_GPUS``, and on the last one by
``CUDA_VISIBLE_DEVICES``. For each it prints the status of the workers, the rate of learning, load,
memory and processes of each GPU, and ``metabonk nvenc status``. Two GPUs take under eight minutes.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import psutil
import pynvml
import torch
from rich.console import Console
from tests.support.fleet import FleetUnderTest, run_fleet
from tests.support.waiting import until

from metabonk.messages.learner import LearnerStatus

START_S = 60.0
SAMPLE_S = 1.0

print_line = Console(highlight=False, markup=False, soft_wrap=True).print


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--workers-per-gpu", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    pynvml.nvmlInit()
    count = pynvml.nvmlDeviceGetCount()
    last = count - 1
    results: dict[str, Any] = {
        "machine": f"{platform.platform()}, {os.cpu_count()} cores, torch {torch.__version__}",
        "driver": pynvml.nvmlSystemGetDriverVersion(),
        "gpus": [pynvml.nvmlDeviceGetName(handle) for handle in handles()],
    }
    print_line(json.dumps(results, indent=1))
    workers = arguments.workers_per_gpu * count
    setups: dict[str, dict[str, str]] = {
        "all GPUs": {},
        f"METABONK_GPUS={last}": {"METABONK_GPUS": str(last)},
        f"the UUID of GPU {last}": {
            "CUDA_VISIBLE_DEVICES": pynvml.nvmlDeviceGetUUID(handles()[last])
        },
    }
    for name, environment in setups.items():
        print_line(f"── {name}")
        results[name] = one_fleet(workers, arguments.seconds, environment)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


def one_fleet(workers: int, seconds: float, environment: Mapping[str, str]) -> dict[str, Any]:
    """Run a fleet for ``seconds`` and return what it and the driver report."""
    with (
        tempfile.TemporaryDirectory() as folder,
        run_fleet(
            Path(folder),
            *("--workers", str(workers), "--game", "doom:health_gathering"),
            environment=environment,
        ) as fleet,
    ):
        try:
            until("all workers play", lambda: all_play(fleet, workers), START_S + 2 * workers)
            before = until("the learner responds", lambda: learner(fleet), START_S)
        except AssertionError:
            for file in (fleet.output, *sorted((fleet.folder / "logs").glob("*.log"))):
                print_line(f"{file.name}:\n{file.read_text()}")
            raise
        began = time.monotonic()
        samples: list[list[int]] = []
        while time.monotonic() - began < seconds:
            samples.append([use.gpu for use in map(utilization, handles())])
            time.sleep(SAMPLE_S)
        elapsed = time.monotonic() - began
        after = learner(fleet)
        result = {
            "workers": {
                status.instance_id: {
                    "gpu": status.gpu_index,
                    "state": status.stream_state,
                    "backend": status.stream_backend,
                    "fps": status.stream_fps,
                    "steps_per_s": status.steps_per_s,
                    "policy_version": status.policy_version,
                }
                for status in fleet.statuses().values()
            },
            "learner": {
                "updates": after.updates - before.updates,
                "steps_per_s": round((after.steps_trained - before.steps_trained) / elapsed, 1),
            },
            "gpus": [
                {
                    "busy_percent": round(statistics.fmean(column), 1),
                    "memory_used_mb": pynvml.nvmlDeviceGetMemoryInfo(handle).used >> 20,
                    "processes": processes_on(handle, fleet),
                }
                for handle, column in zip(handles(), zip(*samples, strict=True), strict=True)
            ],
        }
        print_line(json.dumps(result, indent=1))
        print_line(fleet.command("nvenc", "status", "--workers", str(workers)).stdout)
        fleet.stop()
    return result


def handles() -> list[Any]:
    return [
        pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())
    ]


def utilization(handle: Any) -> Any:
    return pynvml.nvmlDeviceGetUtilizationRates(handle)


def all_play(fleet: FleetUnderTest, workers: int) -> bool:
    statuses = fleet.statuses().values()
    return len(statuses) == workers and all(status.step > 20 for status in statuses)


def learner(fleet: FleetUnderTest) -> LearnerStatus:
    answer = httpx.get(f"{fleet.learner}/status").raise_for_status()
    return LearnerStatus.model_validate_json(answer.content)


def processes_on(handle: Any, fleet: FleetUnderTest) -> list[str]:
    """List the processes with a CUDA context on a GPU: ours by name, others by pid."""
    ours = {process.pid: process_name(process) for process in fleet.tree()}
    found = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
    return sorted(ours.get(process.pid, f"pid {process.pid}") for process in found)


def process_name(process: psutil.Process) -> str:
    words = process.cmdline()
    if "--index" in words:
        return f"omega-{words[words.index('--index') + 1]}"
    return "learner" if "learner" in words else " ".join(words[-2:])


if __name__ == "__main__":
    main()
