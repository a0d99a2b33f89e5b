"""``metabonk.streaming.clip_http``: a real server and a real encoder."""

import asyncio
import io
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import av
import httpx
import pytest
from fastapi import FastAPI

from metabonk.messages.base import ErrorBody
from metabonk.messages.streams import ClipTrack
from metabonk.messages.workers import StreamState
from metabonk.streaming import clip_http
from metabonk.streaming.clip_http import clip_routes, file_name
from metabonk.streaming.hub import RECENT_S, Hub
from tests.support import http
from tests.support.clock import Clock
from tests.support.frames import encode_frames, regular_times
from tests.support.recordings import thought
from tests.support.serving import served
from tests.support.stage import FPS, POLICY, Stage, stage
from tests.support.waiting import GENEROUS_S, until


@pytest.fixture
def staged() -> Iterator[Stage]:
    with stage() as opened:
        yield opened


def recorded_hub(clock: Clock, frames: int = 30) -> Hub:
    hub = Hub(clock)
    hub.open_epoch(320, 180, 30)
    for number, unit in enumerate(encode_frames(regular_times(frames))):
        hub.publish(unit, [thought(number)])
    return hub


def frames_in(data: bytes) -> int:
    with av.open(io.BytesIO(data), format="mp4") as file:
        return len(list(file.decode(video=0)))


def test_a_clip_is_a_whole_file_with_a_good_name(staged: Stage):
    staged.go_live()
    until("half a second", lambda: staged.frames > FPS / 2)
    answer = http.get(f"{staged.http}/clip.mp4?seconds=5")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["cache-control"] == "no-store"
    assert int(answer.headers["content-length"]) == len(answer.content)
    name = r'attachment; filename="omega-0-doom-basic-\d{4}(-\d\d){5}\.mp4"'
    assert re.fullmatch(name, answer.headers["content-disposition"])
    assert 0 <= float(answer.headers["x-clip-age"]) < 5
    assert frames_in(answer.content) >= FPS / 2
    assert staged.hub.stats().clients == 0, "nobody who saves a clip is a viewer"
    assert staged.keyframes == 1, "nor is a keyframe made for it"


def test_head_tells_the_size_and_whether_there_is_a_clip(staged: Stage):
    refused = http.head(f"{staged.http}/clip.mp4")
    assert (refused.status_code, refused.content) == (503, b"")
    staged.go_live()
    staged.go_standby()
    answer = http.head(f"{staged.http}/clip.mp4")
    clip = http.get(f"{staged.http}/clip.mp4")
    assert answer.status_code == 200
    assert answer.headers["content-length"] == clip.headers["content-length"]
    assert "filename=" in answer.headers["content-disposition"]


@pytest.mark.parametrize("path", ["/clip.mp4", "/clip.json"])
def test_without_any_picture_the_response_says_why_and_when_to_retry(staged: Stage, path: str):
    answer = http.get(staged.http + path)
    assert answer.status_code == 503 and int(answer.headers["retry-after"]) > 0
    assert ErrorBody.model_validate(answer.json()).error == "no_clip_yet"


@pytest.mark.parametrize("seconds", ["0", "61", "-1", "all", "1e9"])
def test_a_length_that_is_not_kept_is_refused(staged: Stage, seconds: str):
    answer = http.get(f"{staged.http}/clip.mp4", params={"seconds": seconds})
    assert answer.status_code == 422


def test_the_past_stays_for_a_minute_of_standby(staged: Stage):
    clock = Clock(1001.0)
    hub = recorded_hub(clock)
    hub.set_state(StreamState.STANDBY, "another worker is featured")
    app = FastAPI()
    app.include_router(clip_routes(hub, "omega-0", POLICY.actions))
    with served(app) as client:
        hub.expire_recent()
        assert frames_in(client.get("/clip.mp4").content) == 30
        clock.now += RECENT_S
        hub.expire_recent()
        assert client.get("/clip.mp4").status_code == 503


def test_the_thoughts_of_a_clip_fit_its_frames():
    app = FastAPI()
    app.include_router(clip_routes(recorded_hub(Clock(1001.0)), "omega-0", POLICY.actions))
    with served(app) as client:
        track = ClipTrack.model_validate(client.get("/clip.json?seconds=10").json())
        clip = client.get("/clip.mp4?seconds=10")
    assert track.begins_at == float(clip.headers["x-clip-begins-at"])
    assert track.actions == POLICY.actions
    with av.open(io.BytesIO(clip.content)) as file:
        times = [frame.time for frame in file.decode(video=0)]
    assert [each.time for each in track.thoughts] == pytest.approx(times)
    assert track.duration == pytest.approx(1.0, abs=1e-3)


def test_a_clip_that_gets_no_turn_says_so(monkeypatch: pytest.MonkeyPatch):
    def wait(hub: Hub, seconds: float) -> None:
        taken.set()
        assert go_on.wait(GENEROUS_S)

    taken, go_on = threading.Event(), threading.Event()
    monkeypatch.setattr(clip_http, "MAX_CLIPS", 1)
    monkeypatch.setattr(clip_http, "record", wait)
    app = FastAPI()
    app.include_router(clip_routes(Hub(), "omega-0", [], wait_s=0.05))
    with served(app) as client, ThreadPoolExecutor(1) as executor:
        executor.submit(client.get, "/clip.mp4")
        assert taken.wait(GENEROUS_S)
        refused = client.get("/clip.mp4")
        assert refused.status_code == 503 and int(refused.headers["retry-after"]) > 0
        assert ErrorBody.model_validate(refused.json()).error == "too_many_clips"
        go_on.set()
        until("a turn is free", lambda: client.get("/clip.mp4").json()["error"] == "no_clip_yet")


def test_a_client_that_takes_none_of_its_clip_loses_its_turn(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(clip_http, "SEND_TIMEOUT_S", 0.2)
    monkeypatch.setattr(clip_http, "MAX_CLIPS", 1)
    hub = Hub(Clock(0.0))
    hub.open_epoch(320, 180, 30)
    (unit,) = encode_frames([0.0])
    # Decoded by nobody; more than buffers of sockets hold.
    large = type(unit)(unit.data + bytes([1]) * (16 << 20), 0.0, True)
    hub.publish(large)
    app = FastAPI()
    app.include_router(clip_routes(hub, "omega-0", [], wait_s=GENEROUS_S))
    with served(app) as client, socket.socket() as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.connect(("127.0.0.1", client.base_url.port or 0))
        stuck.sendall(b"GET /clip.mp4 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert stuck.recv(12, socket.MSG_WAITALL) == b"HTTP/1.1 200"
        # Its time is running; whoever takes the clip next may be slow.
        monkeypatch.setattr(clip_http, "SEND_TIMEOUT_S", GENEROUS_S)
        assert len(client.get("/clip.mp4").content) > 16 << 20


def test_a_client_that_leaves_gives_its_turn_back(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(clip_http, "MAX_CLIPS", 1)
    with stage() as staged:
        staged.go_live((640, 360))
        for _ in range(3):
            with http.stream("GET", f"{staged.http}/clip.mp4") as answer:
                assert answer.status_code == 200
        assert frames_in(http.get(f"{staged.http}/clip.mp4").content) > 0


def test_fifty_clips_at_once_do_not_disturb_a_live_viewer():
    with stage() as staged:
        hub = staged.hub
        loop = staged.loop
        staged.go_live()

        async def watch(leave: asyncio.Event) -> None:
            with hub.join() as viewer:
                watching.set()
                while not leave.is_set():
                    await anext(viewer)

        watching = threading.Event()
        leave = asyncio.Event()
        viewer = asyncio.run_coroutine_threadsafe(watch(leave), loop)
        assert watching.wait(GENEROUS_S)
        until("two seconds", lambda: staged.frames > 2 * FPS)
        answers = asyncio.run(clips_at_once(staged, 50))
        loop.call_soon_threadsafe(leave.set)
        viewer.result(GENEROUS_S)
        assert all(answer.status_code == 200 for answer in answers)
        assert {len(answer.content) == int(answer.headers["content-length"]) for answer in answers}
        assert frames_in(answers[-1].content) > 2 * FPS
        assert hub.stats().gops_dropped == 0


async def clips_at_once(staged: Stage, count: int) -> list[httpx.Response]:
    # On one thread: each further one would take the interpreter lock from the server.
    limits, timeout = httpx.Limits(max_connections=None), 3 * GENEROUS_S
    async with httpx.AsyncClient(limits=limits, timeout=timeout, trust_env=False) as client:
        url = f"{staged.http}/clip.mp4?seconds=60"
        return await asyncio.gather(*(client.get(url) for _ in range(count)))


def test_names_of_files_are_safe_everywhere():
    at = datetime(2026, 11, 29, 17, 14, 8)
    assert (
        file_name("omega-0-gym:ALE/Pong-v5", at)
        == "omega-0-gym-ALE-Pong-v5-2026-11-29-17-14-08.mp4"
    )
    assert file_name('x"/../\r\n\\é', at) == "x-2026-11-29-17-14-08.mp4"
