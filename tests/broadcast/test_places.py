"""Where rings are, and what becomes of those whose trainers have ended."""

import contextlib
import dataclasses
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from metabonk.broadcast import places
from metabonk.broadcast.announcement import Announcement
from metabonk.broadcast.places import create_ring, find_rings, remove_ended, ring_folders
from metabonk.broadcast.ring_reader import RingReader
from metabonk.broadcast.ring_writer import RingWriter
from metabonk.errors import StartError
from tests.support.rings import announcement, make_ring
from tests.support.small_disk import small_disk

CAPACITIES = (1 << 16, 1 << 13)


def create(name: str = "pole-{rank}") -> RingWriter:
    return create_ring(announcement(name), CAPACITIES)


def name_of(writer: RingWriter) -> str:
    with contextlib.closing(RingReader(writer.file)) as reader:
        return Announcement.from_json(reader.announcement).name


def test_rings_are_in_shared_memory_and_else_in_the_runtime_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("METABONK_PATHS_RUNTIME")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    name = f"metabonk-{os.getuid()}-rings"
    assert ring_folders() == [Path("/dev/shm") / name, tmp_path / name]
    monkeypatch.setenv("XDG_RUNTIME_DIR", "relative")
    assert ring_folders()[1] == Path(tempfile.gettempdir()) / name


def test_each_ring_has_the_lowest_rank_that_is_free(rings: Path):
    first, second = create(), create()
    assert [name_of(first), name_of(second)] == ["pole-0", "pole-1"]
    first.close()
    third = create()
    assert name_of(third) == "pole-0"
    assert find_rings() == [third.file, second.file]
    assert rings.stat().st_mode & 0o777 == 0o700
    second.close()
    third.close()


def test_a_name_that_is_taken_gets_a_number():
    with contextlib.closing(create("ppo")) as first, contextlib.closing(create("ppo")) as second:
        assert [name_of(first), name_of(second)] == ["ppo", "ppo-1"]


@pytest.mark.parametrize("name", ["ALE/Pong-v5", "../../etc/passwd", "…", "a" * 300, ""])
def test_any_name_is_a_file_of_the_folder(rings: Path, name: str):
    with contextlib.closing(create(name)) as writer:
        assert writer.file.parent == rings
        assert name_of(writer) == name


def test_rings_of_killed_trainers_are_removed(rings: Path):
    program = """
import os
from tests.broadcast.test_places import create
ring = create()
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[2], check=False)
    (ended,) = rings.iterdir()
    assert find_rings() == []
    with contextlib.closing(RingReader(ended)) as reader, contextlib.closing(create()) as writer:
        assert writer.file == ended
        assert writer.file.stat().st_ino != os.fstat(reader._descriptor).st_ino
        remove_ended(rings)
        assert find_rings() == [writer.file]
    assert list(rings.iterdir()) == []


def test_a_folder_of_another_user_is_not_used(
    tmp_path: Path, rings: Path, monkeypatch: pytest.MonkeyPatch
):
    rings.parent.mkdir()
    rings.symlink_to(tmp_path)
    with pytest.raises(StartError, match="is a link, which another user may have planted"):
        create()
    monkeypatch.setattr(places, "ring_folders", lambda: [rings, tmp_path / "runtime" / "second"])
    with contextlib.closing(create()) as writer:
        assert writer.file.parent.name == "second"


def test_where_there_is_little_room_a_ring_is_small_and_where_there_is_none_it_is_said(
    rings: Path,
):
    rings.mkdir(parents=True, mode=0o700)
    with small_disk(rings, 1) as is_mounted, contextlib.ExitStack() as stack:
        if not is_mounted:
            pytest.skip("only root may mount a disk")
        rings.chmod(0o700)
        sizes = []
        for _ in range(2):
            writer = create_ring(announcement(), (1 << 19, 1 << 18))
            stack.callback(writer.close)
            for _ in range(4):
                writer.append(b"x" * writer.max_record)
            sizes.append(writer.capacity)
        assert sizes == [1 << 19, 1 << 18]
        with pytest.raises(StartError, match=f"{rings}: No space left on device"):
            create_ring(announcement(), (1 << 19, 1 << 18))
        assert len(find_rings()) == 2


def test_every_name_may_be_taken(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(places, "MAX_RINGS", 1)
    with contextlib.closing(create()), pytest.raises(StartError, match="1 environments are"):
        create()


def test_other_files_of_the_folder_are_left_alone(rings: Path):
    with contextlib.closing(create()) as writer:
        other = rings / "notes.txt"
        other.touch()
        stale = dataclasses.replace(announcement("stale"))
        make_ring(rings / f"{stale.name}.ring").abandon()
        remove_ended(rings)
        assert sorted(rings.iterdir()) == sorted([other, writer.file])
