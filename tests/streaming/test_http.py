"""``metabonk.streaming.http``: a real server and a real encoder."""

import io
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import groupby

import av
import httpx
import numpy as np
import pytest
from PIL import Image

from metabonk.encoding.access_unit import TIMESCALE
from metabonk.messages.base import ErrorBody
from metabonk.messages.workers import StreamState
from metabonk.streaming import fanout
from metabonk.streaming.fanout import KEYFRAME_REUSE_S
from metabonk.streaming.gop import Timeline
from tests.support import http
from tests.support.frames import HEIGHT, WIDTH, brightness, draw
from tests.support.stage import FPS, Stage, stage
from tests.support.waiting import GENEROUS_S, until

LONGEST_STEP_S = 2 * Timeline(FPS).duration / TIMESCALE - 0.001
"""Longer pauses are shortened to this."""


@pytest.fixture
def staged() -> Iterator[Stage]:
    with stage() as opened:
        yield opened


def read(staged: Stage, path: str, size: int) -> bytes:
    """Return the first ``size`` bytes of an endless response, or all of one that ends."""
    data = b""
    with http.stream("GET", staged.http + path, timeout=GENEROUS_S) as response:
        assert response.status_code == 200, response.read()
        for chunk in response.iter_raw():
            data += chunk
            if len(data) >= size:
                break
    return data


def seen_number(gray: np.ndarray) -> float:
    return float(gray[:, 20:120].mean())


@pytest.mark.parametrize(
    ("path", "format", "media_type"),
    [("/stream.mp4", "mp4", "video/mp4"), ("/stream.ts", "mpegts", "video/mp2t")],
)
def test_a_stream_starts_on_a_keyframe_and_shows_the_frames_drawn(
    staged: Stage, path: str, format: str, media_type: str
):
    staged.go_live()
    with http.stream("GET", staged.http + path, timeout=GENEROUS_S) as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == media_type
        assert response.headers["cache-control"] == "no-store"
        assert "content-length" not in response.headers
    data = read(staged, path, 25_000)
    with av.open(io.BytesIO(data), format=format) as file:
        frames = list(file.decode(video=0))
    assert frames[0].key_frame and len(frames) > 10
    shown = [seen_number(frame.to_ndarray(format="gray")) for frame in frames[:-1]]
    steps = np.diff([frame.time for frame in frames])
    drawn = np.minimum(np.diff(staged.times), LONGEST_STEP_S)

    def are_shown_from(first: int) -> bool:
        # Frames are consecutive, whichever was first: brightness goes up by 7 each.
        levels = [brightness(first + i) for i in range(len(shown))]
        # A frame's timestamp is the time at which it was drawn, also where drawing was late.
        times = drawn[first : first + len(steps)]
        return shown == pytest.approx(levels, abs=6) and steps == pytest.approx(times, abs=0.002)

    assert any(map(are_shown_from, range(len(drawn) - len(steps) + 1))), (shown, steps)


@pytest.mark.parametrize("path", ["/stream.mp4", "/stream.ts"])
def test_head_tells_whether_there_is_a_stream(staged: Stage, path: str):
    refused = http.head(staged.http + path)
    assert (refused.status_code, refused.content) == (503, b"")
    assert int(refused.headers["retry-after"]) > 0
    staged.go_live()
    answer = http.head(staged.http + path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("video/")
    assert "content-length" not in answer.headers
    assert staged.hub.stats().clients == 0


@pytest.mark.parametrize(
    ("state", "error"),
    [
        (StreamState.STANDBY, "no_encoder_session"),
        (StreamState.STARTING, "encoder_starting"),
        (StreamState.ERROR, "encoder_error"),
    ],
)
@pytest.mark.parametrize("path", ["/stream.mp4", "/stream.ts"])
def test_without_a_session_in_time_the_response_says_why_and_when_to_retry(
    path: str, state: StreamState, error: str
):
    with stage(wait_s=0.05) as staged:
        staged.hub.set_state(state, "all 2 sessions are in use")
        answer = http.get(staged.http + path)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        body = ErrorBody.model_validate(answer.json())
        assert (body.error, body.message) == (error, "all 2 sessions are in use")
        staged.wait_for_clients(0)


@pytest.mark.parametrize("path", ["/stream.mp4", "/stream.ts", "/stream.ts?wait=1"])
def test_a_request_is_a_viewer_at_once_and_gets_the_stream_that_is_made_for_it(path: str):
    with (
        stage(wait_s=0.0 if "wait" in path else GENEROUS_S) as staged,
        ThreadPoolExecutor(1) as executor,
    ):
        data = executor.submit(read, staged, path, 2_000)
        until("it counts", lambda: staged.hub.stats().dedicated_clients == 1)
        staged.hub.set_state(StreamState.STARTING, "the stream starts when this episode has ended")
        assert not wait([data], 0.1).done
        staged.go_live()
        assert data.result(GENEROUS_S)
        staged.wait_for_clients(0)


@pytest.mark.parametrize("path", ["/stream.mp4", "/stream.ts"])
def test_one_who_does_not_want_to_wait_is_no_viewer_of_a_stream_that_there_is_not(path: str):
    with stage(wait_s=60) as staged:
        staged.hub.set_state(StreamState.STANDBY, "all 2 sessions are in use")
        assert http.get(f"{staged.http}{path}?wait=0").json()["error"] == "no_encoder_session"
        staged.go_live()
        assert read(staged, f"{path}?wait=0", 2_000)


def test_one_who_leaves_while_waiting_is_no_viewer_any_more(staged: Stage):
    with socket.create_connection(("127.0.0.1", staged.port)) as waiting:
        waiting.sendall(b"GET /stream.ts?wait=1 HTTP/1.1\r\nHost: x\r\n\r\n")
        staged.wait_for_clients(1)
    staged.wait_for_clients(0)


def test_a_disabled_stream_says_so():
    with stage(enabled=False) as staged:
        staged.hub.set_state(StreamState.STANDBY, "streaming is switched off (stream.enabled)")
        assert http.get(f"{staged.http}/stream.mp4").json()["error"] == "stream_disabled"


def test_a_stream_ends_cleanly_with_its_session(staged: Stage):
    staged.go_live()
    with http.stream("GET", f"{staged.http}/stream.mp4", timeout=GENEROUS_S) as response:
        chunks = response.iter_raw()
        data = b""
        while b"mdat" not in data:
            data += next(chunks)
        staged.go_standby()
        data += b"".join(chunks)
    with av.open(io.BytesIO(data)) as file:
        assert len(list(file.decode(video=0))) >= 1
    staged.wait_for_clients(0)
    assert http.head(f"{staged.http}/stream.mp4").status_code == 503


@pytest.mark.parametrize(("path", "format"), [("/stream.mp4", "mp4"), ("/stream.ts", "mpegts")])
def test_a_stream_continues_through_ten_changes_of_size(staged: Stage, path: str, format: str):
    sizes = [(WIDTH, HEIGHT), (160, 90)] * 5 + [(WIDTH, HEIGHT)]
    with ThreadPoolExecutor(1) as reading:
        staged.go_live(sizes[0])
        whole = reading.submit(lambda: read(staged, path, sys.maxsize))
        staged.wait_for_frames_sent()
        for size in sizes[1:]:
            staged.stop_encoding()
            staged.go_live(size)
            staged.wait_for_frames_sent()
        staged.go_standby()
        data = whole.result(GENEROUS_S)
    with av.open(io.BytesIO(data), format=format) as file:
        frames = list(file.decode(video=0))
    shown = [width for width, _ in groupby(frame.width for frame in frames)]
    assert shown == [width for width, _ in sizes]
    times = [frame.time for frame in frames]
    assert times == sorted(set(times)) and times[0] == 0


def test_a_viewer_who_leaves_mid_stream_is_removed_at_once(staged: Stage):
    staged.go_live()
    for path in ("/stream.mp4", "/stream.ts"):
        with http.stream("GET", staged.http + path, timeout=GENEROUS_S) as response:
            chunks = response.iter_raw()
            next(chunks)
            assert staged.hub.stats().clients == 1
        staged.wait_for_clients(0)


def test_a_viewer_who_leaves_while_nothing_is_encoded_is_removed_too(staged: Stage):
    staged.go_live()
    staged.stop_encoding()
    with http.stream("GET", f"{staged.http}/stream.mp4", timeout=GENEROUS_S) as response:
        chunks = response.iter_raw()
        next(chunks)
    staged.wait_for_clients(0)


def test_a_viewer_who_never_reads_is_removed_on_leaving(staged: Stage):
    staged.go_live((640, 360))
    with socket.create_connection(("127.0.0.1", staged.port)) as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.sendall(b"GET /stream.mp4 HTTP/1.1\r\nHost: x\r\n\r\n")
        staged.wait_for_clients(1)
    staged.wait_for_clients(0)


def test_broadcast_viewers_are_not_dedicated(staged: Stage):
    staged.go_live()
    url = f"{staged.http}/stream.mp4"
    with (
        http.stream("GET", url, params={"audience": "broadcast"}) as broadcast,
        http.stream("GET", url) as dedicated,
    ):
        chunks = broadcast.iter_raw(), dedicated.iter_raw()
        assert all(next(stream) for stream in chunks)
        stats = staged.hub.stats()
    assert (stats.clients, stats.dedicated_clients) == (2, 1)
    assert http.get(url, params={"audience": "nobody"}).status_code == 422


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody start with the GOP so far because the encoder had no turn in time."""
    monkeypatch.setattr(fanout, "KEYFRAME_TIMEOUT_S", GENEROUS_S)


@pytest.mark.usefixtures("patient")
def test_a_new_viewer_starts_with_its_own_keyframe_not_an_old_gop(staged: Stage):
    staged.go_live()
    url = f"{staged.http}/stream.mp4"
    with http.stream("GET", url) as early:
        fragments = sequence_numbers(early)
        newest, began = next(fragments), time.monotonic()
        while time.monotonic() < began + 2 * KEYFRAME_REUSE_S:
            newest = next(fragments)
        began = time.monotonic()
        with http.stream("GET", url) as late:
            first = next(sequence_numbers(late))
            waited = time.monotonic() - began
    print(f"first frame {1000 * waited:.0f} ms after the request")
    assert first > newest


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(("path", "format"), [("/stream.mp4", "mp4"), ("/stream.ts", "mpegts")])
def test_the_clock_of_a_late_viewer_begins_at_zero(staged: Stage, path: str, format: str):
    staged.go_live()
    until("the epoch is old", lambda: staged.frames > 1.5 * FPS)
    began = time.monotonic()
    data = read(staged, path, 15_000)
    took = time.monotonic() - began
    with av.open(io.BytesIO(data), format=format) as file:
        times = [packet.pts * packet.time_base for packet in file.demux() if packet.pts is not None]
    assert times[0] == 0 and len(times) > 10 and times[-1] < took + 1


def sequence_numbers(response: httpx.Response) -> Iterator[int]:
    """Yield the fragments' sequence numbers."""
    rest = b""
    for chunk in response.iter_raw():
        rest += chunk
        while (at := rest.find(b"mfhd")) >= 0 and len(rest) >= at + 12:
            yield int.from_bytes(rest[at + 8 : at + 12], "big")
            rest = rest[at + 12 :]


def test_the_snapshot_needs_no_session(staged: Stage):
    refused = http.get(f"{staged.http}/snapshot.jpg")
    assert refused.status_code == 503
    assert ErrorBody.model_validate(refused.json()).error == "no_frame_yet"
    assert int(refused.headers["retry-after"]) > 0
    staged.frame = draw(3)
    answer = http.get(f"{staged.http}/snapshot.jpg")
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["cache-control"] == "no-store"
    assert Image.open(io.BytesIO(answer.content)).size == (320, 180)
    small = http.get(f"{staged.http}/snapshot.jpg", params={"max_width": 64})
    assert Image.open(io.BytesIO(small.content)).size == (64, 36)
    assert http.get(f"{staged.http}/snapshot.jpg", params={"max_width": 0}).status_code == 422
