"""Guests of real trainers: their pictures and returns are the trainer's, or they say why not."""

import contextlib
import io
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import psutil
import pytest
from numpy.typing import NDArray
from PIL import Image
from websockets.sync.client import connect

from metabonk.broadcast.places import find_rings
from metabonk.broadcast.ring_layout import DEMAND, Demand
from metabonk.broadcast.ring_reader import RingReader
from metabonk.broadcast.stream import Stream
from metabonk.guest import process
from metabonk.guest.picture import fit, snapshot_of
from metabonk.messages.streams import PolicyMessage
from metabonk.messages.workers import DesiredState, Drawn, GuestStatus, StreamState, WorkerKind
from metabonk.streaming.snapshot import QUALITY
from tests.support.broadcasting_trainer import BroadcastingTrainer, broadcasting
from tests.support.clocked import ID as CLOCKED
from tests.support.guests import START_S, ShownGuest, guest_process, shown_guest
from tests.support.machine_speed import slowness
from tests.support.processes import kill_tree
from tests.support.waiting import until

POLE = "CartPole-v1"


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """Return the snapshot of a picture, to the byte."""
    file = io.BytesIO()
    Image.fromarray(snapshot_of(pixels)).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def shown_to_the_end(shown: ShownGuest, trainer: BroadcastingTrainer, steps: int) -> None:
    """Have an episode played, and wait until all of it is shown in snapshots."""
    wait_until_wanted(shown)
    trainer.begin(steps)
    total, length, picture = trainer.finish()
    until("its last step", lambda: look(shown).episode_step == length, START_S)
    until("its last picture", lambda: shown.snapshot() == jpeg(picture))
    assert shown.guest.episode_return == total


def look(shown: ShownGuest) -> GuestStatus:
    """Ask for a snapshot, and return what the guest says then."""
    shown.snapshot()
    return shown.guest


def wait_until_wanted(shown: ShownGuest) -> None:
    until("somebody looks", lambda: look(shown).drawn, START_S)


@contextlib.contextmanager
def guest_of(
    tmp_path: Path, name: str, **options: Any
) -> Iterator[tuple[ShownGuest, Any, BroadcastingTrainer]]:
    with (
        broadcasting(tmp_path / "trainer", name, **options) as trainer,
        shown_guest(tmp_path, trainer.ring) as (shown, guest),
    ):
        yield shown, guest, trainer


@pytest.mark.parametrize(
    ("name", "steps", "actions"),
    [
        (POLE, 60, ["0", "1"]),
        ("ALE/Pong-v5", 150, ["noop", "fire", "right", "left", "rightfire", "leftfire"]),
        ("MiniGrid-DoorKey-6x6-v0", 30, None),
        ("VizdoomBasic-v1", 40, None),
    ],
)
def test_a_guest_shows_the_trainers_own_pictures_and_returns(
    name: str, steps: int, actions: list[str] | None, tmp_path: Path
):
    with (
        broadcasting(tmp_path / "trainer", name, draw="shadow") as trainer,
        guest_process(tmp_path, trainer.ring) as (shown, running),
    ):
        shown_to_the_end(shown, trainer, steps)
        status, guest = shown.status, shown.guest
        assert (status.kind, status.worker_index) == (WorkerKind.GUEST, 2)
        assert status.policy_version is None
        assert status.game == name and status.instance_id == trainer.ring.stem
        assert guest.drawn is Drawn.SHADOW and guest.note is None
        assert guest.trainer_pid == trainer.process.pid
        assert actions is None or actions_of(shown) == actions
        kill_tree(trainer.process)
        assert running.wait(START_S) == 0, "its ring is gone"
    assert "stops" in (tmp_path / "guest.log").read_text()


def actions_of(shown: ShownGuest) -> list[str]:
    """Return the names of the actions that viewers are told."""
    with connect(f"{shown.url.replace('http', 'ws')}/stream") as socket:
        return PolicyMessage.model_validate_json(socket.recv(5)).actions


def test_a_live_guest_streams_at_the_streams_rate_with_thoughts(tmp_path: Path):
    with guest_of(tmp_path, POLE) as (shown, _, trainer):
        wait_until_wanted(shown)
        shown.orchestrator.desired = DesiredState.LIVE
        trainer.begin(200)
        total, length, picture = trainer.finish()
        until("it is live", lambda: shown.status.stream_state is StreamState.LIVE, START_S)
        until("all steps", lambda: shown.guest.episode_step == length, START_S)
        until("an even rate", lambda: 27 < shown.status.stream_fps < 33, START_S)
        status = shown.status
        assert status.frames_dropped == 0 and status.guest is not None
        assert status.guest.episode_return == total == status.episode_return
        assert (status.pixel_src_width, status.pixel_src_height) == (600, 400)
        last = newest_frame(shown)
        expected = fit(picture, 640, 360)
        resized = np.asarray(Image.fromarray(expected).resize((640, 360)))
        assert np.abs(last.astype(int) - resized).mean() < 6


def newest_frame(shown: ShownGuest) -> NDArray[np.uint8]:
    """Return a frame of the stream, decoded."""
    with httpx.stream("GET", f"{shown.url}/stream.mp4", timeout=20.0) as answer:
        data = io.BytesIO()
        for chunk in answer.iter_bytes():
            data.write(chunk)
            if data.tell() > 30_000:
                break
    data.seek(0)
    with av.open(data) as container:
        for frame in container.decode(video=0):
            return frame.to_ndarray(format="rgb24")
    raise AssertionError("no frame")


def test_nothing_is_drawn_or_recorded_while_nobody_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with guest_of(tmp_path, POLE) as (shown, guest, trainer):
        shown_to_the_end(shown, trainer, 20)
        monkeypatch.setattr(process, "SNAPSHOT_WANTED_S", 3.0)
        shadow = psutil.Process(guest._source._report.pid)
        assert shadow.name().startswith("python")
        until("the shadow has ended", lambda: not is_running(shadow))
        assert shown.guest.drawn is None
        with contextlib.closing(RingReader(trainer.ring)) as reader:
            assert not is_wanted(trainer.ring)
            reader.skip()
            trainer.begin(20)
            assert shown.guest.drawn is None and reader.read() == []
            until("it is drawn", lambda: look(shown).drawn)
            trainer.finish()
            assert len(reader.read()) > 0


def is_wanted(ring: Path) -> bool:
    """Tell whether anything is wanted of a trainer, which may not have noticed that it is not."""
    demand, until_ns = DEMAND.unpack(ring.read_bytes()[: DEMAND.size])
    return demand != Demand.NOTHING and until_ns > time.monotonic_ns()


def is_running(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_what_depends_on_time_is_drawn_by_its_trainer_and_says_why(tmp_path: Path):
    with guest_of(tmp_path, CLOCKED, budget=0.5) as (shown, _, trainer):
        wait_until_wanted(shown)
        trainer.begin(10)
        trainer.finish()
        until("the sentence", lambda: look(shown).note, START_S)
        note = shown.guest.note
        assert note is not None and note.startswith("it is drawn in its trainer: it can't be")
        assert "in step 4 the reward is" in note
        trainer.begin(80, 0.05)
        possible = {jpeg(np.full((4, 4, 3), steps, np.uint8)) for steps in range(81)}
        seen = {shown.snapshot()}

        def has_moved() -> bool:
            seen.add(shown.snapshot())
            return len(seen & possible) >= 3

        until("its pictures", has_moved, START_S)
        _, length, _ = trainer.finish()
        until("its end", lambda: look(shown).episode_step == length)
        guest = shown.guest
        assert guest.drawn is Drawn.INLINE and guest.note == note
        assert guest.drawing_cost is not None and guest.drawing_cost >= 0
        assert (guest.episode_step, shown.status.stream_enabled) == (length, True)


def test_what_can_be_drawn_nowhere_has_no_stream_and_says_why(tmp_path: Path):
    options = {"render_mode": None, "draw": "auto"}
    with guest_of(tmp_path, CLOCKED, **options) as (shown, _, trainer):
        wait_until_wanted(shown)
        trainer.begin(10)
        trainer.finish()
        until("its end", lambda: look(shown).note and not shown.status.stream_enabled, START_S)
        until("the reason", lambda: "in step 4 the reward" in (shown.status.stream_error or ""))
        status = shown.status
        assert status.stream_error is not None and status.guest is not None
        assert "made without render_mode='rgb_array'" in status.stream_error
        assert status.guest.note == status.stream_error and status.guest.drawn is None


@pytest.mark.parametrize("draw", ["inline", "observation"])
def test_who_asks_for_it_is_drawn_in_the_trainer(tmp_path: Path, draw: str):
    with guest_of(tmp_path, "ALE/Pong-v5", draw=draw, budget=0.9) as (shown, _, trainer):
        wait_until_wanted(shown)
        trainer.begin(300)
        total, length, _ = trainer.finish()
        until("its end", lambda: look(shown).episode_step == length)
        guest = shown.guest
        assert (guest.drawn, guest.note, guest.episode_return) == (Drawn.INLINE, None, total)
        picture = Image.open(io.BytesIO(shown.snapshot() or b""))
        assert picture.size == (160, 210)


def test_the_newest_step_is_shown_now(tmp_path: Path):
    with guest_of(tmp_path, POLE, speed="now", draw="shadow") as (shown, _, trainer):
        wait_until_wanted(shown)
        began = time.monotonic()
        trainer.begin(400)
        total, length, picture = trainer.finish()
        until("its last picture", lambda: shown.snapshot() == jpeg(picture))
        assert time.monotonic() - began < 5 * slowness() + length / 50
        assert (shown.guest.episode_step, shown.guest.episode_return) == (length, total)


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_shadow_that_dies_or_hangs_is_replaced(tmp_path: Path, signal_number: int):
    with guest_of(tmp_path, POLE, draw="shadow") as (shown, guest, trainer):
        shown_to_the_end(shown, trainer, 20)
        first = psutil.Process(guest._source._report.pid)
        os.kill(first.pid, signal_number)
        until("another", lambda: shown.snapshot() and is_another(guest, first.pid), START_S)
        shown_to_the_end(shown, trainer, 20)
        until("the first has ended", lambda: not is_running(first))
        assert shown.guest.note is None


def is_another(guest: Any, pid: int) -> bool:
    report = guest._source._report
    return report is not None and report.pid != pid


def test_a_streams_pictures_are_shown_whatever_their_size(tmp_path: Path):
    chance = np.random.default_rng(0)
    with contextlib.closing(Stream("robot", fps=240)) as stream:
        stream.show(np.zeros((8, 8, 3), np.uint8))
        (ring,) = find_rings()
        with shown_guest(tmp_path, ring) as (shown, _):
            for shape in ((4, 4), (51, 37, 3), (1080, 1920, 3), (210, 160, 3)):
                pixels = chance.integers(0, 256, shape, np.uint8)
                color = np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels

                def is_shown(pixels: Any = pixels, color: Any = color) -> bool:
                    stream.show(pixels, reward=0.5, text="grasps")
                    return shown.snapshot() == jpeg(color)

                until(f"a picture of {shape}", is_shown)
            status = shown.status
            assert (status.game, status.pixel_src_width) == ("robot", 160)
            assert status.guest is not None and status.guest.episode_return is not None
            assert status.guest.episode_return >= 1.0 and status.guest.note is None


def test_a_trainer_whose_python_is_not_here_is_drawn_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with broadcasting(tmp_path / "trainer", POLE, budget=0.5) as trainer:
        with contextlib.closing(RingReader(trainer.ring)) as reader:
            announced = reader.announcement

        class Elsewhere(RingReader):
            def __init__(self, source: Any) -> None:
                super().__init__(source)
                self.announcement = announced.replace(b'/python"', b'/no-python"')

        monkeypatch.setattr(process, "RingReader", Elsewhere)
        with shown_guest(tmp_path, trainer.ring) as (shown, _):
            until("the sentence", lambda: look(shown).note, START_S)
            note = shown.guest.note
            assert note is not None and "no-python, by which its trainer runs, can't" in note
            trainer.begin(20, 0.05)
            until("a picture", shown.snapshot)
            assert shown.guest.drawn is Drawn.INLINE
