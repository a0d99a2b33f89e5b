"""The encode thread: it follows the director, and no failure stops it."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from metabonk.encoding.access_unit import AccessUnit
from metabonk.encoding.encoder import EncoderSettings
from metabonk.encoding.ladder import RUNGS, Rung
from metabonk.encoding.session import EncoderSession, OpenFailure, SettingsFor
from metabonk.errors import EncoderBroken
from metabonk.frame import Frame
from metabonk.messages.streams import Thought
from metabonk.messages.workers import DesiredState, StreamState
from metabonk.streaming.hub import Hub
from metabonk.worker import load, quality
from metabonk.worker import streamer as streamer_module
from metabonk.worker.frame_queue import QUEUED_FRAMES
from metabonk.worker.quality import AdaptiveQuality
from metabonk.worker.streamer import Streamer
from tests.support.recordings import thought
from tests.support.waiting import GENEROUS_S, until

SETTINGS = EncoderSettings(64, 36, 30, 100_000, 2.0)
LADDER = (SETTINGS, replace(SETTINGS, width=32, height=18), replace(SETTINGS, fps=15))
LARGER = EncoderSettings(128, 72, 60, 200_000, 2.0)
SOFTWARE = next(rung for rung in RUNGS if rung.backend == "av:libx264")
HARDWARE = RUNGS[0]
PIXELS = np.zeros((36, 64, 3), np.uint8)
HANG_S = 1.0
# SPS and PPS of a 64×36 stream, and the start of an IDR slice: enough for the hub.
KEYFRAME = (
    bytes.fromhex("0000000167 42c00a da1109a1 0000 0168 ce0fc8".replace(" ", ""))
    + b"\x00\x00\x00\x01\x65\x88\x84\x00"
)
THOUGHT = thought(0)


class FakeLease:
    slot = 0
    pool = "cpu"

    def __init__(self) -> None:
        self.held = True

    def release(self) -> None:
        self.held = False


class FakeEncoder:
    """An encoder that breaks, hangs, is slow or keeps frames back as the test wants."""

    backend = "av:libx264"

    def __init__(self) -> None:
        self.broken = False
        self.pause_s = 0.0
        self.keeps_back = False
        self.kept_back = 0
        self.answers = threading.Event()
        self.answers.set()

    def encode(self, frame: Frame, *, keyframe: bool) -> list[AccessUnit]:
        assert self.answers.wait(3 * GENEROUS_S)
        time.sleep(self.pause_s)
        if self.broken:
            raise EncoderBroken("the driver was reset")
        if self.keeps_back:
            self.kept_back += 1
            return []
        return [AccessUnit(KEYFRAME, frame.captured_at, True)]

    def close(self) -> None:
        pass


class FakeOpener:
    """Opens what the test wants.

    Attributes:
        failure: returned instead of a session.
        opened: sessions, oldest first.
        reopened: settings of sessions that were reopened.
        hung: the session marked so, and why.
    """

    def __init__(self) -> None:
        self.failure: OpenFailure | None = None
        self.opened: list[EncoderSession] = []
        self.reopened: list[EncoderSettings] = []
        self.hung: tuple[EncoderSession, str] | None = None
        self.moves = False
        self.reopens = threading.Event()
        self.reopens.set()

    @property
    def closed(self) -> list[EncoderSession]:
        return [session for session in self.opened if not session.lease.held]

    def open(self, settings_for: SettingsFor) -> EncoderSession | OpenFailure:
        return self.failure or self._open(SOFTWARE, settings_for)

    def move(self, session: EncoderSession, settings_for: SettingsFor) -> EncoderSession | None:
        if not self.moves:
            return None
        self.moves = False
        return self._open(HARDWARE, settings_for)

    def _open(self, rung: Rung, settings_for: SettingsFor) -> EncoderSession:
        lease: Any = FakeLease()
        session = EncoderSession(rung, FakeEncoder(), settings_for(rung), lease, "omega-0")
        self.opened.append(session)
        return session

    def reopen(self, session: EncoderSession, settings: EncoderSettings) -> OpenFailure | None:
        assert session.lease.held
        assert self.reopens.wait(3 * GENEROUS_S)
        if self.failure:
            session.close()
            return self.failure
        session.encoder, session.settings = FakeEncoder(), settings
        self.reopened.append(settings)
        return None

    def mark_broken(self, session: EncoderSession, reason: str) -> None:
        session.close()

    def mark_hung(self, session: EncoderSession, reason: str) -> None:
        self.hung = session, reason

    def mark_healthy(self, session: EncoderSession) -> None:
        pass


class RecordingHub(Hub):
    """A hub that keeps when each unit's frame was drawn, and the thoughts that come with it."""

    def __init__(self) -> None:
        super().__init__()
        self.thoughts: list[list[Thought]] = []
        self.captured_at: list[float] = []

    def publish(self, unit: AccessUnit, thoughts: Sequence[Thought] = ()) -> None:
        self.thoughts.append(list(thoughts))
        self.captured_at.append(unit.captured_at)
        super().publish(unit, thoughts)


def renditions(rung: Rung) -> Sequence[EncoderSettings]:
    return (LARGER,) if rung.hardware else LADDER


def make_streamer(opener: FakeOpener, hub: Hub | None = None, *, enabled: bool = True) -> Streamer:
    return Streamer(
        opener,  # type: ignore[arg-type]
        hub or Hub(),
        AdaptiveQuality(renditions),
        enabled=enabled,
        hang_s=HANG_S,
    )


@pytest.fixture
def opener() -> FakeOpener:
    return FakeOpener()


@pytest.fixture
def hub() -> RecordingHub:
    return RecordingHub()


@pytest.fixture
def streamer(
    opener: FakeOpener, hub: RecordingHub, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Streamer]:
    monkeypatch.setattr(streamer_module, "RETRY_S", 0.01)
    made = make_streamer(opener, hub)
    made.start()
    yield made
    made.close()


def frame() -> Frame:
    return Frame(PIXELS, time.monotonic())


def state(streamer: Streamer) -> StreamState:
    return streamer.stats().state


def encoder_of(session: EncoderSession) -> FakeEncoder:
    assert isinstance(session.encoder, FakeEncoder)
    return session.encoder


def go_live(streamer: Streamer) -> None:
    streamer.set_desired(DesiredState.LIVE, "chosen")
    streamer.on_episode_start(large=True)
    until("an encoder", lambda: streamer.fps)
    streamer.submit_frame(frame())
    until("live", lambda: state(streamer) is StreamState.LIVE)


def show(streamer: Streamer) -> None:
    """Submit frames until one is shown: an encoder that opens leaves out those before."""

    def is_shown() -> bool:
        streamer.submit_frame(frame())
        return state(streamer) is StreamState.LIVE

    until("live", is_shown)


def test_before_an_assignment_it_is_in_standby_and_opens_nothing(
    streamer: Streamer, opener: FakeOpener
):
    until("standby", lambda: state(streamer) is StreamState.STANDBY)
    assert streamer.render_size is None
    assert not streamer.wait_for_desired(0)
    assert opener.opened == []


def test_assigned_live_it_opens_an_encoder_once_the_game_is_drawn_large(
    streamer: Streamer, opener: FakeOpener, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(streamer_module, "EPISODE_WAIT_S", 3 * GENEROUS_S)
    streamer.set_desired(DesiredState.LIVE, "chosen")
    until("starting", lambda: state(streamer) is StreamState.STARTING)
    assert opener.opened == []
    go_live(streamer)
    assert streamer.stats().backend == "av:libx264"
    assert streamer.stats().frames_ok == 1
    assert streamer.stats().error is None


def test_a_game_that_is_never_drawn_large_is_shown_all_the_same(
    streamer: Streamer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(streamer_module, "EPISODE_WAIT_S", 0.05)
    streamer.set_desired(DesiredState.LIVE, "chosen")
    until("an encoder", lambda: streamer.fps)


def test_assigned_standby_it_releases_its_session(streamer: Streamer, opener: FakeOpener):
    go_live(streamer)
    streamer.set_desired(DesiredState.STANDBY, "omega-1 is featured")
    until("closed", lambda: opener.closed == opener.opened)
    until("standby", lambda: state(streamer) is StreamState.STANDBY)
    assert streamer.stats().reason == "omega-1 is featured"
    assert streamer.stats().backend == ""


def test_an_encoder_that_breaks_is_reopened_and_the_error_is_kept(
    streamer: Streamer, opener: FakeOpener
):
    go_live(streamer)
    encoder_of(opener.opened[0]).broken = True
    streamer.submit_frame(frame())
    until("another", lambda: len(opener.opened) == 2)
    assert opener.closed == opener.opened[:1]
    show(streamer)
    assert streamer.stats().last_error == "the driver was reset"


def test_a_full_pool_means_standby_and_anything_else_an_error(
    streamer: Streamer, opener: FakeOpener
):
    opener.failure = OpenFailure((("av:libx264", "1 of 1 in use"),), limit_reached=True)
    streamer.set_desired(DesiredState.LIVE, "chosen")
    streamer.on_episode_start(large=True)
    until("refused", lambda: "1 of 1" in streamer.stats().reason)
    assert state(streamer) is StreamState.STANDBY
    assert streamer.stats().last_error is None
    opener.failure = OpenFailure((("av:libx264", "crashed with signal 11"),), limit_reached=False)
    until("an error", lambda: state(streamer) is StreamState.ERROR)
    assert "signal 11" in (streamer.stats().last_error or "")
    opener.failure = None
    until("an encoder", lambda: streamer.fps)


def test_submitting_frames_never_waits_and_drops_the_oldest(opener: FakeOpener):
    asleep = make_streamer(opener)
    for _ in range(100):
        asleep.submit_frame(frame())
    assert asleep.stats().frames_dropped == 100 - QUEUED_FRAMES


def test_thoughts_are_published_with_their_frame(
    streamer: Streamer, opener: FakeOpener, hub: RecordingHub
):
    go_live(streamer)
    thinking = frame()
    thinking.thoughts = (THOUGHT,)
    streamer.submit_frame(thinking)
    until("published", lambda: len(hub.thoughts) == 2)
    assert hub.thoughts == [[], [THOUGHT]]


def test_thoughts_of_a_frame_the_encoder_keeps_back_come_with_its_next_unit(
    streamer: Streamer, opener: FakeOpener, hub: RecordingHub
):
    go_live(streamer)
    encoder = encoder_of(opener.opened[0])
    encoder.keeps_back = True
    thinking = frame()
    thinking.thoughts = (THOUGHT,)
    streamer.submit_frame(thinking)
    until("kept back", lambda: encoder.kept_back)
    encoder.keeps_back = False
    for _ in range(2):
        streamer.submit_frame(frame())
    until("published", lambda: len(hub.thoughts) == 3)
    assert [len(thoughts) for thoughts in hub.thoughts] == [0, 1, 0]


def test_streams_that_are_switched_off_stay_off(opener: FakeOpener):
    off = make_streamer(opener, enabled=False)
    off.start()
    off.set_desired(DesiredState.LIVE, "chosen")
    until("it says so", lambda: "switched off" in off.stats().reason)
    assert opener.opened == []
    off.close()


def test_a_stream_that_is_disabled_ends_for_good(streamer: Streamer, opener: FakeOpener):
    go_live(streamer)
    assert streamer.stats().enabled
    streamer.disable("there is nothing to draw")
    until("it says so", lambda: streamer.stats().reason == "there is nothing to draw")
    streamer.set_desired(DesiredState.LIVE, "chosen")
    assert not streamer.wanted and streamer.fps is None
    assert not streamer.stats().enabled and len(opener.opened) == 1


def test_an_encoder_that_hangs_is_abandoned_and_another_is_opened(
    streamer: Streamer, opener: FakeOpener
):
    go_live(streamer)
    (hanging,) = opener.opened
    encoder_of(hanging).answers.clear()
    streamer.submit_frame(frame())
    until("another", lambda: len(opener.opened) == 2)
    assert opener.hung is not None
    assert opener.hung[0] is hanging
    assert "has not answered" in opener.hung[1]
    assert hanging.lease.held, "the driver still counts it"
    show(streamer)
    encoder_of(hanging).answers.set()
    until("released", lambda: not hanging.lease.held)
    assert streamer.fps, "the new session is not touched"


def test_another_encoder_takes_over_without_a_gap(
    streamer: Streamer, opener: FakeOpener, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(streamer_module, "RECHECK_S", 0.0)
    go_live(streamer)
    opener.moves = True
    states = set()

    def moved() -> bool:
        streamer.submit_frame(frame())
        states.add(state(streamer))
        return len(opener.opened) == 2 and opener.closed == opener.opened[:1]

    until("it has moved", moved)
    assert states == {StreamState.LIVE}
    assert streamer.fps == LARGER.fps
    assert streamer.render_size == (LARGER.width, LARGER.height)
    assert streamer.stats().settings == LARGER


def play(streamer: Streamer, fps: float, done: Callable[[], object]) -> None:
    """Submit frames until ``done``, as a game does that is drawn in half of its time."""
    deadline = time.monotonic() + 20
    while not done():
        assert time.monotonic() < deadline, "not within 20 s"
        streamer.submit_frame(frame(), waited_s=0.5 / fps)
        time.sleep(1 / fps)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "SAMPLE_S", 0.1)
    monkeypatch.setattr(quality, "SETTLE_S", 0.1)


@pytest.mark.usefixtures("quick")
def test_a_game_that_falls_behind_gets_a_smaller_stream_under_the_same_lease(
    streamer: Streamer, opener: FakeOpener
):
    go_live(streamer)
    assert streamer.stats().quality is None
    play(streamer, 10, lambda: opener.reopened)
    assert opener.reopened[0] in LADDER[1:]
    assert len(opener.opened) == 1 and opener.closed == []
    until("switched", lambda: streamer.stats().settings == opener.reopened[-1])
    note = "instead of 64×36 at 30: this machine can't keep up"
    assert note in (streamer.stats().quality or "")
    assert state(streamer) is StreamState.LIVE


def test_a_frame_is_repeated_at_its_times(streamer: Streamer, hub: RecordingHub):
    go_live(streamer)
    shown = frame()
    streamer.submit_frame(shown, repeat_at=[shown.captured_at + 0.02, shown.captured_at + 0.04])
    until("published", lambda: len(hub.captured_at) == 4)
    assert hub.captured_at[1:] == [shown.captured_at + after_s for after_s in (0, 0.02, 0.04)]
    until("counted", lambda: streamer.stats().frames_ok == 4)
    assert streamer.stats().frames_dropped == 0


@pytest.mark.usefixtures("quick")
def test_an_encoder_that_is_too_slow_gets_a_smaller_stream(streamer: Streamer, opener: FakeOpener):
    go_live(streamer)
    encoder_of(opener.opened[0]).pause_s = 0.2
    play(streamer, 30, lambda: opener.reopened)
    assert streamer.stats().frames_dropped > 0
    assert opener.closed == []


@pytest.mark.usefixtures("quick")
def test_an_encoder_that_hangs_while_it_is_reopened_is_abandoned(
    streamer: Streamer, opener: FakeOpener
):
    go_live(streamer)
    (hanging,) = opener.opened
    opener.reopens.clear()
    play(streamer, 10, lambda: len(opener.opened) == 2)
    assert opener.hung is not None
    assert opener.hung[0] is hanging
    assert hanging.lease.held, "the driver may count it"
    opener.reopens.set()
    until("released", lambda: not hanging.lease.held)
    assert streamer.fps, "the new session is not touched"


@pytest.mark.usefixtures("quick")
def test_a_quality_is_kept_for_the_next_session(streamer: Streamer, opener: FakeOpener):
    go_live(streamer)
    play(streamer, 10, lambda: opener.reopened)
    streamer.set_desired(DesiredState.STANDBY, "omega-1 is featured")
    until("closed", lambda: opener.closed == opener.opened)
    assert streamer.stats().settings is None
    go_live(streamer)
    assert opener.opened[1].settings == opener.reopened[-1]


@pytest.mark.usefixtures("quick")
def test_where_the_smaller_stream_cannot_be_opened_the_ladder_is_walked_again(
    streamer: Streamer, opener: FakeOpener
):
    go_live(streamer)
    opener.failure = OpenFailure((("av:libx264", "out of memory"),), limit_reached=False)
    play(streamer, 10, lambda: opener.closed)
    until("an error", lambda: state(streamer) is StreamState.ERROR)
    assert streamer.stats().last_error == "av:libx264: out of memory"
    opener.failure = None
    until("an encoder", lambda: streamer.fps)
    assert len(opener.opened) == 2


def test_it_says_whether_the_open_encoder_takes_frames_on_the_gpu(
    streamer: Streamer, opener: FakeOpener
):
    assert not streamer.accepts_cuda_frames
    go_live(streamer)
    assert not streamer.accepts_cuda_frames, "software"
    for rung in RUNGS:
        opener.opened[-1].rung = rung
        assert streamer.accepts_cuda_frames == ("cuda" in rung.backend)
