"""Many viewers of one worker: one encoder serves all, and slow viewers harm only themselves.

``python -m pytest tests/faults/test_viewers.py --long -s`` has a hundred viewers and two thousand
joins, and prints their cost.
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import psutil
import pytest

from metabonk.messages.workers import StreamState, WorkerStatus
from metabonk.streaming.fanout import QUEUE_LIMITS
from tests.support import http
from tests.support.audience import audience, join_and_leave
from tests.support.fleet import FleetUnderTest, run_gameless_fleet
from tests.support.stage import stage
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(300)

ENVIRONMENT = {"METABONK_CPU_MAX_SESSIONS": "1", "METABONK_STREAM_ADAPTIVE": "0"}
AT_ONCE = 10
"""Viewers that join at the same time."""

GROWTH = 4 << 20
"""Bytes that a worker may grow by while viewers come and go."""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetUnderTest]:
    folder = tmp_path_factory.mktemp("viewers")
    with run_gameless_fleet(folder, "--workers", "1", environment=ENVIRONMENT) as fleet:
        until("the worker is live", lambda: fleet.in_state(StreamState.LIVE), 90)
        yield fleet
        fleet.stop()


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters of a worker's process."""

    at: float
    frames: int
    dropped: int
    processor_s: float
    memory: int

    @classmethod
    def of(cls, fleet: FleetUnderTest) -> "Reading":
        status = worker(fleet)
        process = psutil.Process(status.pid)
        times = process.cpu_times()
        return cls(
            time.monotonic(),
            status.frames_ok,
            status.frames_dropped,
            times.user + times.system,
            process.memory_info().rss,
        )


def worker(fleet: FleetUnderTest) -> WorkerStatus:
    answer = http.get(f"{fleet.worker(0)}/status").raise_for_status()
    return WorkerStatus.model_validate(answer.json())


async def over(fleet: FleetUnderTest, seconds: float) -> tuple[float, float, int]:
    """Return frames encoded per second, share of a core, and frames dropped before the encoder."""
    before = await asyncio.to_thread(Reading.of, fleet)
    await asyncio.sleep(seconds)
    after = await asyncio.to_thread(Reading.of, fleet)
    elapsed = after.at - before.at
    return (
        (after.frames - before.frames) / elapsed,
        (after.processor_s - before.processor_s) / elapsed,
        after.dropped - before.dropped,
    )


def test_every_viewer_gets_every_frame_of_one_encoder(fleet: FleetUnderTest, long: bool):
    size, seconds = (100, 15.0) if long else (30, 4.0)
    address = f"{fleet.worker(0).replace('http', 'ws', 1)}/stream"

    async def watch() -> None:
        async with audience(address, 1) as alone:
            rate_alone, load_alone, lost_alone = await over(fleet, seconds)
        async with audience(address, size) as viewers:
            began = [len(viewer.numbers) for viewer in viewers]
            rate, load, lost = await over(fleet, seconds)
            newest = max(viewer.numbers[-1] for viewer in viewers)
            async with asyncio.timeout(30):
                while min(viewer.numbers[-1] for viewer in viewers) < newest:
                    await asyncio.sleep(0.05)
            got = [len(v.numbers) - b for v, b in zip(viewers, began, strict=True)]
        print(
            f"\n1 viewer: {rate_alone:.1f} frames/s encoded ({lost_alone} lost before that), "
            f"{load_alone:.0%} of a core for the whole worker; {size} viewers: {rate:.1f} "
            f"({lost}), {load:.0%}; frames received: {min(got)} to {max(got)}, "
            f"lost {sum(viewer.lost for viewer in viewers)}"
        )
        assert [viewer.lost for viewer in alone + viewers] == [0] * (size + 1)
        assert {viewer.epochs for viewer in viewers} == {1}
        # Wide, as other programs may need the CPU as well; the figures are printed.
        assert rate >= 0.25 * rate_alone

    asyncio.run(watch())
    assert worker(fleet).spectator_width == 1280


def test_only_viewers_that_stop_reading_lose_groups_of_frames(fleet: FleetUnderTest, long: bool):
    size, stopped, frames = (100, 20, 450) if long else (12, 4, 210)
    address = f"{fleet.worker(0).replace('http', 'ws', 1)}/stream"

    async def watch() -> None:
        async with audience(address, size) as viewers:
            slow, quick = viewers[:stopped], viewers[stopped:]
            before = await asyncio.to_thread(Reading.of, fleet)
            for viewer in slow:
                viewer.reads.clear()
            after = before
            async with asyncio.timeout(150):
                while after.frames < before.frames + frames:
                    await asyncio.sleep(0.25)
                    after = await asyncio.to_thread(Reading.of, fleet)
            for viewer in slow:
                viewer.reads.set()
            async with asyncio.timeout(60):
                while not all(viewer.lost for viewer in slow):
                    await asyncio.sleep(0.05)
            grown = after.memory - before.memory
            print(
                f"\n{stopped} of {size} did not read for {after.at - before.at:.0f} s: they lost "
                f"{min(v.lost for v in slow)} to {max(v.lost for v in slow)} frames, the others "
                f"{sum(v.lost for v in quick)}; the worker grew by {grown / 2**20:.0f} MB"
            )
            assert [viewer.lost for viewer in quick] == [0] * len(quick)
            for viewer in slow:
                resumed = {b for a, b in pairwise(viewer.numbers) if b != a + 1}
                assert resumed <= viewer.keyframes, "only whole groups are lost"
            assert grown < stopped * QUEUE_LIMITS.size

    asyncio.run(watch())


def test_viewers_that_come_and_go_leave_nothing_in_the_worker(fleet: FleetUnderTest, long: bool):
    joins = 2000 if long else 200
    address = f"{fleet.worker(0).replace('http', 'ws', 1)}/stream"
    process = psutil.Process(worker(fleet).pid)

    def held() -> tuple[int, int]:
        return process.num_fds(), process.num_threads()

    def memory_but_for_the_past() -> int:
        past = http.head(f"{fleet.worker(0)}/clip.mp4?seconds=60").headers["content-length"]
        return process.memory_info().rss - int(past)

    asyncio.run(come_and_go(address, joins))
    until("they have left", lambda: worker(fleet).stream_active_clients == 0, 30)
    before, memory = held(), memory_but_for_the_past()
    began = time.monotonic()
    asyncio.run(come_and_go(address, joins))
    took = time.monotonic() - began
    until("they have left", lambda: worker(fleet).stream_active_clients == 0, 30)
    until("everything is released", lambda: held() <= before, 60)
    grown = memory_but_for_the_past() - memory
    print(
        f"\n{joins} joined and left in {took:.0f} s: descriptors and threads {before} → {held()}, "
        f"memory {memory / 2**20:.0f} MB {grown / 2**20:+.1f} MB"
    )
    assert grown < GROWTH


def test_viewers_that_come_and_go_leave_no_task(long: bool):
    joins = 2000 if long else 200
    with stage() as staged:
        staged.go_live()
        loop = staged.loop
        asyncio.run(come_and_go(f"{staged.ws}/stream", AT_ONCE))
        staged.wait_for_clients(0)
        before = len(asyncio.all_tasks(loop))
        asyncio.run(come_and_go(f"{staged.ws}/stream", joins))
        staged.wait_for_clients(0)
        until("no task is left", lambda: len(asyncio.all_tasks(loop)) <= before, 30)


async def come_and_go(address: str, joins: int) -> None:
    """Let viewers join; half of them close the connection properly, half abort it."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with places:
            await join_and_leave(address, abruptly=number % 2 == 0)

    async with asyncio.timeout(240), asyncio.TaskGroup() as group:
        for number in range(joins):
            group.create_task(one(number))
