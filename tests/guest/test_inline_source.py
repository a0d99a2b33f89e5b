"""Trainers that draw themselves: as often as somebody wants to see them, and no longer."""

import pytest

from metabonk.broadcast.records import FrameRecord
from metabonk.broadcast.ring_layout import Demand
from metabonk.broadcast.ring_reader import RingReader
from metabonk.broadcast.wrapper import Broadcast
from metabonk.errors import ReplayError
from metabonk.guest.inline_source import InlineSource
from metabonk.messages.workers import Drawn
from tests.support.broadcasts import ring_of, watch


def test_a_trainer_draws_every_frame_or_about_one_a_second(environment: Broadcast):
    source = InlineSource(RingReader(ring_of(environment)))
    assert (source.drawn, source.note) == (Drawn.INLINE, "")
    live = watch(source, environment, 2.0, 30)
    frames = sum(isinstance(each, FrameRecord) for each in live)
    # As many as a busy machine draws, and more than one a second.
    assert frames > 6
    assert source.steps_per_s is not None and source.steps_per_s > 6
    source.close()
    assert source.steps_per_s is None
    assert environment._channel.ring.demand is Demand.NOTHING
    watch(source, environment, 0.2, 1)
    seen = watch(source, environment, 3.0, 1)
    assert sum(isinstance(each, FrameRecord) for each in seen) in range(2, 16)
    source.close()


def test_a_trainer_that_can_not_draw_is_not_asked(environment: Broadcast):
    source = InlineSource(RingReader(ring_of(environment)), "it can't")
    with pytest.raises(ReplayError, match="it can't"):
        source.ask(30)
    source.close()
    assert environment._channel.ring.demand is Demand.NOTHING
