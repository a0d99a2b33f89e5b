"""The program on air: real servers of FFmpeg and aiortc, a real stream."""

import asyncio
import contextlib
import subprocess
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import av
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from fastapi import FastAPI, Request, Response

from metabonk.air import backoff, output
from metabonk.air.target import KeyMask, Target
from metabonk.air.transmitter import Transmitter
from metabonk.messages.air import AirState
from tests.support.frames import HEIGHT, WIDTH
from tests.support.serving import free_port, served
from tests.support.stage import Stage, stage
from tests.support.waiting import until

KEY = "sesame"
SIZE = (WIDTH, HEIGHT)


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setattr(backoff, "FIRST_S", 0.1)
    monkeypatch.setattr(backoff, "MAX_S", 0.2)
    with stage() as opened:
        opened.go_live(SIZE)
        yield opened


@contextlib.contextmanager
def transmitting(program: Stage, to: str, key: str | None = None) -> Iterator[Transmitter]:
    transmitter = Transmitter(f"{program.ws}/stream", Target.of(to, key), KeyMask(key), pid=1)
    thread = threading.Thread(target=transmitter.run)
    thread.start()
    try:
        yield transmitter
    finally:
        transmitter.stop()
        thread.join(20)
        assert not thread.is_alive()


@contextlib.contextmanager
def rtmp_server(address: str, file: Path) -> Iterator["subprocess.Popen[bytes]"]:
    command = ("ffmpeg", "-v", "error", "-y", "-listen", "1", "-f", "flv", "-i", address)
    server = subprocess.Popen((*command, "-c", "copy", "-flush_packets", "1", str(file)))
    try:
        yield server
    finally:
        server.kill()
        server.wait()


def on_air(transmitter: Transmitter, connections: int) -> bool:
    report = transmitter.report()
    return report.state is AirState.ON_AIR and report.connections == connections


def sent(transmitter: Transmitter, frames: int) -> None:
    before = transmitter.report().frames
    until("more is sent", lambda: transmitter.report().frames >= before + frames)


def decoded(file: Path) -> tuple[list[av.VideoFrame], int]:
    """Return the frames of the video, and the number of frames of its sound."""
    with av.open(str(file)) as container:
        video = list(container.decode(video=0))
    with av.open(str(file)) as container:
        return video, sum(1 for _ in container.decode(audio=0))


def test_a_killed_rtmp_server_is_found_again(program: Stage, tmp_path: Path):
    address = f"rtmp://127.0.0.1:{free_port()}/live"
    with transmitting(program, address, KEY) as transmitter:
        until("it waits", lambda: transmitter.report().error)
        for connection in (1, 2):
            with rtmp_server(address, tmp_path / f"{connection}.flv"):
                until("on air", lambda n=connection: on_air(transmitter, n))
                sent(transmitter, 60)
                # Another encoder's parameter sets, as after a cut.
                program.stop_encoding()
                program.go_live(SIZE)
                sent(transmitter, 60)
            until("it is noticed", lambda: transmitter.report().state is not AirState.ON_AIR)
            error = transmitter.report().error
            assert error is not None and KEY not in error
    for connection in (1, 2):
        video, sound = decoded(tmp_path / f"{connection}.flv")
        times = [frame.pts for frame in video if frame.pts is not None]
        assert len(video) >= 60 and sound >= 40
        assert all(later > earlier for earlier, later in pairwise(times))


def test_hls_is_a_playlist_with_sound_that_a_restart_continues(
    program: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(output.OPTIONS, "hls", {**output.OPTIONS["hls"], "hls_time": "0.5"})
    monkeypatch.setattr("tests.support.stage.open_encoder.__defaults__", (WIDTH, HEIGHT, 0.5))
    program.stop_encoding()
    program.go_live(SIZE)
    playlist = tmp_path / "live" / "program.m3u8"
    segments: list[int] = []
    for _ in range(2):
        with transmitting(program, f"hls:{playlist.parent}") as transmitter:
            sent(transmitter, 120)
        text = playlist.read_text(encoding="utf-8")
        assert "#EXT-X-ENDLIST" not in text
        segments.append(text.count(".ts"))
    assert segments[1] > segments[0] >= 2
    assert text.count("#EXT-X-DISCONTINUITY") >= 1
    files = sorted(playlist.parent.glob("*.ts"), key=lambda file: file.stat().st_mtime_ns)
    # The last one of a run may be a frame long, which alone is no file to FFmpeg.
    for file in (file for file in files if file.stat().st_size > 5_000):
        with av.open(str(file)) as container:
            assert next(container.demux(video=0)).is_keyframe
    whole = tmp_path / "whole.ts"
    whole.write_bytes(b"".join(file.read_bytes() for file in files))
    video, sound = decoded(whole)
    assert len(video) >= 100 and sound >= 40


def test_a_folder_that_can_not_be_written_is_named_and_tried_again(program: Stage, tmp_path: Path):
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    with transmitting(program, f"hls:{tmp_path}/file/live") as transmitter:
        until("it says so", lambda: "folder can't be written" in (transmitter.report().error or ""))
        (tmp_path / "file").unlink()
        until("on air", lambda: on_air(transmitter, 1))


class Endpoint:
    """A WHIP endpoint that receives video."""

    def __init__(self) -> None:
        self.frames = 0
        self.refuses = True
        self.deleted = False
        self._connections: list[RTCPeerConnection] = []
        self._reading: set[asyncio.Task[None]] = set()
        self.app = FastAPI()
        self.app.post("/whip")(self.offer)
        self.app.delete("/whip/1")(self.leave)

    async def offer(self, request: Request) -> Response:
        if self.refuses or request.headers["Authorization"] != f"Bearer {KEY}":
            return Response("not today", 403)
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._connections.append(peer)

        @peer.on("track")
        def on_track(track: MediaStreamTrack) -> None:
            self._reading.add(asyncio.create_task(self._read(track)))

        offer = (await request.body()).decode()
        await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        location = {"Location": "/whip/1"}
        return Response(peer.localDescription.sdp, 201, location, "application/sdp")

    async def leave(self) -> None:
        self.deleted = True
        for peer in self._connections:
            await peer.close()

    async def _read(self, track: MediaStreamTrack) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                await track.recv()
                self.frames += 1


def test_a_whip_endpoint_receives_the_video(program: Stage):
    endpoint = Endpoint()
    with served(endpoint.app) as client:
        with transmitting(program, f"whip+{client.base_url}/whip", KEY) as transmitter:
            until("it says why not", lambda: "403" in (transmitter.report().error or ""))
            endpoint.refuses = False
            until("video arrives", lambda: endpoint.frames >= 10)
            assert on_air(transmitter, 1)
        assert endpoint.deleted
