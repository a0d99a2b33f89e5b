"""The encode thread: it follows the director's wish, and nothing it meets stops it."""

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from metabonk.encoding.access_unit import AccessUnit
from metabonk.encoding.encoder import EncoderSettings
from metabonk.encoding.frame import Frame
from metabonk.encoding.ladder import RUNGS
from metabonk.encoding.opening import NoSession, Session
from metabonk.errors import EncoderBroken
from metabonk.messages import Desired, StreamState
from metabonk.streaming.hub import Hub
from metabonk.worker import streamer as streamer_module
from metabonk.worker.streamer import QUEUED_FRAMES, Streamer

SETTINGS = EncoderSettings(64, 36, 30, 100_000, 2.0)
SOFTWARE = next(rung for rung in RUNGS if rung.backend == "av:libx264")
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
        self.answers = threading.Event()
        self.answers.set()

    def encode(self, frame: Frame, *, keyframe: bool) -> list[AccessUnit]:
        assert self.answers.wait(10)
        if self.broken:
            raise EncoderBroken("the driver was reset")
        return [AccessUnit(KEYFRAME, frame.captured_at, True)]

    def close(self) -> None:
        pass


class Opener:
    """Opens what the test wants."""

    def __init__(self) -> None:
        self.answer: NoSession | None = None
        self.opened: list[Session] = []
        self.moves = False

    @property
    def closed(self) -> list[Session]:
        return [session for session in self.opened if not session.lease.held]

    def open(self, settings: EncoderSettings) -> Session | NoSession:
        if self.answer:
            return self.answer
        session = Session(SOFTWARE, Encoder(), Lease(), "omega-0")  # type: ignore[arg-type]
        self.opened.append(session)
        return session

    def move(self, session: Session, settings: EncoderSettings) -> Session | None:
        if not self.moves:
            return None
        self.moves = False
        successor = self.open(settings)
        return successor if isinstance(successor, Session) else None

    def broke(self, session: Session, reason: str) -> None:
        session.close()

    def hangs(self, session: Session, reason: str) -> None:
        self.hanging = session, reason

    def worked(self, session: Session) -> None:
        pass


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
    made = Streamer(opener, Hub(), SETTINGS, enabled=True)  # type: ignore[arg-type]
    made.start()
    yield made
    made.close()


def go_live(streamer: Streamer) -> None:
    streamer.desire(Desired.LIVE, "chosen")
    streamer.drawing_large(True)
    until(lambda: streamer.live)
    streamer.offer(PIXELS)
    until(lambda: streamer.figures().state is StreamState.LIVE)


def test_without_a_wish_it_stands_by_and_opens_nothing(streamer: Streamer, opener: Opener):
    until(lambda: streamer.figures().state is StreamState.STANDBY)
    assert not streamer.wanted
    assert opener.opened == []


def test_the_wish_for_live_opens_an_encoder_once_the_game_is_drawn_large(
    streamer: Streamer, opener: Opener
):
    streamer.desire(Desired.LIVE, "chosen")
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
    streamer.desire(Desired.LIVE, "chosen")
    until(lambda: streamer.live)


def test_the_wish_for_standby_gives_the_session_back(streamer: Streamer, opener: Opener):
    go_live(streamer)
    streamer.desire(Desired.STANDBY, "omega-1 is featured")
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
    opener.answer = NoSession((("av:libx264", "1 of 1 in use"),), limit_reached=True)
    streamer.desire(Desired.LIVE, "chosen")
    streamer.drawing_large(True)
    until(lambda: "1 of 1" in streamer.figures().reason)
    assert streamer.figures().state is StreamState.STANDBY
    assert streamer.figures().last_error is None
    opener.answer = NoSession((("av:libx264", "crashed with signal 11"),), limit_reached=False)
    until(lambda: streamer.figures().state is StreamState.ERROR)
    assert "signal 11" in (streamer.figures().last_error or "")
    opener.answer = None
    until(lambda: streamer.live)


def test_offering_frames_never_waits_and_drops_the_oldest(opener: Opener):
    asleep = Streamer(opener, Hub(), SETTINGS, enabled=True)  # type: ignore[arg-type]
    began = time.monotonic()
    for _ in range(100):
        asleep.offer(PIXELS)
    assert time.monotonic() - began < 1
    assert asleep.figures().frames_dropped == 100 - QUEUED_FRAMES


def test_streams_that_are_switched_off_stay_off(opener: Opener):
    off = Streamer(opener, Hub(), SETTINGS, enabled=False)  # type: ignore[arg-type]
    off.start()
    off.desire(Desired.LIVE, "chosen")
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
    assert streamer.live, "the new session is not touched"


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
    assert streamer.live


def test_it_says_whether_the_open_encoder_takes_pictures_on_the_gpu(
    streamer: Streamer, opener: Opener
):
    assert not streamer.takes_device_frames
    streamer.drawing_large(True)
    streamer.desire(Desired.LIVE, "test")
    until(lambda: streamer.live)
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
