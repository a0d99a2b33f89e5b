"""Thoughts from another process."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from metabonk.broadcast.places import find_rings
from metabonk.broadcast.records import EpisodeStart, Step, Thought
from metabonk.broadcast.ring_layout import Demand
from metabonk.broadcast.ring_reader import RingReader, set_demand
from metabonk.broadcast.thought_slot import ThoughtSlot
from metabonk.broadcast.wrapper import Broadcast
from metabonk.errors import WireError
from tests.support.rings import make_ring, records_of


@pytest.fixture
def environment() -> Iterator[Broadcast]:
    with contextlib.closing(Broadcast(gymnasium.make("CartPole-v1"))) as made:
        made.reset(seed=1)
        yield made


@pytest.fixture
def slot(environment: Broadcast) -> Iterator[ThoughtSlot]:
    assert environment.ring_file is not None
    with contextlib.closing(ThoughtSlot(Path(environment.ring_file))) as opened:
        yield opened


def test_a_thought_stands_before_the_step_that_follows(environment: Broadcast, slot: ThoughtSlot):
    assert not slot.is_wanted
    (file,) = find_rings()
    set_demand(file, Demand.RECORDS, 600)
    assert slot.is_wanted
    reader = RingReader(file)
    environment.reset()
    slot.put(Thought(np.array([0.25, 0.75], np.float32), 2.0))
    environment.step(1)
    environment.step(0)
    slot.put(Thought(None, 3.0))
    environment.step(1)
    records = records_of(reader)
    kinds = [type(each) for each in records]
    assert kinds == [EpisodeStart, Thought, Step, Step, Thought, Step]
    first, second = records[1], records[4]
    assert isinstance(first, Thought) and first.probabilities is not None
    assert (first.probabilities.tolist(), first.value) == ([0.25, 0.75], 2.0)
    assert isinstance(second, Thought) and second.value == 3.0


def test_a_second_process_goes_on_where_the_first_ended(environment: Broadcast, slot: ThoughtSlot):
    (file,) = find_rings()
    set_demand(file, Demand.RECORDS, 600)
    reader = RingReader(file)
    environment.reset()
    slot.put(Thought(None, 1.0))
    environment.step(1)
    with contextlib.closing(ThoughtSlot(file)) as another:
        another.put(Thought(None, 2.0))
        environment.step(1)
    values = [each.value for each in records_of(reader) if isinstance(each, Thought)]
    assert values == [1.0, 2.0]


def test_one_that_is_too_large_is_left_out(environment: Broadcast, slot: ThoughtSlot):
    (file,) = find_rings()
    set_demand(file, Demand.RECORDS, 600)
    reader = RingReader(file)
    environment.reset()
    slot.put(Thought(np.zeros(2000, np.float32)))
    environment.step(1)
    assert [type(each) for each in records_of(reader)] == [EpisodeStart, Step]


def test_it_knows_when_its_ring_is_gone(environment: Broadcast, slot: ThoughtSlot):
    assert not slot.is_lost
    environment.close()
    assert slot.is_lost and environment.ring_file is None


def test_what_is_no_ring_is_refused(tmp_path: Path):
    file = tmp_path / "some.ring"
    file.write_bytes(b"x" * 10_000)
    with pytest.raises(WireError, match="no ring"):
        ThoughtSlot(file)
    ring = make_ring(tmp_path / "closed.ring")
    ring.close()
    with pytest.raises(FileNotFoundError):
        ThoughtSlot(tmp_path / "closed.ring")
