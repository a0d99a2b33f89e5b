"""A real stream through the page's port: joined once, and the same as on the worker's own."""

import contextlib
import io
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import httpx
import psutil
import pytest
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from metabonk.http.app import make_http_app
from metabonk.messages.workers import StreamState
from metabonk.orchestrator.fleet.state import FleetState
from metabonk.orchestrator.gateway.workers import Gateway
from metabonk.runs.episodes import EpisodeStore
from metabonk.settings import Settings
from metabonk.streaming import relay
from metabonk.streaming.fmp4 import sequence_number
from tests.support.frames import encode_frames, padded, regular_times
from tests.support.recordings import thought
from tests.support.serving import served
from tests.support.stage import Stage, stage
from tests.support.waiting import GENEROUS_S, until


@dataclass
class Page:
    """The page's port in front of worker 0."""

    client: httpx.Client
    path = "/api/worker/omega-0"

    @property
    def socket(self) -> str:
        return f"ws://127.0.0.1:{self.client.base_url.port}{self.path}/stream"


@contextlib.contextmanager
def page_of(worker_port: int, folder: Path) -> Iterator[Page]:
    store = EpisodeStore(folder, "doom:basic")
    settings = Settings.model_validate({"ports": {"worker": worker_port}})
    gateway = Gateway(FleetState(settings, store))
    app = make_http_app("page", lifespan=gateway.lifespan)
    app.include_router(gateway.routes())
    with served(app) as client:
        yield Page(client)
    store.close()


@pytest.fixture
def staged() -> Iterator[Stage]:
    with stage() as opened:
        yield opened


@pytest.fixture
def page(staged: Stage, tmp_path: Path) -> Iterator[Page]:
    with page_of(staged.port, tmp_path) as opened:
        yield opened


def watch(address: str, **options: Any) -> ClientConnection:
    return connect(address, proxy=None, compression=None, close_timeout=1, **options)


def connections(staged: Stage) -> int:
    """Return the number of open connections to the worker."""
    return sum(
        each.status == psutil.CONN_ESTABLISHED and each.laddr.port == staged.port
        for each in psutil.Process().net_connections("tcp")
    )


def told(client: ClientConnection, kind: str) -> dict[str, Any]:
    """Return the next text of a kind."""
    while True:
        message = client.recv(GENEROUS_S)
        if isinstance(message, str) and json.loads(message)["type"] == kind:
            return dict(json.loads(message))


def fragment(client: ClientConnection) -> bytes:
    """Return the next fragment."""
    while True:
        message = client.recv(GENEROUS_S)
        if isinstance(message, bytes) and message[4:8] == b"moof":
            return message


def test_a_viewer_gets_the_very_messages_of_the_worker(staged: Stage, page: Page):
    units = encode_frames(regular_times(12))
    staged.hub.open_epoch(320, 180, 30)
    staged.hub.publish(units[0])
    staged.hub.set_state(StreamState.LIVE, "live")
    with watch(f"{staged.ws}/stream") as direct, watch(page.socket) as relayed:
        until("both have joined", lambda: staged.hub.stats().clients == 2)
        for number, unit in enumerate(units[1:], 1):
            staged.hub.publish(unit, [thought(number), thought(100 + number)])
        expected = [direct.recv(GENEROUS_S) for _ in range(5 + 3 * 11)]
        got = [relayed.recv(GENEROUS_S) for _ in range(5 + 3 * 11)]
    assert got == expected
    assert [json.loads(text)["type"] for text in got[:3]] == ["policy", "state", "epoch"]


def test_all_viewers_share_one_connection_and_are_counted_at_the_worker(staged: Stage, page: Page):
    staged.go_live()
    with (
        watch(page.socket) as one,
        watch(f"{page.socket}?audience=broadcast") as two,
        page.client.stream("GET", f"{page.path}/stream.ts") as three,
    ):
        chunks = three.iter_raw()
        fragment(one), fragment(two), next(chunks)
        until("they are counted", lambda: staged.hub.stats().clients == 3)
        assert staged.hub.stats().dedicated_clients == 2
        assert connections(staged) == 1
        assert not staged.hub.saliency_wanted()
        with watch(f"{page.socket}?saliency=true") as curious:
            until("its wish is known", staged.hub.saliency_wanted)
            staged.hub.publish_saliency(staged.times[-1], 2, 1, b"\x00\xff", 0.014)
            assert told(curious, "saliency")["cost"] == 0.014
        until("its wish is gone", lambda: not staged.hub.saliency_wanted())
        with pytest.raises(TimeoutError):
            while isinstance(one.recv(0.0), bytes):
                pass
            pytest.fail("a map for a viewer who did not ask")
        assert connections(staged) == 1
    until("the worker has no viewers", lambda: staged.hub.stats().clients == 0)
    until("the stream is left with the last viewer", lambda: connections(staged) == 0)


def frames_without_a_keyframe(staged: Stage, count: int) -> tuple[int, int]:
    """Wait for so many frames after a keyframe; return the numbers of keyframes and of frames."""
    keyframes, frames = staged.keyframes, staged.frames

    def passed() -> bool:
        nonlocal keyframes, frames
        if staged.keyframes != keyframes:
            keyframes, frames = staged.keyframes, staged.frames
        return staged.frames > frames + count

    until("the encoder makes no keyframe by itself", passed, 60)
    return keyframes, frames + count


def test_a_later_viewer_starts_with_a_keyframe_forced_for_it(
    staged: Stage, page: Page, monkeypatch: pytest.MonkeyPatch
):
    # However long a busy encoder takes for it.
    monkeypatch.setattr("metabonk.streaming.fanout.KEYFRAME_TIMEOUT_S", 3 * GENEROUS_S)
    staged.go_live()
    with watch(page.socket) as one:
        fragment(one)
        for _ in range(2):
            before, frames = frames_without_a_keyframe(staged, 60)
            with watch(page.socket) as later:
                first = fragment(later)
                at = sequence_number(first)
                numbers = [at, *(sequence_number(fragment(later)) for _ in range(10))]
            assert numbers == list(range(at, at + 11))
            assert at > frames and staged.keyframes == before + 1


def test_a_viewer_who_reads_nothing_holds_up_nobody(
    staged: Stage, page: Page, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, "metabonk.streaming.fanout")
    # Large enough to fill the kernel's socket buffers.
    units = [
        padded(unit, 500_000)
        for unit in encode_frames(regular_times(60), keyframes=range(0, 60, 5))
    ]
    staged.hub.open_epoch(320, 180, 30)
    staged.hub.publish(units[0])
    staged.hub.set_state(StreamState.LIVE, "live")
    with watch(page.socket, max_size=None) as one, watch(page.socket, max_queue=1):
        until("both have joined", lambda: staged.hub.stats().clients == 2)
        numbers = [sequence_number(fragment(one))]
        for unit in units[1:]:
            staged.hub.publish(unit)
            numbers.append(sequence_number(fragment(one)))
    assert numbers == list(range(1, 61))
    assert staged.hub.stats().gops_dropped == 0
    slow = [record for record in caplog.records if "too slow" in record.message]
    assert len(slow) == 1, "the other one lost whole groups"


def test_viewers_stay_through_standby_and_get_the_next_epoch(staged: Stage, page: Page):
    with watch(page.socket) as client:
        assert told(client, "state")["state"] == "standby"
        for number, size in ((1, (320, 180)), (2, (160, 90))):
            staged.go_live(size)
            epoch = told(client, "epoch")
            assert (epoch["epoch"], epoch["width"], epoch["height"]) == (number, *size)
            init = client.recv(GENEROUS_S)
            with av.open(io.BytesIO(init + b"".join(fragment(client) for _ in range(5)))) as file:
                assert len(list(file.decode(video=0))) == 5
            staged.go_standby("its turn is over")
            assert told(client, "state")["reason"] == "its turn is over"
        with watch(page.socket) as later:
            assert [json.loads(later.recv(GENEROUS_S))["type"] for _ in range(2)] == [
                "policy",
                "state",
            ]
            with pytest.raises(TimeoutError):
                later.recv(0.5)


@pytest.mark.parametrize("name", ["stream.mp4", "stream.ts"])
def test_plain_players_watch_through_a_change_of_size(staged: Stage, page: Page, name: str):
    assert page.client.get(f"{page.path}/{name}?wait=0").json()["error"] == "no_encoder_session"
    staged.go_live()
    data = bytearray()
    with page.client.stream("GET", f"{page.path}/{name}") as answer:
        assert answer.headers["Content-Type"].startswith("video/mp")
        enough: int | None = None
        for number, chunk in enumerate(answer.iter_raw()):
            data += chunk
            if number == 20:
                staged.stop_encoding()
                staged.go_live((160, 90))
                # A frame is a chunk at least; some of the first size may still be on their way.
                enough = staged.frames + 40
            elif number == enough:
                staged.go_standby()
    with av.open(io.BytesIO(bytes(data))) as file:
        widths = {frame.width for frame in file.decode(video=0)}
    assert widths == {320, 160}


def test_a_worker_that_restarts_sends_its_viewers_away_and_serves_new_ones(tmp_path: Path):
    with stage() as first, page_of(first.port, tmp_path) as page:
        first.go_live()
        with watch(page.socket) as one, page.client.stream("GET", f"{page.path}/stream.ts") as two:
            fragment(one)
            rest = two.iter_raw()
            next(rest)
            first.stop_encoding()
            first._server.stop()
            with pytest.raises(ConnectionClosed) as caught:
                while True:
                    one.recv(GENEROUS_S)
            assert caught.value.rcvd is not None and caught.value.rcvd.code == 1012
            assert len(list(rest)) < 10_000, "its response ends"
        with pytest.raises(InvalidStatus, match="502"), watch(page.socket):
            pass
        with stage(port=first.port) as second:
            second.go_live()
            with watch(page.socket) as again:
                fragment(again)


def strange_worker(*messages: str | bytes) -> FastAPI:
    """Return an application whose stream sends these and then nothing."""
    app = FastAPI()

    @app.websocket("/stream")
    async def stream(websocket: WebSocket) -> None:
        await websocket.accept()
        for message in messages:
            if isinstance(message, str):
                await websocket.send_text(message)
            else:
                await websocket.send_bytes(message)
        with contextlib.suppress(WebSocketDisconnect):
            await websocket.receive_text()

    return app


@pytest.mark.parametrize("messages", [(), ("{}",), (b"early",), ('{"type": "thought"}',)])
def test_a_server_without_a_stream_is_a_502(
    messages: tuple[str | bytes, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(relay, "OPEN_TIMEOUT_S", 0.3)
    with (
        served(strange_worker(*messages)) as worker,
        page_of(worker.base_url.port or 0, tmp_path) as page,
    ):
        with pytest.raises(InvalidStatus, match="502"), watch(page.socket):
            pass
        answer = page.client.get(f"{page.path}/stream.mp4")
        assert (answer.status_code, answer.json()["error"]) == (502, "worker_unreachable")


def test_a_stream_that_becomes_unreadable_ends(tmp_path: Path):
    state = '{"type": "state", "state": "live", "reason": "live"}'
    epoch = '{"type": "epoch", "epoch": 1, "mime": "m", "width": 2, "height": 2, "fps": 30}'
    with (
        served(strange_worker(state, epoch, b"no init segment")) as worker,
        page_of(worker.base_url.port or 0, tmp_path) as page,
    ):
        with pytest.raises(ConnectionClosed) as caught, watch(page.socket) as viewer:
            while True:
                viewer.recv(GENEROUS_S)
        assert caught.value.rcvd is not None and caught.value.rcvd.code == 1011
