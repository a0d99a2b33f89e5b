"""The program of real streams, watched as a player does: one file, whatever happens."""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import av
import httpx
import numpy as np
import pytest

from metabonk.http.app import make_http_app
from metabonk.messages.program import ProgramSource, RunningOrder
from metabonk.program import channel
from metabonk.program.card import BACKGROUND, draw
from metabonk.program.channel import Channel
from metabonk.settings.schema import Stream
from metabonk.streaming.http import Wait, live_response
from tests.support.frames import HEIGHT, WIDTH
from tests.support.recording import MAX_GAP_S, Recording, frames_of, times_of
from tests.support.serving import served
from tests.support.stage import Stage, stage
from tests.support.waiting import GENEROUS_S, until

SMALL = (WIDTH // 2, HEIGHT // 2)


class Director:
    """Says who is to be shown."""

    def __init__(self, stages: list[Stage]) -> None:
        self.stages = stages
        self.order = list(range(len(stages)))

    async def __call__(self) -> RunningOrder | None:
        sources = [
            ProgramSource(
                name=f"omega-{index}",
                address=f"{self.stages[index].ws}/stream?relay=true",
                live=self.stages[index].hub.state.state == "live",
            )
            for index in self.order
        ]
        return RunningOrder(sources=sources, pin=None, hardware=False)

    def feature(self, index: int) -> None:
        """Let a worker be shown first."""
        self.order.sort(key=lambda each: each != index)


@pytest.fixture
def director(monkeypatch: pytest.MonkeyPatch) -> Iterator[Director]:
    monkeypatch.setattr(channel, "ORDER_INTERVAL_S", 0.05)
    monkeypatch.setattr(channel, "LINGER_S", 0.2)
    with stage() as first, stage() as second:
        yield Director([first, second])


@contextlib.contextmanager
def on_air(director: Director) -> Iterator[httpx.Client]:
    program = Channel(Stream(width=WIDTH, height=HEIGHT, fps=30), director)
    app = make_http_app("program", lifespan=program.lifespan)

    @app.get("/program.ts")
    def get_ts(wait: Wait = None) -> object:
        return live_response(program.fanout, "ts", "broadcast", wait, enabled=True)

    with served(app) as client:
        yield client


def viewers(director: Director) -> list[int]:
    return [each.hub.stats().clients for each in director.stages]


def is_card(frame: av.VideoFrame) -> bool:
    """Tell whether it is as dark as the card, and without the bar of a stage's frames."""
    pixels = frame.to_ndarray(format="rgb24").astype(int)
    is_dark = np.abs(pixels[:20, :20] - BACKGROUND).max() < 12
    return bool(is_dark and (pixels[..., 0] - pixels[..., 2]).max() < 100)


def test_the_program_is_one_file_through_rotations_quality_steps_and_a_death(
    director: Director, tmp_path: Path
):
    first, second = director.stages
    first.go_live((WIDTH, HEIGHT))
    second.go_live((WIDTH, HEIGHT))
    with on_air(director) as client:
        began = time.monotonic()
        with Recording(client, "/program.ts") as recording:
            recording.wait_for_more()
            for rotation in range(10):
                director.feature((rotation + 1) % 2)
                recording.wait_for_more()
            for size in (SMALL, (WIDTH, HEIGHT), SMALL, (WIDTH, HEIGHT), SMALL):
                first.stop_encoding()
                first.go_live(size)
                recording.wait_for_more()
            first._server.stop()
            until("the other one is shown", lambda: viewers(director)[1] == 1)
            recording.wait_for_more()
            second.go_standby()
            recording.wait_for_more(1.2)
            second.go_live((WIDTH, HEIGHT))
            recording.wait_for_more(0.8)
            elapsed = time.monotonic() - began
    data = bytes(recording.data)
    times = times_of(data)
    assert all(later > earlier for earlier, later in pairwise(times))
    assert max(later - earlier for earlier, later in pairwise(times)) < MAX_GAP_S
    # The clock keeps pace, as what goes on air must.
    assert abs(times[-1] - times[0] - elapsed) < MAX_GAP_S
    frames = frames_of(data)
    assert {(frame.width, frame.height) for frame in frames} == {(WIDTH, HEIGHT)}
    assert len(frames) == len(times)
    cards = [is_card(frame) for frame in frames]
    assert any(cards) and not cards[0] and not cards[-1]
    file = tmp_path / "program.ts"
    file.write_bytes(data)
    probe = ("ffprobe", "-v", "error", "-show_frames", "-of", "compact", str(file))
    assert subprocess.run(probe, capture_output=True, check=True).stderr == b""


def test_nothing_is_joined_while_nobody_watches(director: Director):
    director.stages[0].go_live()
    with on_air(director) as client:
        for _ in range(2):
            with Recording(client, "/program.ts"):
                until("it counts as a viewer", lambda: viewers(director)[0] == 1)
            until("it has left", lambda: viewers(director) == [0, 0])


def test_a_card_is_shown_where_nobody_is_live(director: Director):
    with on_air(director) as client, Recording(client, "/program.ts") as recording:
        recording.wait_for_more(1.0)
    frames = frames_of(bytes(recording.data))
    assert len(frames) >= 10 and all(is_card(frame) for frame in frames)


def test_the_card_says_that_it_goes_on():
    pixels = draw(1280, 720)
    assert pixels.shape == (720, 1280, 3)
    assert (pixels > 200).any()


def test_the_next_one_is_joined_before_it_is_live(director: Director):
    director.stages[0].go_live()
    with on_air(director) as client, Recording(client, "/program.ts"):
        director.feature(1)
        relays = lambda index: len(director.stages[index].hub._viewers)  # noqa: E731
        until("both are joined", lambda: relays(0) == relays(1) == 1, GENEROUS_S)
        assert viewers(director) == [1, 0]


def test_an_internal_error_is_logged_and_reported_so_that_the_process_is_restarted(
    director: Director, caplog: pytest.LogCaptureFixture
):
    async def broken() -> RunningOrder | None:
        raise ValueError("broken")

    program = Channel(Stream(width=WIDTH, height=HEIGHT, fps=30), broken)
    app = make_http_app("program", lifespan=program.lifespan)

    @app.get("/program.ts")
    def get_ts() -> object:
        return live_response(program.fanout, "ts", "broadcast", None, enabled=True, wait_s=0.5)

    with served(app) as client:
        assert client.get("/program.ts").status_code == 503
        until("it has failed", lambda: program.has_failed)
    assert "an internal error has ended the program" in caplog.text
