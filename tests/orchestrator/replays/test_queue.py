import pytest

from metabonk.orchestrator.replays.errors import TooManyReplays
from metabonk.orchestrator.replays.queue import (
    HUNG_AFTER_S,
    IDLE_S,
    MAX_QUEUED,
    MAX_REMATCH_S,
    MAX_RENDERING_S,
    MAX_VIDEO_BYTES,
    MAX_VIEWERS,
    QueuedReplay,
    ReplayQueue,
)


def joined(queue: ReplayQueue, *keys: str) -> list[QueuedReplay]:
    """Join replays whose renderers would find what they need."""
    viewers = [queue.join(key) for key in keys]
    for key in queue.unready():
        queue.make_ready(key)
    return viewers


def test_they_are_rendered_in_order_of_request_a_few_at_a_time():
    queue = ReplayQueue(renderers=2)
    joined(queue, "a", "b", "c", "d", "c")
    started = []
    while (key := queue.next()) is not None:
        queue.start(key, now=0.0)
        started.append(key)
    assert started == ["a", "b"]
    assert queue.rendering() == ["a", "b"]
    assert [queue.position(key) for key in "abcde"] == [None, None, 1, 2, None]
    queue.end("a")
    assert queue.next() == "c"


def test_one_whose_files_are_not_written_yet_is_not_started():
    queue = ReplayQueue(renderers=1)
    queue.join("slow-disk")
    assert queue.next() is None
    queue.make_ready("slow-disk")
    assert queue.next() == "slow-disk"


def test_more_replays_than_the_limit_are_refused_but_not_further_viewers_of_one():
    queue = ReplayQueue(renderers=1)
    joined(queue, *map(str, range(MAX_QUEUED)))
    with pytest.raises(TooManyReplays, match=f"{MAX_QUEUED} replays wait"):
        queue.join("one more")
    queue.join("0")
    queue.start("0", now=0.0)
    queue.join("one more")


def test_more_viewers_than_the_limit_are_refused_until_one_leaves():
    queue = ReplayQueue(renderers=1)
    viewers = joined(queue, *["a"] * MAX_VIEWERS)
    with pytest.raises(TooManyReplays, match=f"{MAX_VIEWERS} viewers"):
        queue.join("a")
    # Those who still take in a replay that is whole count as well.
    queue.end("a")
    with pytest.raises(TooManyReplays):
        queue.join("b")
    queue.leave(viewers[0], now=0.0)
    queue.join("b")


def test_one_that_nobody_watches_ends_after_a_while_unless_somebody_returns():
    queue = ReplayQueue(renderers=1)
    first, other = joined(queue, "rendering", "waiting")
    queue.start("rendering", now=0.0)
    queue.leave(first, now=1.0)
    queue.leave(other, now=2.0)
    assert list(queue.expired(1.0 + IDLE_S - 0.1)) == []
    assert list(queue.expired(1.0 + IDLE_S)) == [("rendering", None)]
    queue.join("rendering")
    assert list(queue.expired(2.0 + IDLE_S)) == [("waiting", None)]


def test_a_renderer_that_writes_nothing_hangs():
    queue = ReplayQueue(renderers=1)
    joined(queue, "a")
    queue.start("a", now=100.0)
    queue.record("a", 10, now=100.0 + HUNG_AFTER_S - 1)
    queue.record("a", 10, now=100.0 + HUNG_AFTER_S + 1)
    assert list(queue.expired(100.0 + HUNG_AFTER_S + 1)) == []
    ((key, reason),) = queue.expired(100.0 + 2 * HUNG_AFTER_S)
    assert (key, reason) == ("a", f"it has written nothing for {HUNG_AFTER_S + 1:.0f} s")


def test_a_rematch_is_played_before_anything_is_written():
    queue = ReplayQueue(renderers=1)
    queue.join("a", is_rematch=True)
    queue.start("a", now=0.0)
    assert list(queue.expired(MAX_REMATCH_S - 1)) == []
    assert list(queue.expired(MAX_REMATCH_S)) != []
    queue.record("a", 10, now=100.0)
    assert list(queue.expired(100.0 + HUNG_AFTER_S)) != []


def test_a_renderer_takes_neither_forever_nor_all_of_the_disk():
    queue = ReplayQueue(renderers=2)
    joined(queue, "long", "large")
    queue.start("long", now=0.0)
    queue.start("large", now=MAX_RENDERING_S)
    queue.record("long", 1, now=MAX_RENDERING_S)
    queue.record("large", MAX_VIDEO_BYTES + 1, now=MAX_RENDERING_S)
    assert dict(queue.expired(MAX_RENDERING_S)) == {
        "long": "it was not done within 60 minutes",
        "large": "it has written more than 512 MB",
    }


def test_a_viewer_may_leave_after_the_end_and_not_disturb_a_later_request():
    queue = ReplayQueue(renderers=1)
    (early,) = joined(queue, "a")
    queue.end("a")
    queue.end("a")
    joined(queue, "a")
    queue.leave(early, now=0.0)
    assert list(queue.expired(IDLE_S)) == []
