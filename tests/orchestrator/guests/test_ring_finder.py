"""The look for broadcast environments, in rings of real writers."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from metabonk.broadcast.places import create_ring
from metabonk.broadcast.ring_layout import FORMAT, HEAD_OFFSET, Word
from metabonk.orchestrator.guests.election import Election
from metabonk.orchestrator.guests.ring_finder import RingFinder, guest_name
from tests.support.machine_speed import slowness
from tests.support.rings import announcement

CAPACITY = 1 << 17


@pytest.fixture
def rings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the rings, which is this test's own."""
    monkeypatch.setenv("METABONK_PATHS_RUNTIME", str(tmp_path))
    return tmp_path / "rings"


@pytest.fixture
def election(rings: Path) -> Iterator[Election]:
    with contextlib.closing(Election("hub")) as election:
        yield election


def test_rings_become_guests_and_are_gone_with_their_trainer(rings: Path, election: Election):
    finder = RingFinder(election)
    finder.look()
    assert (finder.guests, finder.count, finder.problems()) == ({}, 0, [])
    made = [create_ring(announcement(name), (CAPACITY,)) for name in ("mine-{rank}", "learner")]
    finder.look()
    assert finder.guests == {
        "mine-0": rings / "mine-0.ring",
        "guest-learner": rings / "learner.ring",
    }
    made[0].close()
    finder.look()
    assert list(finder.guests) == ["guest-learner"]
    assert finder.count == 1


def test_what_killed_trainers_leave_behind_is_removed(rings: Path, election: Election):
    ring = create_ring(announcement("mine"), (CAPACITY,))
    left = rings / "left.ring"
    left.write_bytes(ring.file.read_bytes())
    finder = RingFinder(election)
    finder.look()
    assert list(finder.guests) == ["mine"]
    assert not left.exists()
    left.write_bytes(ring.file.read_bytes())
    finder.close()
    assert not left.exists()
    assert ring.file.exists()
    ring.close()


def test_a_ring_of_another_version_is_a_sentence_and_no_guest(rings: Path, election: Election):
    ring = create_ring(announcement("mine"), (CAPACITY,))
    with ring.file.open("r+b") as file:
        os.pwrite(file.fileno(), (FORMAT + 1).to_bytes(8, "little"), HEAD_OFFSET + 8 * Word.FORMAT)
    finder = RingFinder(election)
    for _ in range(2):
        finder.look()
        (problem,) = finder.problems()
        assert problem.message.startswith("mine can't be shown: another version of MetaBonk")
        assert finder.guests == {}
        assert finder.count == 1, "its trainer is there"
    ring.close()
    finder.look()
    assert finder.problems() == []


def test_nothing_is_found_while_another_process_shows_it(rings: Path, election: Election):
    create = create_ring(announcement("mine"), (CAPACITY,))
    assert election.run()
    with contextlib.closing(Election("fleet")) as other:
        finder = RingFinder(other)
        finder.look()
        assert (finder.guests, finder.count) == ({}, 0)
        election.close()
        finder.look()
        assert list(finder.guests) == ["mine"]
    create.close()


def test_a_folder_that_cannot_be_used_is_a_problem(rings: Path, election: Election):
    finder = RingFinder(election)
    rings.mkdir(mode=0o700)
    rings.chmod(0o777)
    finder.look()
    (problem,) = finder.problems()
    assert "writable by other users" in problem.message
    rings.chmod(0o700)
    finder.look()
    assert finder.problems() == []


def test_64_rings_are_found_within_a_twentieth_of_a_second(rings: Path, election: Election):
    made = [create_ring(announcement("mine-{rank}"), (CAPACITY,)) for _ in range(64)]
    finder = RingFinder(election)
    finder.look()
    took = []
    for _ in range(3):
        began = time.perf_counter()
        finder.look()
        took.append(time.perf_counter() - began)
    assert min(took) < 0.05 * slowness()
    assert len(finder.guests) == 64
    for ring in made:
        ring.close()


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("CartPole-v1-0", "CartPole-v1-0"),
        ("omega-7", "guest-omega-7"),
        ("omega-seven", "omega-seven"),
        ("inference-0", "guest-inference-0"),
        ("orchestrator", "guest-orchestrator"),
        ("go2rtc", "guest-go2rtc"),
        ("--help", "guest---help"),
        ("..", "guest-.."),
        ("", "guest-"),
    ],
)
def test_a_guest_has_a_name_that_no_other_process_has(stem: str, name: str):
    assert guest_name(stem, ()) == name


def test_rings_of_the_same_name_in_two_folders_are_two_guests():
    assert guest_name("mine", ("mine", "mine-2")) == "mine-3"
