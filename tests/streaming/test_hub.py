"""``metabonk.streaming.hub``: joining, sharing keyframes, slow viewers, states and counters."""

import asyncio
import base64
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from metabonk.encoding.access_unit import TIMESCALE, AccessUnit
from metabonk.messages.streams import SaliencyMessage, StateMessage, ThoughtMessage
from metabonk.messages.workers import StreamState
from metabonk.streaming.fanout import (
    KEYFRAME_REUSE_S,
    KEYFRAME_TIMEOUT_S,
    MIN_KEYFRAME_INTERVAL_S,
)
from metabonk.streaming.gop import Epoch, Fragment, QueueLimits
from metabonk.streaming.hub import Hub
from metabonk.streaming.viewer import Viewer
from metabonk.streaming.viewer_queue import Item
from tests.support.clock import Clock
from tests.support.frames import encode_frames, regular_times
from tests.support.recordings import thought

T = TypeVar("T")


def live_hub(clock: Clock | None = None) -> Hub:
    hub = Hub(clock or Clock(50.0))
    hub.open_epoch(320, 180, 30)
    hub.set_state(StreamState.LIVE, "live through av:libx264")
    return hub


def on_loop(work: Callable[[], Awaitable[T]]) -> T:
    async def run() -> T:
        return await asyncio.wait_for(work(), 10)

    return asyncio.run(run())


async def waiting(viewer: Viewer) -> list[Item]:
    """Return the items queued for the viewer now."""
    items = []
    while True:
        try:
            items.append(await asyncio.wait_for(anext(viewer), 0.02))
        except TimeoutError:
            return items


def units(items: list[Item]) -> list[AccessUnit]:
    return [item.unit for item in items if isinstance(item, Fragment)]


def epochs(items: list[Item]) -> list[int]:
    return [item.number for item in items if isinstance(item, Epoch)]


def states(items: list[Item]) -> list[StreamState]:
    return [item.state for item in items if isinstance(item, StateMessage)]


UNITS = encode_frames(regular_times(40), keyframes=(10, 20, 30))


def test_the_first_viewer_gets_the_state_and_then_every_frame():
    async def watch() -> None:
        hub = live_hub()
        with hub.join() as viewer:
            for unit in UNITS[:4]:
                hub.publish(unit)
            items = await waiting(viewer)
        assert states(items[:1]) == [StreamState.LIVE]
        assert epochs(items) == [1]
        assert units(items) == UNITS[:4]

    on_loop(watch)


def test_a_later_viewer_requests_a_keyframe_and_starts_with_it():
    async def watch() -> None:
        clock = Clock(50.0)
        hub = live_hub(clock)
        for unit in UNITS[:4]:
            hub.publish(unit)
        assert hub.keyframe_wanted() is False
        clock.now += 1
        with hub.join() as viewer:
            assert hub.keyframe_wanted() is True
            assert hub.keyframe_wanted() is False
            hub.publish(UNITS[9])
            hub.publish(UNITS[10])
            assert units(await waiting(viewer)) == [UNITS[10]]

    on_loop(watch)


def test_viewers_who_join_together_share_one_keyframe():
    async def watch() -> None:
        clock = Clock(50.0)
        hub = live_hub(clock)
        hub.publish(UNITS[0])
        clock.now += 1
        first = hub.join()
        assert hub.keyframe_wanted() is True
        second = hub.join()  # while the keyframe is being encoded
        hub.publish(UNITS[10])
        assert hub.keyframe_wanted() is False
        hub.publish(UNITS[11])
        clock.now += KEYFRAME_REUSE_S * 0.9
        third = hub.join()
        assert hub.keyframe_wanted() is False
        for viewer in (first, second, third):
            assert units(await waiting(viewer)) == UNITS[10:12]
        clock.now += KEYFRAME_REUSE_S
        hub.join()
        assert hub.keyframe_wanted() is True

    on_loop(watch)


def test_without_a_keyframe_in_time_the_viewer_gets_the_gop_so_far():
    async def watch() -> None:
        clock = Clock(50.0)
        hub = live_hub(clock)
        for unit in UNITS[:3]:
            hub.publish(unit)
        clock.now += 1
        began = asyncio.get_running_loop().time()
        with hub.join() as viewer:
            items: list[Item] = []
            while not units(items):
                items.append(await anext(viewer))
            assert asyncio.get_running_loop().time() - began >= KEYFRAME_TIMEOUT_S - 0.05
            hub.publish(UNITS[3])
            assert units(items + await waiting(viewer)) == UNITS[:4]

    on_loop(watch)


def test_a_viewer_who_has_started_does_not_get_the_gop_again():
    async def watch() -> None:
        clock = Clock(50.0)
        hub = live_hub(clock)
        hub.publish(UNITS[0])
        clock.now += 1
        with hub.join() as viewer:
            hub.publish(UNITS[10])
            assert units(await waiting(viewer)) == [UNITS[10]]
            await asyncio.sleep(KEYFRAME_TIMEOUT_S)
            assert await waiting(viewer) == []

    on_loop(watch)


def test_all_viewers_share_the_same_bytes():
    async def watch() -> None:
        hub = live_hub()
        viewers = [hub.join() for _ in range(5)]
        hub.publish(UNITS[0])
        fragments = [(await waiting(viewer))[-1] for viewer in viewers]
        assert len({id(fragment) for fragment in fragments}) == 1

    on_loop(watch)


def test_a_slow_viewer_loses_whole_gops_and_nobody_else_loses_anything(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    limits = QueueLimits(seconds=0.4, size=2**20)
    monkeypatch.setattr("metabonk.streaming.fanout.QUEUE_LIMITS", limits)
    caplog.set_level(logging.INFO)

    async def watch() -> None:
        hub = live_hub()
        slow, quick = hub.join(), hub.join()
        seen: list[AccessUnit] = []
        for unit in UNITS:
            hub.publish(unit)
            seen += units(await waiting(quick))
        assert seen == UNITS
        late = units(await waiting(slow))
        assert late == UNITS[30:]
        assert hub.stats().gops_dropped == 3
        assert [r.getMessage() for r in caplog.records if "too slow" in r.message] == [
            f"viewer {slow.number} is too slow: skipping to the next keyframe"
        ]
        hub.publish(UNITS[39])
        assert units(await waiting(slow)) == [UNITS[39]]

    on_loop(watch)


def test_viewers_stay_through_standby_and_get_the_next_epoch():
    async def watch() -> None:
        hub = live_hub()
        with hub.join() as viewer:
            hub.publish(UNITS[0])
            await waiting(viewer)
            hub.set_state(StreamState.STANDBY, "another worker is featured")
            told = await waiting(viewer)
            assert [(m.state, m.reason) for m in told if isinstance(m, StateMessage)] == [
                (StreamState.STANDBY, "another worker is featured")
            ]
            hub.open_epoch(160, 90, 30)
            hub.set_state(StreamState.STARTING, "waiting for the first keyframe")
            again = encode_frames(regular_times(2), size=(160, 90))
            for unit in again:
                hub.publish(unit)
            hub.set_state(StreamState.LIVE, "live")
            items = await waiting(viewer)
            assert epochs(items) == [2]
            assert units(items) == again
            assert states(items) == [StreamState.LIVE]

    on_loop(watch)


@pytest.mark.parametrize("state", [StreamState.STANDBY, StreamState.ERROR, StreamState.STARTING])
def test_a_viewer_who_joins_an_ended_stream_gets_no_old_frame(state: StreamState):
    async def watch() -> None:
        hub = live_hub()
        hub.publish(UNITS[0])
        hub.set_state(state, "it ended")
        with hub.join() as viewer:
            items = await waiting(viewer)
        assert len(items) == 1 and states(items) == [state]

    on_loop(watch)


def test_a_stream_that_resumes_after_an_end_needs_a_keyframe():
    hub = live_hub()
    hub.publish(UNITS[0])
    hub.set_state(StreamState.STARTING, "not sure")
    hub.publish(UNITS[1])
    assert hub.keyframe_wanted() is True


def test_units_from_another_thread_arrive_in_order():
    async def watch() -> None:
        hub = live_hub()

        def encode() -> None:
            for unit in UNITS:
                hub.publish(unit)

        with hub.join() as viewer:
            thread = threading.Thread(target=encode)
            thread.start()
            seen: list[AccessUnit] = []
            async for item in viewer:
                seen += units([item])
                if len(seen) == len(UNITS):
                    break
            thread.join()
        assert seen == UNITS

    on_loop(watch)


def test_a_unit_wakes_the_loop_once_however_many_viewers_there_are(monkeypatch: pytest.MonkeyPatch):
    async def watch() -> None:
        hub = live_hub()
        for _ in range(100):
            hub.join()
        woken = []
        loop = asyncio.get_running_loop()
        call = loop.call_soon_threadsafe
        monkeypatch.setattr(
            loop, "call_soon_threadsafe", lambda *a, **k: woken.append(a) or call(*a, **k)
        )
        hub.publish(UNITS[0])
        assert len(woken) == 1

    on_loop(watch)


def test_publishing_survives_the_server_and_its_loop():
    async def join() -> Hub:
        hub = live_hub()
        hub.join()
        return hub

    hub = on_loop(join)
    hub.publish(UNITS[0])
    hub.publish(UNITS[1])
    assert hub.stats().clients == 0

    async def watch() -> None:
        with hub.join() as viewer:
            assert units(await waiting(viewer)) == UNITS[:2]

    on_loop(watch)


def test_units_and_viewers_are_counted():
    async def watch() -> None:
        clock = Clock(50.0)
        hub = live_hub(clock)
        with hub.join(dedicated=True) as viewer, hub.join(dedicated=False):
            for unit in UNITS[:30]:
                hub.publish(unit)
                clock.now += 1 / 30
            await waiting(viewer)
            stats = hub.stats()
        assert stats.fps == pytest.approx(30, abs=0.5)
        sent = 8 * sum(len(unit.data) for unit in UNITS[:30])
        assert stats.bitrate == pytest.approx(sent, rel=0.02)
        assert (stats.clients, stats.dedicated_clients) == (2, 1)
        assert stats.fragments_sent == 30
        assert hub.stats().clients == 0
        hub.set_state(StreamState.STANDBY, "no session")
        assert (hub.stats().fps, hub.stats().bitrate) == (0, 0)

    on_loop(watch)


def test_lost_frames_get_one_keyframe_per_interval():
    clock = Clock(100.0)
    hub = Hub(clock)
    hub.open_epoch(320, 180, 30)
    hub.publish(encode_frames(regular_times(1))[0])
    assert not hub.keyframe_wanted()
    for _ in range(10):
        hub.request_keyframe()
    assert not hub.keyframe_wanted(), "the last keyframe is too recent"
    clock.now += MIN_KEYFRAME_INTERVAL_S
    assert hub.keyframe_wanted()
    assert not hub.keyframe_wanted(), "wanted once"


def test_thoughts_travel_with_their_frame_and_carry_its_media_time():
    async def watch() -> None:
        hub = live_hub()
        with hub.join() as viewer:
            hub.publish(UNITS[0], [thought(0)])
            hub.publish(UNITS[1])
            hub.publish(UNITS[2], [thought(1), thought(2)])
            fragments = [each for each in await waiting(viewer) if isinstance(each, Fragment)]
        told = [
            [ThoughtMessage.model_validate_json(text) for text in fragment.thoughts]
            for fragment in fragments
        ]
        assert [[each.step for each in some] for some in told] == [[0], [], [1, 2]]
        assert told[0][0].epoch == 1
        for fragment, some in zip(fragments, told, strict=True):
            assert {each.time for each in some} <= {fragment.decode_time / TIMESCALE}

    on_loop(watch)


def test_saliency_goes_to_viewers_who_asked_and_only_the_newest_map_waits():
    async def watch() -> None:
        hub = live_hub()
        with hub.join() as plain:
            assert not hub.saliency_wanted()
            with hub.join(saliency=True) as curious:
                assert hub.saliency_wanted()
                hub.publish_saliency(0.0, 2, 1, b"\x00\xff", 0.01)
                assert saliency_maps(await waiting(curious)) == [], "no frame yet"
                hub.publish(UNITS[0])
                hub.publish(UNITS[1])
                hub.publish_saliency(UNITS[0].captured_at, 2, 1, b"\x00\xff", 0.01)
                hub.publish_saliency(UNITS[1].captured_at, 2, 1, b"\xff\x00", 0.01)
                (told,) = saliency_maps(await waiting(curious))
                assert (told.epoch, told.columns, told.rows) == (1, 2, 1)
                assert base64.b64decode(told.cells) == b"\xff\x00"
                assert told.time == pytest.approx(UNITS[1].captured_at - UNITS[0].captured_at)
            assert not hub.saliency_wanted()
            assert saliency_maps(await waiting(plain)) == []

    on_loop(watch)


def saliency_maps(items: list[Item]) -> list[SaliencyMessage]:
    return [item for item in items if isinstance(item, SaliencyMessage)]
