"""The encode thread: it follows the director's wish, and nothing it meets stops it."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from metabonk.encoding.encoder import EncoderSettings
from metabonk.encoding.frame import AccessUnit, Frame
from metabonk.encoding.ladder import RUNGS, Rung
from metabonk.encoding.session import EncoderSession, OpenFailure, SettingsOn
from metabonk.errors import EncoderBroken
from metabonk.messages import DesiredState, StreamState
from metabonk.streaming.hub import Hub
from metabonk.worker import quality as quality_module
from metabonk.worker import streamer as streamer_module
from metabonk.worker.streamer import QUEUED_FRAMES, Streamer

SETTINGS = EncoderSettings(64, 36, 30, 100_000, 2.0)
LADDER = (SETTINGS, replace(SETTINGS, width=32, height=18), replace(SETTINGS, fps=15))
LARGER = EncoderSettings(128, 72, 60, 200_000, 2.0)
SOFTWARE = next(rung for rung in RUNGS if rung.backend == "av:libx264")
HARDWARE = RUNGS[0]
PIXELS = np.zeros((36, 64, 3), np.uint8)
# SPS and PPS of a 64×36 stream, and the start of an IDR slice: enough for the hub.
KEYFRAME = (
    bytes.fromhex("0000000167 42c00a da1109a1 0000 0168 ce0fc8".replace(" ", ""))
    + b"\x00\x00\x00\x01\x65\x88\x84\x00"
)


class Lease:
    slot = 0
    pool = "cpu"

    def __init__(self) -> None:
        self.held = True

    def release(self) -> None:
        self.held = False


class Encoder:
    backend = "av:libx264"

    def __init__(self) -> None:
        self.broken = False
        self.pause_s = 0.0
        self.answers = threading.Event()
        self.answers.set()

    def encode(self, frame: Frame, *, keyframe: bool) -> list[AccessUnit]:
        assert self.answers.wait(10)
        time.sleep(self.pause_s)
        if self.broken:
            raise EncoderBroken("the driver was reset")
        return [AccessUnit(KEYFRAME, frame.captured_at, True)]

    def close(self) -> None:
        pass


class Opener:
    """Opens what the test wants."""

    def __init__(self) -> None:
        self.answer: OpenFailure | None = None
        self.opened: list[EncoderSession] = []
        self.reopened: list[EncoderSettings] = []
        self.moves = False
        self.reopens = threading.Event()
        self.reopens.set()

    @property
    def closed(self) -> list[EncoderSession]:
        return [session for session in self.opened if not session.lease.held]

    def open(self, settings_on: SettingsOn) -> EncoderSession | OpenFailure:
        return self.answer or self._open(SOFTWARE, settings_on)

    def move(self, session: EncoderSession, settings_on: SettingsOn) -> EncoderSession | None:
        if not self.moves:
            return None
        self.moves = False
        return self._open(HARDWARE, settings_on)

    def _open(self, rung: Rung, settings_on: SettingsOn) -> EncoderSession:
        lease: Any = Lease()
        session = EncoderSession(rung, Encoder(), settings_on(rung), lease, "omega-0")
        self.opened.append(session)
        return session

    def reopen(self, session: EncoderSession, settings: EncoderSettings) -> OpenFailure | None:
        assert session.lease.held
        assert self.reopens.wait(10)
        if self.answer:
            session.close()
            return self.answer
        session.encoder, session.settings = Encoder(), settings
        self.reopened.append(settings)
        return None

    def broke(self, session: EncoderSession, reason: str) -> None:
        session.close()

    def hangs(self, session: EncoderSession, reason: str) -> None:
        self.hanging = session, reason

    def worked(self, session: EncoderSession) -> None:
        pass


def renditions(rung: Rung) -> Sequence[EncoderSettings]:
    return (LARGER,) if rung.hardware else LADDER


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "not within 5 s"
        time.sleep(0.005)


@pytest.fixture
def opener() -> Opener:
    return Opener()


@pytest.fixture
def streamer(opener: Opener, monkeypatch: pytest.MonkeyPatch) -> Iterator[Streamer]:
    monkeypatch.setattr(streamer_module, "RETRY_S", 0.01)
    made = Streamer(opener, Hub(), renditions, enabled=True)  # type: ignore[arg-type]
    made.start()
    yield made
    made.close()


def go_live(streamer: Streamer) -> None:
    streamer.desire(DesiredState.LIVE, "chosen")
    streamer.episode_begun(large=True)
    until(lambda: streamer.fps)
    streamer.offer(PIXELS)
    until(lambda: streamer.figures().state is StreamState.LIVE)


def test_without_a_wish_it_stands_by_and_opens_nothing(streamer: Streamer, opener: Opener):
    until(lambda: streamer.figures().state is StreamState.STANDBY)
    assert streamer.drawn_size is None
    assert opener.opened == []


def test_the_wish_for_live_opens_an_encoder_once_the_game_is_drawn_large(
    streamer: Streamer, opener: Opener
):
    streamer.desire(DesiredState.LIVE, "chosen")
    until(lambda: streamer.figures().state is StreamState.STARTING)
    assert opener.opened == []
    go_live(streamer)
    assert streamer.figures().backend == "av:libx264"
    assert streamer.figures().frames_ok == 1
    assert streamer.figures().error is None


def test_a_game_that_is_never_drawn_large_is_shown_all_the_same(
    streamer: Streamer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(streamer_module, "PATIENCE_S", 0.05)
    streamer.desire(DesiredState.LIVE, "chosen")
    until(lambda: streamer.fps)


def test_the_wish_for_standby_gives_the_session_back(streamer: Streamer, opener: Opener):
    go_live(streamer)
    streamer.desire(DesiredState.STANDBY, "omega-1 is featured")
    until(lambda: opener.closed == opener.opened)
    until(lambda: streamer.figures().state is StreamState.STANDBY)
    assert streamer.figures().reason == "omega-1 is featured"
    assert streamer.figures().backend == ""


def test_an_encoder_that_breaks_is_opened_again_and_the_error_is_kept(
    streamer: Streamer, opener: Opener
):
    go_live(streamer)
    opener.opened[0].encoder.broken = True  # type: ignore[attr-defined]
    streamer.offer(PIXELS)
    until(lambda: len(opener.opened) == 2)
    assert opener.closed == opener.opened[:1]
    streamer.offer(PIXELS)
    until(lambda: streamer.figures().state is StreamState.LIVE)
    assert streamer.figures().last_error == "the driver was reset"


def test_a_full_pool_is_standby_and_anything_else_is_an_error(streamer: Streamer, opener: Opener):
    opener.answer = OpenFailure((("av:libx264", "1 of 1 in use"),), limit_reached=True)
    streamer.desire(DesiredState.LIVE, "chosen")
    streamer.episode_begun(large=True)
    until(lambda: "1 of 1" in streamer.figures().reason)
    assert streamer.figures().state is StreamState.STANDBY
    assert streamer.figures().last_error is None
    opener.answer = OpenFailure((("av:libx264", "crashed with signal 11"),), limit_reached=False)
    until(lambda: streamer.figures().state is StreamState.ERROR)
    assert "signal 11" in (streamer.figures().last_error or "")
    opener.answer = None
    until(lambda: streamer.fps)


def test_offering_frames_never_waits_and_drops_the_oldest(opener: Opener):
    asleep = Streamer(opener, Hub(), renditions, enabled=True)  # type: ignore[arg-type]
    began = time.monotonic()
    for _ in range(100):
        asleep.offer(PIXELS)
    assert time.monotonic() - began < 1
    assert asleep.figures().frames_dropped == 100 - QUEUED_FRAMES


def test_streams_that_are_switched_off_stay_off(opener: Opener):
    off = Streamer(opener, Hub(), renditions, enabled=False)  # type: ignore[arg-type]
    off.start()
    off.desire(DesiredState.LIVE, "chosen")
    until(lambda: "switched off" in off.figures().reason)
    assert opener.opened == []
    off.close()


def test_an_encoder_that_hangs_is_left_behind_and_another_is_opened(
    streamer: Streamer, opener: Opener, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(streamer_module, "HANG_S", 0.2)
    go_live(streamer)
    (hanging,) = opener.opened
    hanging.encoder.answers.clear()  # type: ignore[attr-defined]
    streamer.offer(PIXELS)
    until(lambda: len(opener.opened) == 2)
    assert opener.hanging[0] is hanging
    assert "has not answered" in opener.hanging[1]
    assert hanging.lease.held, "the driver still counts it"
    streamer.offer(PIXELS)
    until(lambda: streamer.figures().state is StreamState.LIVE)
    hanging.encoder.answers.set()  # type: ignore[attr-defined]
    until(lambda: not hanging.lease.held)
    assert streamer.fps, "the new session is not touched"


def test_another_encoder_takes_over_without_a_gap(
    streamer: Streamer, opener: Opener, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(streamer_module, "LOOK_AROUND_S", 0.0)
    go_live(streamer)
    opener.moves = True
    states = set()

    def moved() -> bool:
        streamer.offer(PIXELS)
        states.add(streamer.figures().state)
        return len(opener.opened) == 2 and opener.closed == opener.opened[:1]

    until(moved)
    assert states == {StreamState.LIVE}
    assert streamer.fps == LARGER.fps
    assert streamer.drawn_size == (LARGER.width, LARGER.height)
    assert streamer.figures().settings == LARGER


def play(streamer: Streamer, fps: float, done: Callable[[], object]) -> None:
    """Offers frames until it is done, as a game does that is drawn in half of its time."""
    deadline = time.monotonic() + 20
    while not done():
        assert time.monotonic() < deadline, "not within 20 s"
        streamer.offer(PIXELS, waited_s=0.5 / fps)
        time.sleep(1 / fps)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality_module, "STRETCH_S", 0.1)
    monkeypatch.setattr(quality_module, "SETTLE_S", 0.1)


@pytest.mark.usefixtures("quick")
def test_a_game_that_falls_behind_gets_a_smaller_stream_under_the_same_lease(
    streamer: Streamer, opener: Opener
):
    go_live(streamer)
    assert streamer.figures().quality is None
    play(streamer, 10, lambda: opener.reopened)
    assert opener.reopened[0] in LADDER[1:]
    assert len(opener.opened) == 1 and opener.closed == []
    until(lambda: streamer.figures().settings == opener.reopened[-1])
    assert "instead of 64×36 at 30: this machine can't keep up" in (
        streamer.figures().quality or ""
    )
    assert streamer.figures().state is StreamState.LIVE


@pytest.mark.usefixtures("quick")
def test_an_encoder_that_is_too_slow_gets_a_smaller_stream(streamer: Streamer, opener: Opener):
    go_live(streamer)
    opener.opened[0].encoder.pause_s = 0.1  # type: ignore[attr-defined]
    play(streamer, 30, lambda: opener.reopened)
    assert streamer.figures().frames_dropped > 0
    assert opener.closed == []


@pytest.mark.usefixtures("quick")
def test_an_encoder_that_hangs_while_it_is_opened_anew_is_left_behind(
    streamer: Streamer, opener: Opener, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(streamer_module, "HANG_S", 0.3)
    go_live(streamer)
    (hanging,) = opener.opened
    opener.reopens.clear()
    play(streamer, 10, lambda: len(opener.opened) == 2)
    assert opener.hanging[0] is hanging
    assert hanging.lease.held, "the driver may count it"
    opener.reopens.set()
    until(lambda: not hanging.lease.held)
    assert streamer.fps, "the new session is not touched"


@pytest.mark.usefixtures("quick")
def test_a_quality_is_kept_for_the_next_session(streamer: Streamer, opener: Opener):
    go_live(streamer)
    play(streamer, 10, lambda: len(opener.reopened) == 1)
    streamer.desire(DesiredState.STANDBY, "omega-1 is featured")
    until(lambda: opener.closed == opener.opened)
    assert streamer.figures().settings is None
    go_live(streamer)
    assert opener.opened[1].settings == opener.reopened[0]


@pytest.mark.usefixtures("quick")
def test_where_the_smaller_stream_can_not_be_opened_the_ladder_is_walked_again(
    streamer: Streamer, opener: Opener
):
    go_live(streamer)
    opener.answer = OpenFailure((("av:libx264", "out of memory"),), limit_reached=False)
    play(streamer, 10, lambda: opener.closed)
    until(lambda: streamer.figures().state is StreamState.ERROR)
    assert streamer.figures().last_error == "av:libx264: out of memory"
    opener.answer = None
    until(lambda: streamer.fps)
    assert len(opener.opened) == 2


def test_it_says_whether_the_open_encoder_takes_pictures_on_the_gpu(
    streamer: Streamer, opener: Opener
):
    assert not streamer.takes_device_frames
    go_live(streamer)
    assert not streamer.takes_device_frames, "software"
    for rung in RUNGS:
        opener.opened[-1].rung = rung
        assert streamer.takes_device_frames == ("cuda" in rung.backend)


def test_an_encoder_is_given_both_and_takes_the_nearest():
    uploaded = torch.ones(36, 64, 3, dtype=torch.uint8)
    frame = Frame(PIXELS, 1.0, uploaded)
    assert frame.nearest_pixels is uploaded
    assert frame.host_pixels is PIXELS
    assert Frame(PIXELS, 1.0).nearest_pixels is PIXELS
