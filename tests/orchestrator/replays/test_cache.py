import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from metabonk.orchestrator.replays import cache as replay_cache
from metabonk.orchestrator.replays.cache import (
    KEEP_S,
    CachedVideo,
    ReplayCache,
    evictions,
    replay_key,
)
from metabonk.orchestrator.replays.errors import ReplayFailed

SIZE = (640, 360)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / ".replays"


@pytest.fixture
def cache(folder: Path) -> Iterator[ReplayCache]:
    cache = ReplayCache(folder, min_free_bytes=0)
    yield cache
    cache.close()


def render(cache: ReplayCache, key: str, video: bytes = b"video", track: bytes = b"{}") -> None:
    """Do a renderer's work."""
    cache.prepare(key, b"log")
    cache.files(key).track.write_bytes(track)
    cache.files(key).saliency.write_bytes(b"")
    cache.files(key).video.write_bytes(video)


def test_a_key_depends_on_everything_that_the_video_shows(monkeypatch: pytest.MonkeyPatch):
    keys = [
        replay_key(b"log", SIZE),
        replay_key(b"other", SIZE),
        replay_key(b"log", (1280, 720)),
        replay_key(b"log", SIZE, "checkpoint-2"),
        replay_key(b"log", SIZE, "checkpoint-3"),
    ]
    assert keys[0] == replay_key(b"log", SIZE)
    monkeypatch.setattr(replay_cache, "RENDERER_VERSION", 0)
    assert len({*keys, replay_key(b"log", SIZE)}) == 6


def test_those_asked_for_longest_ago_are_deleted_and_recent_ones_never():
    videos = [
        CachedVideo("new", 40, 90.0),
        CachedVideo("old", 30, 10.0),
        CachedVideo("mid", 30, 50),
    ]
    now = 90.0 + KEEP_S
    assert evictions(videos, 100, now) == []
    assert evictions(videos, 99, now) == ["old"]
    assert evictions(videos, 69, now) == ["old", "mid"]
    assert evictions(videos, 0, now) == ["old", "mid", "new"]
    assert evictions(videos, 0, now=50.0 + KEEP_S) == ["old", "mid"]


def test_a_video_is_found_while_it_grows_and_in_every_place_it_moves_to(cache: ReplayCache):
    cache.prepare("a", b"log")
    assert cache.files("a").log.read_bytes() == b"log"
    assert cache.open_video("a") is None
    assert cache.open_saliency("a") is None
    assert cache.read_track("a") is None
    assert cache.written("a") == 0
    cache.files("a").track.write_bytes(b"{}")
    cache.files("a").partial.write_bytes(b"begin")
    assert cache.read_track("a") == b"{}"
    assert cache.written("a") == 7
    cache.files("a").saliency.write_bytes(b"map\n")
    assert cache.written("a") == 11
    with cache.open_video("a") as growing:
        assert growing.read(100) == b"begin"
        with cache.files("a").partial.open("ab") as stream:
            stream.write(b"ning")
        cache.files("a").partial.replace(cache.files("a").video)
        assert cache.whole("a") is None
        cache.publish("a")
        cache.discard("a")
        assert growing.read(100) == b"ning", "the reader keeps its file"
    assert cache.whole("a").read_bytes() == b"beginning"
    assert cache.read_track("a") == b"{}"
    assert not cache.files("a").video.parent.exists()
    with cache.open_video("a") as whole:
        assert whole.read(100) == b"beginning"
    with cache.open_saliency("a") as maps:
        assert maps.read(100) == b"map\n"


def test_whole_videos_survive_a_restart_and_half_ones_do_not(folder: Path):
    killed = ReplayCache(folder, min_free_bytes=0)
    render(killed, "whole")
    killed.publish("whole")
    render(killed, "half")
    half = killed.files("half").video.parent
    # The kernel drops the lock of a killed process.
    os.close(killed._lock)
    cache = ReplayCache(folder, min_free_bytes=0)
    cache.prepare("other", b"log")
    assert cache.whole("whole") is not None
    assert not half.exists()
    cache.close()
    assert sorted(path.name for path in folder.iterdir()) == [
        "whole.mp4",
        "whole.saliency",
        "whole.track",
    ]


def test_the_work_of_another_fleet_is_left_alone(folder: Path, cache: ReplayCache):
    other = ReplayCache(folder, min_free_bytes=0)
    other.prepare("theirs", b"log")
    cache.prepare("ours", b"log")
    assert other.files("theirs").log.exists()
    other.close()
    assert cache.files("ours").log.exists()


def test_the_cache_is_bounded_and_keeps_what_was_asked_for_last(folder: Path):
    cache = ReplayCache(folder, max_bytes=25, min_free_bytes=0)
    for age, key in enumerate("abc"):
        render(cache, key, video=b"12345678")
        cache.publish(key)
        old = 10 * KEEP_S + age
        os.utime(folder / f"{key}.mp4", (1e9 - old, 1e9))
    assert cache.whole("c") is not None, "asked for: now it is the newest"
    cache.evict()
    assert [key for key in "abc" if (folder / f"{key}.mp4").exists()] == ["a", "c"]
    assert not list(folder.glob("b.*"))
    cache.close()


def test_a_small_disk_keeps_its_room(folder: Path, monkeypatch: pytest.MonkeyPatch):
    cache = ReplayCache(folder, min_free_bytes=0)
    render(cache, "a", video=bytes(1000), track=b"")
    cache.publish("a")
    os.utime(folder / "a.mp4", (0, 0))
    monkeypatch.setattr(replay_cache, "free_disk", lambda folder: 9000)
    cache.evict()
    assert (folder / "a.mp4").exists(), "a tenth of the disk"
    monkeypatch.setattr(replay_cache, "free_disk", lambda folder: 8999)
    cache.evict()
    assert not (folder / "a.mp4").exists()
    cache.close()


def test_nothing_is_rendered_on_a_disk_that_is_nearly_full(folder: Path):
    cache = ReplayCache(folder, min_free_bytes=1 << 62)
    with pytest.raises(ReplayFailed, match=r"only .* are free on the disk of .*\.replays"):
        cache.prepare("a", b"log")
    cache.close()


def test_it_recovers_when_its_folder_is_deleted(folder: Path, cache: ReplayCache):
    cache.prepare("a", b"log")
    shutil.rmtree(folder)
    assert cache.written("a") == 0
    assert cache.whole("a") is None
    cache.prepare("a", b"log")
    assert cache.files("a").log.exists()


def test_nothing_is_created_before_a_replay_is_rendered(folder: Path, cache: ReplayCache):
    assert cache.whole("a") is None
    assert cache.open_video("a") is None
    assert cache.read_track("a") is None
    assert not folder.exists()
