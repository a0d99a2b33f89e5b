"""``metabonk.streaming.fanout``: relays' viewers, and the end. ``test_hub`` has the rest."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from metabonk.messages.streams import AudienceMessage
from metabonk.messages.workers import StreamState
from metabonk.streaming.fanout import KEYFRAME_REUSE_S, KEYFRAME_TIMEOUT_S, Fanout
from metabonk.streaming.gop import Epoch, Fragment, Packer
from tests.support.clock import Clock
from tests.support.frames import encode_frames, regular_times


def packed(count: int, *, keyframes: tuple[int, ...] = ()) -> tuple[Epoch, list[Fragment]]:
    packer = Packer()
    packer.open_epoch(320, 180, 30)
    fragments = [
        fragment
        for unit in encode_frames(regular_times(count), keyframes=keyframes)
        if (fragment := packer.add(unit)[1])
    ]
    assert packer.epoch is not None
    return packer.epoch, fragments


EPOCH, FRAGMENTS = packed(4, keyframes=(2,))


def on_loop(work: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await asyncio.wait_for(work(), 10)

    asyncio.run(run())


def test_a_relay_counts_as_the_viewers_that_it_names():
    async def watch() -> None:
        counts: list[AudienceMessage] = []
        fanout = Fanout(on_audience=lambda: counts.append(fanout.audience()))
        with fanout.join(dedicated=False), fanout.join_for(AudienceMessage()) as relay:
            assert (fanout.stats().clients, fanout.stats().dedicated_clients) == (1, 0)
            assert not fanout.audience().saliency
            fanout.change_audience(relay, AudienceMessage(dedicated=3, broadcast=4, saliency=True))
            assert (fanout.stats().clients, fanout.stats().dedicated_clients) == (8, 3)
            assert fanout.audience().saliency
        assert [(c.dedicated, c.broadcast) for c in counts] == [
            *((0, 1), (0, 1), (3, 5)),  # one joined, the relay joined, it said whom it stands for
            *((0, 1), (0, 0)),
        ]

    on_loop(watch)


def test_a_relay_gets_a_keyframe_for_its_viewers_unless_there_has_just_been_one():
    async def watch() -> None:
        clock = Clock(50.0)
        fanout = Fanout(clock)
        waiting = AudienceMessage(dedicated=1, keyframe=True)
        with fanout.join_for(AudienceMessage()) as relay:
            fanout.begin_epoch(EPOCH)
            fanout.send(FRAGMENTS[0])
            fanout.change_audience(relay, waiting)
            assert not fanout.keyframe_wanted()
            clock.now += 2 * KEYFRAME_REUSE_S
            fanout.change_audience(relay, AudienceMessage(dedicated=2))
            assert not fanout.keyframe_wanted()
            fanout.change_audience(relay, waiting)
            assert fanout.keyframe_wanted()

    on_loop(watch)


def test_who_joins_before_an_epochs_first_keyframe_requests_none():
    async def watch() -> None:
        clock = Clock(50.0)
        fanout = Fanout(clock)
        fanout.begin_epoch(EPOCH)
        with fanout.join() as viewer:
            assert not fanout.keyframe_wanted()
            await asyncio.sleep(KEYFRAME_TIMEOUT_S * 1.2)
            assert not viewer.queue.started
            fanout.send(FRAGMENTS[0])
            items = [await anext(viewer) for _ in range(3)]
            assert items[1:] == [EPOCH, FRAGMENTS[0]]

    on_loop(watch)


def test_frames_outside_an_epoch_go_to_nobody():
    async def watch() -> None:
        fanout = Fanout()
        fanout.begin_epoch(EPOCH)
        fanout.set_state(StreamState.STANDBY, "its turn is over")
        with fanout.join() as viewer:
            fanout.send(FRAGMENTS[2])
            fanout.close()
            assert [type(item).__name__ async for item in viewer] == ["StateMessage"]

    on_loop(watch)


def test_a_closed_stream_ends_for_its_viewers_after_what_is_queued():
    async def watch() -> None:
        fanout = Fanout()
        fanout.begin_epoch(EPOCH)
        with fanout.join() as viewer, fanout.join() as idle:
            fanout.send(FRAGMENTS[0])
            for _ in range(3):
                await anext(idle)
            waiting = asyncio.ensure_future(anext(idle))
            await asyncio.sleep(0)
            fanout.close()
            assert [item async for item in viewer][1:] == [EPOCH, FRAGMENTS[0]]
            with pytest.raises(StopAsyncIteration):
                await waiting

    on_loop(watch)
