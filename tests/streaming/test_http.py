"""``metabonk.streaming.http``: a real server and a real encoder."""

import io
import socket
import time
from collections.abc import Iterator

import av
import httpx
import numpy as np
import pytest
from PIL import Image

from metabonk.messages import ErrorBody, StreamState
from metabonk.streaming.hub import KEYFRAME_REUSE_S
from tests.support.frames import brightness, draw
from tests.support.stage import FPS, Stage, stage


@pytest.fixture
def staged() -> Iterator[Stage]:
    with stage() as opened:
        yield opened


def read(staged: Stage, path: str, size: int) -> bytes:
    """Return the first ``size`` bytes of an endless response, or all of one that ends."""
    data = b""
    with httpx.stream("GET", staged.http + path, timeout=5) as response:
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
    with httpx.stream("GET", staged.http + path, timeout=5) as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == media_type
        assert response.headers["cache-control"] == "no-store"
        assert "content-length" not in response.headers
    data = read(staged, path, 25_000)
    with av.open(io.BytesIO(data), format=format) as file:
        frames = list(file.decode(video=0))
    assert frames[0].key_frame and len(frames) > 10
    shown = [seen_number(frame.to_ndarray(format="gray")) for frame in frames]
    # Frames are consecutive, whichever was first: brightness goes up by 7 each.
    possible = {brightness(i): i for i in range(200)}
    first = possible[min(possible, key=lambda level: abs(level - shown[0]))]
    for i, level in enumerate(shown[:-1]):
        assert abs(level - brightness(first + i)) < 6, f"frame {i}"
    assert frames[0].time is not None and frames[-1].time is not None
    rate = (len(frames) - 1) / (frames[-1].time - frames[0].time)
    assert 40 < rate < 70


@pytest.mark.parametrize("path", ["/stream.mp4", "/stream.ts"])
def test_head_tells_whether_there_is_a_stream(staged: Stage, path: str):
    refused = httpx.head(staged.http + path)
    assert (refused.status_code, refused.content) == (503, b"")
    assert int(refused.headers["retry-after"]) > 0
    staged.go_live()
    answer = httpx.head(staged.http + path)
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
def test_without_a_session_the_response_says_why_and_when_to_retry(
    staged: Stage, path: str, state: StreamState, error: str
):
    staged.hub.set_state(state, "all 2 sessions are in use")
    answer = httpx.get(staged.http + path)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    body = ErrorBody.model_validate(answer.json())
    assert (body.error, body.message) == (error, "all 2 sessions are in use")
    staged.wait_for_clients(0)


def test_a_disabled_stream_says_so():
    with stage(enabled=False) as staged:
        staged.hub.set_state(StreamState.STANDBY, "streaming is switched off (stream.enabled)")
        assert httpx.get(f"{staged.http}/stream.mp4").json()["error"] == "stream_disabled"


def test_a_stream_ends_cleanly_with_its_session(staged: Stage):
    staged.go_live()
    with httpx.stream("GET", f"{staged.http}/stream.mp4", timeout=5) as response:
        chunks = response.iter_raw()
        data = b""
        while b"mdat" not in data:
            data += next(chunks)
        staged.go_standby()
        data += b"".join(chunks)
    with av.open(io.BytesIO(data)) as file:
        assert len(list(file.decode(video=0))) >= 1
    staged.wait_for_clients(0)
    assert httpx.get(f"{staged.http}/stream.mp4").status_code == 503


def test_a_stream_ends_at_a_new_epoch_and_the_next_request_gets_it(staged: Stage):
    staged.go_live()
    with httpx.stream("GET", f"{staged.http}/stream.mp4", timeout=5) as response:
        chunks = response.iter_raw()
        next(chunks)
        staged.stop_encoding()
        staged.go_live((160, 90))
        assert b"".join(chunks).count(b"ftyp") == 0
    with av.open(io.BytesIO(read(staged, "/stream.mp4", 5000))) as file:
        assert file.streams.video[0].width == 160


def test_a_viewer_who_leaves_mid_stream_is_removed_at_once(staged: Stage):
    staged.go_live()
    for path in ("/stream.mp4", "/stream.ts"):
        with httpx.stream("GET", staged.http + path, timeout=5) as response:
            chunks = response.iter_raw()
            next(chunks)
            assert staged.hub.stats().clients == 1
        staged.wait_for_clients(0, 1)


def test_a_viewer_who_leaves_while_nothing_is_encoded_is_removed_too(staged: Stage):
    staged.go_live()
    staged.stop_encoding()
    with httpx.stream("GET", f"{staged.http}/stream.mp4", timeout=5) as response:
        chunks = response.iter_raw()
        next(chunks)
    staged.wait_for_clients(0, 1)


def test_a_viewer_who_never_reads_is_removed_on_leaving(staged: Stage):
    staged.go_live((640, 360))
    with socket.create_connection(("127.0.0.1", staged.port)) as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.sendall(b"GET /stream.mp4 HTTP/1.1\r\nHost: x\r\n\r\n")
        staged.wait_for_clients(1)
    staged.wait_for_clients(0, 1)


def test_broadcast_viewers_are_not_dedicated(staged: Stage):
    staged.go_live()
    url = f"{staged.http}/stream.mp4"
    with (
        httpx.stream("GET", url, params={"audience": "broadcast"}) as broadcast,
        httpx.stream("GET", url) as dedicated,
    ):
        chunks = broadcast.iter_raw(), dedicated.iter_raw()
        assert all(next(stream) for stream in chunks)
        stats = staged.hub.stats()
    assert (stats.clients, stats.dedicated_clients) == (2, 1)
    assert httpx.get(url, params={"audience": "nobody"}).status_code == 422


def test_a_new_viewer_starts_with_its_own_keyframe_not_an_old_gop(staged: Stage):
    staged.go_live()
    url = f"{staged.http}/stream.mp4"
    with httpx.stream("GET", url) as early:
        fragments = sequence_numbers(early)
        assert next(fragments) <= 1 + KEYFRAME_REUSE_S * FPS
        while next(fragments) < 2 * KEYFRAME_REUSE_S * FPS:
            pass
        began = time.monotonic()
        with httpx.stream("GET", url) as late:
            first = next(sequence_numbers(late))
            waited = time.monotonic() - began
    print(f"first frame {1000 * waited:.0f} ms after the request")
    assert first >= 2 * KEYFRAME_REUSE_S * FPS


def sequence_numbers(response: httpx.Response) -> Iterator[int]:
    """Yield the fragments' sequence numbers."""
    rest = b""
    for chunk in response.iter_raw():
        rest += chunk
        while (at := rest.find(b"mfhd")) >= 0 and len(rest) >= at + 12:
            yield int.from_bytes(rest[at + 8 : at + 12], "big")
            rest = rest[at + 12 :]


def test_the_snapshot_needs_no_session(staged: Stage):
    refused = httpx.get(f"{staged.http}/snapshot.jpg")
    assert refused.status_code == 503
    assert ErrorBody.model_validate(refused.json()).error == "no_frame_yet"
    assert int(refused.headers["retry-after"]) > 0
    staged.frame = draw(3)
    answer = httpx.get(f"{staged.http}/snapshot.jpg")
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["cache-control"] == "no-store"
    assert Image.open(io.BytesIO(answer.content)).size == (320, 180)
    small = httpx.get(f"{staged.http}/snapshot.jpg", params={"max_width": 64})
    assert Image.open(io.BytesIO(small.content)).size == (64, 36)
    assert httpx.get(f"{staged.http}/snapshot.jpg", params={"max_width": 0}).status_code == 422
