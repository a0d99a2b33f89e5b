"""Stand-in for the learner that keeps a record of the rollouts of gameless workers.

``python -m tests.support.rollout_record …`` takes the arguments of ``metabonk learner``; each line
of ``rollouts.jsonl`` in the run's folder is a rollout that has arrived.
"""

import argparse
import itertools
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, Response
from pydantic import BaseModel

from metabonk.cli.child import add_child_arguments, setup_child
from metabonk.http.server import HttpServer
from metabonk.messages.base import Loop
from metabonk.messages.learner import LearnerStatus
from metabonk.system.process import StopSignal

FILE = "rollouts.jsonl"
TURNS_PER_S = 100


class GamelessRollout(BaseModel):
    """What a gameless worker sends as a rollout.

    Attributes:
        worker: index.
        start: number of the start of its process, which grows on whichever nodes.
        number: of the rollout, from 0 in each process.
        played_at: monotonic seconds of this machine.
    """

    worker: int
    start: int
    number: int
    played_at: float


class Record:
    """Rollouts that have arrived at a learner.

    Args:
        rollouts: in the order of their arrival.
    """

    def __init__(self, rollouts: Iterable[GamelessRollout]) -> None:
        self.rollouts = list(rollouts)

    @classmethod
    def read(cls, run_dirs: Iterable[Path]) -> "Record":
        """Return the record of runs that have ended, or go on."""
        lines = [
            line
            for folder in run_dirs
            for line in (folder / FILE).read_text().splitlines(keepends=True)
            if line.endswith("\n")
        ]
        return cls(map(GamelessRollout.model_validate_json, lines))

    def mistakes(self) -> Iterator[str]:
        """Yield a sentence for each rollout that came twice, and each worker that played twice."""
        counts = Counter((each.worker, each.start, each.number) for each in self.rollouts)
        for (worker, start, number), count in counts.items():
            if count > 1:
                yield f"rollout {number} of start {start} of worker {worker} came {count} times"
        for worker in {each.worker for each in self.rollouts}:
            spans = self._spans(worker)
            for earlier, later in itertools.pairwise(spans):
                if earlier[2] >= later[1]:
                    yield f"starts {earlier[0]} and {later[0]} of worker {worker} played together"

    def starts(self) -> int:
        """Return how many processes of workers have sent rollouts."""
        return len({(each.worker, each.start) for each in self.rollouts})

    def _spans(self, worker: int) -> list[tuple[int, float, float]]:
        """Return each start of a worker with the time of its first and its last rollout."""
        times: dict[int, list[float]] = {}
        for each in self.rollouts:
            if each.worker == worker:
                times.setdefault(each.start, []).append(each.played_at)
        return [(start, min(of), max(of)) for start, of in sorted(times.items())]


def main() -> int:
    """Record until SIGTERM; return the exit code."""
    parser = argparse.ArgumentParser()
    add_child_arguments(parser)
    parser.add_argument("command", nargs="*", help="ignored: of 'metabonk learner'")
    arguments = parser.parse_args()
    settings = setup_child("learner", arguments)
    app, began = FastAPI(), time.monotonic()
    with (arguments.run / FILE).open("ab", buffering=0) as file:

        @app.post("/rollouts", status_code=202)
        async def rollouts(request: Request) -> Response:
            file.write(await request.body() + b"\n")
            return Response(status_code=202)

        @app.get("/status")
        async def status() -> LearnerStatus:
            return LearnerStatus(
                pid=os.getpid(),
                uptime_s=time.monotonic() - began,
                policy_version=0,
                steps_trained=0,
                steps_per_s=0.0,
                steps_dropped=0,
                updates=0,
                policy_lag=0.0,
                waiting=0.0,
                # It has no loop that could hang.
                turns={Loop.TRAIN: int(TURNS_PER_S * (time.monotonic() - began))},
            )

        @app.get("/healthz", response_class=PlainTextResponse)
        async def health() -> str:
            return "ok\n"

        stop = StopSignal()
        server = HttpServer(app, settings.internal_host, settings.ports.learner)
        server.start()
        stop.wait()
        server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
