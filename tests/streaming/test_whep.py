"""``metabonk.streaming.whep`` and ``webrtc``: aiortc as the player, a real server and encoder."""

import asyncio
import contextlib
import gc
import itertools
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import httpx
import pytest
from aiortc import RTCRtpReceiver, RTCSessionDescription
from aiortc.rtp import RTCP_PSFB_PLI, RtcpPsfbPacket

from metabonk.messages.workers import StreamState
from metabonk.streaming.fanout import MIN_KEYFRAME_INTERVAL_S
from metabonk.streaming.sdp import InvalidOffer
from metabonk.streaming.webrtc import VIEWER_TIMEOUT_S, NoCommonCodec, WebRtc
from tests.support import http
from tests.support.offers import READER_JS, READER_JS_CANDIDATES
from tests.support.stage import FPS, Stage, stage
from tests.support.waiting import GENEROUS_S, until_async
from tests.support.whep_player import SDP, Watcher

KEY = "a=fingerprint:sha-256 AB:CD\r\n"


@pytest.fixture
def staged() -> Iterator[Stage]:
    with stage() as opened:
        yield opened


def run(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(scene(), 60))


@contextlib.asynccontextmanager
async def watcher(staged: Stage) -> AsyncIterator[Watcher]:
    async with httpx.AsyncClient(
        base_url=staged.http, trust_env=False, timeout=GENEROUS_S
    ) as client:
        opened = Watcher(client)
        try:
            yield opened
        finally:
            await opened.connection.close()


def test_a_viewer_decodes_the_stream_from_its_first_keyframe(staged: Stage):
    staged.go_live()

    async def scene() -> None:
        async with watcher(staged) as viewer:
            await viewer.connect("?worker=omega-0")
            frames = [await viewer.frame() for _ in range(20)]
            assert {(frame.width, frame.height) for frame in frames} == {(320, 180)}
            assert all(a.pts < b.pts for a, b in itertools.pairwise(frames))
            # As long as some twenty frames took to be drawn, whichever these are.
            drawn_s = [b - a for a, b in zip(staged.times, staged.times[19:], strict=False)]
            shown_s = (frames[-1].pts - frames[0].pts) / 90_000
            assert 0.5 * min(drawn_s) < shown_s < 1.5 * max(drawn_s)
            assert staged.hub.stats().clients == 1

    run(scene)


def test_the_answer_is_constrained_baseline_on_loopback_only(staged: Stage):
    staged.go_live()

    async def scene() -> None:
        async with watcher(staged) as viewer:
            await viewer.connect()
            lines = viewer.answer.splitlines()
            fmtp = [line for line in lines if line.startswith("a=fmtp") and "profile" in line]
            assert fmtp and all("42e01f" in line or "42001f" in line for line in fmtp)
            assert not [line for line in lines if "VP8" in line]
            candidates = [line.split()[4] for line in lines if line.startswith("a=candidate")]
            assert set(candidates) == {"127.0.0.1"}
            assert "a=sendonly" in lines and "a=end-of-candidates" in lines

    run(scene)


def test_eight_viewers_share_one_encoder(staged: Stage):
    staged.go_live()

    async def scene() -> None:
        async with contextlib.AsyncExitStack() as stack:
            viewers = [await stack.enter_async_context(watcher(staged)) for _ in range(8)]
            await asyncio.gather(*(viewer.connect() for viewer in viewers))
            await asyncio.gather(*(viewer.frame() for viewer in viewers))
            before, sent = staged.frames, staged.hub.stats().fragments_sent

            def sent_to_all() -> bool:
                encoded = staged.frames - before
                sent_since = staged.hub.stats().fragments_sent - sent
                return encoded > FPS / 3 and sent_since >= 3 * encoded

            await asyncio.gather(*(some_frames(viewer, 20) for viewer in viewers))
            await until_async("each frame is encoded once and sent to all", sent_to_all)
            assert staged.hub.stats().clients == 8

    run(scene)


async def some_frames(viewer: Watcher, count: int) -> None:
    for _ in range(count):
        await viewer.frame()


def test_a_lost_frame_is_answered_by_one_keyframe_for_all(staged: Stage):
    staged.go_live()

    async def scene() -> None:
        async with watcher(staged) as viewer:
            await viewer.connect()
            await viewer.frame()
            await asyncio.sleep(MIN_KEYFRAME_INTERVAL_S)
            began, before = time.monotonic(), staged.keyframes
            for _ in range(20):
                await report_loss(viewer)
                await asyncio.sleep(0.01)
            await until_async("a keyframe", lambda: staged.keyframes > before)
            intervals = (time.monotonic() - began) / MIN_KEYFRAME_INTERVAL_S
            assert staged.keyframes - before <= 2 + intervals, "one keyframe serves all reports"

    run(scene)


async def report_loss(viewer: Watcher) -> None:
    sdp = viewer.answer.split("a=ssrc:")[1]
    media = int(sdp.split(" ")[0])
    packet = RtcpPsfbPacket(fmt=RTCP_PSFB_PLI, ssrc=1, media_ssrc=media)
    await viewer.receiver.transport._send_rtp(bytes(packet))


def test_delete_ends_the_connection_once(staged: Stage):
    staged.go_live()

    async def scene() -> None:
        async with watcher(staged) as viewer:
            await viewer.connect()
            await viewer.frame()
            assert (await viewer.client.delete(viewer.location)).status_code == 200
            assert (staged.hub.stats().clients, len(staged.webrtc)) == (0, 0)
            assert (await viewer.client.delete(viewer.location)).status_code == 404
            await until_async("told", lambda: viewer.connection.connectionState == "closed")

    run(scene)


def test_a_viewer_who_closes_over_webrtc_is_removed_at_once(staged: Stage):
    staged.go_live()

    async def scene() -> None:
        async with watcher(staged) as viewer:
            await viewer.connect()
            await viewer.frame()
            await viewer.connection.close()
            await until_async("gone", lambda: staged.hub.stats().clients == 0)
            await until_async("forgotten", lambda: len(staged.webrtc) == 0)

    run(scene)


def test_a_viewer_who_vanishes_is_removed_after_a_timeout():
    with stage(viewer_timeout_s=4.0) as staged:
        staged.go_live()

        async def scene() -> None:
            async with watcher(staged) as viewer:
                await viewer.connect()
                await viewer.frame()
                # As if its cable were cut: packets neither leave nor arrive.
                ice = viewer.receiver.transport.transport
                for protocol in ice._connection._protocols:
                    protocol.transport.abort()
                await until_async("gone", lambda: staged.hub.stats().clients == 0)
                await until_async("forgotten", lambda: len(staged.webrtc) == 0)

        run(scene)


def test_the_connection_ends_with_the_stream(staged: Stage):
    staged.go_live()

    async def scene() -> None:
        async with watcher(staged) as viewer:
            await viewer.connect()
            await viewer.frame()
            staged.go_standby()
            await until_async("ended", lambda: viewer.connection.connectionState == "closed")
            await until_async("forgotten", lambda: len(staged.webrtc) == 0)

    run(scene)


def test_broadcast_viewers_are_not_dedicated(staged: Stage):
    staged.go_live()

    async def scene() -> None:
        async with watcher(staged) as viewer:
            await viewer.connect("?audience=broadcast")
            await viewer.frame()
            stats = staged.hub.stats()
            assert (stats.clients, stats.dedicated_clients) == (1, 0)

    run(scene)


def test_an_offer_without_candidates_connects_by_the_viewers_own_checks(staged: Stage):
    staged.go_live()

    async def scene() -> None:
        async with watcher(staged) as viewer:
            offer = [
                line
                for line in (await viewer.offer()).splitlines()
                if not line.startswith(("a=candidate", "a=end-of-candidates"))
            ]
            response = await viewer.client.post("/whep", content="\r\n".join(offer), headers=SDP)
            answer = RTCSessionDescription(response.text, "answer")
            await viewer.connection.setRemoteDescription(answer)
            await viewer.frame()

    run(scene)


def test_an_offer_counts_at_once_and_is_answered_when_the_stream_is_live(staged: Stage):
    async def scene() -> None:
        async with watcher(staged) as viewer:
            connecting = asyncio.create_task(viewer.connect())
            await until_async("it counts", lambda: staged.hub.stats().dedicated_clients == 1)
            await asyncio.to_thread(staged.go_live)
            await connecting
            await viewer.frame()

    run(scene)


def test_without_an_encoder_session_the_response_equals_that_of_stream_mp4():
    with (
        stage(wait_s=0.05) as staged,
        httpx.Client(base_url=staged.http, timeout=GENEROUS_S) as client,
    ):
        offered = client.post("/whep", content="v=0\r\n", headers=SDP)
        plain = client.get("/stream.mp4")
        assert (offered.status_code, offered.json()) == (503, plain.json())
        assert offered.headers["Retry-After"] == plain.headers["Retry-After"]
    with stage(enabled=False) as disabled:
        refused = http.post(f"{disabled.http}/whep", content="v=0\r\n", headers=SDP)
        assert (refused.status_code, refused.json()["error"]) == (503, "stream_disabled")


@pytest.mark.parametrize(
    ("content", "headers", "status", "says"),
    [
        ("v=0", {"Content-Type": "text/plain"}, 415, "application/sdp"),
        ("v=0", {}, 415, "application/sdp"),
        ("x" * 70_000, SDP, 413, "65536"),
        ("hello", SDP, 400, "v=0"),
        (b"\xff\xfe", SDP, 400, ""),
        ("v=0\r\n", SDP, 400, "nothing"),
        ("v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n", SDP, 400, "application"),
        ("v=0\r\n" + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n" * 2, SDP, 400, "one video"),
        ("v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n", SDP, 400, "no key"),
        (f"v=0\r\n{KEY}m=video 9 UDP/TLS/RTP/SAVPF 96\r\n", SDP, 400, "can't be used"),
        (f"v=0\r\n{KEY}m=video x y z\r\na=rtpmap:\r\n", SDP, 400, "can't be used"),
    ],
)
def test_an_invalid_offer_is_refused_with_a_reason(
    staged: Stage, content: str | bytes, headers: dict[str, str], status: int, says: str
):
    staged.go_live()
    answer = http.post(f"{staged.http}/whep", content=content, headers=headers)
    assert answer.status_code == status, answer.text
    assert says in answer.json()["message"]
    assert len(staged.webrtc) == 0


def test_a_player_without_h264_is_told_so(staged: Stage):
    staged.go_live()

    async def scene() -> None:
        async with watcher(staged) as viewer:
            vp8 = [c for c in RTCRtpReceiver.getCapabilities("video").codecs if "VP8" in c.mimeType]
            viewer.connection.getTransceivers()[0].setCodecPreferences(vp8)
            answer = await viewer.post()
            assert (answer.status_code, answer.json()["error"]) == (406, "no_common_codec")

    run(scene)


def test_an_offer_of_audio_and_a_data_channel_too_is_answered_with_video_alone(staged: Stage):
    staged.go_live()
    with httpx.Client(base_url=staged.http, timeout=GENEROUS_S) as client:
        answered = client.post("/whep", content=READER_JS, headers=SDP)
        assert answered.status_code == 201, answered.text
        head, video, audio, data = answered.text.split("m=")
        assert "a=group:BUNDLE 0 1\r\n" in head
        assert video.startswith("video ") and "a=sendonly\r\n" in video and " H264/" in video
        assert audio.startswith("audio ") and "a=inactive\r\n" in audio
        assert data.startswith("application 0 UDP/DTLS/SCTP ") and "a=mid:2\r\n" in data
        assert "sctp" not in data and "candidate" not in data
        assert answered.headers["ETag"].strip('"') and answered.headers["ETag"][0] == '"'
        assert client.delete(answered.headers["Location"]).status_code == 200


def test_candidates_may_follow_but_ice_is_not_restarted(staged: Stage):
    staged.go_live()
    with httpx.Client(base_url=staged.http, timeout=GENEROUS_S) as client:
        answered = client.post("/whep", content=READER_JS, headers=SDP)
        kind = {"Content-Type": answered.headers["Accept-Patch"], "If-Match": "*"}

        def patch(url: str, content: str, headers: dict[str, str] = kind) -> int:
            return client.patch(url, content=content, headers=headers).status_code

        location = answered.headers["Location"]
        assert patch(location, READER_JS_CANDIDATES) == 204
        assert patch(location, READER_JS_CANDIDATES.replace("EsAw", "anew")) == 422
        assert patch(location, READER_JS_CANDIDATES, SDP) == 415
        assert patch("/whep/nothing", READER_JS_CANDIDATES) == 404
        assert client.delete(location).status_code == 200
        assert patch(location, READER_JS_CANDIDATES) == 404


def test_another_workers_name_is_not_found(staged: Stage):
    staged.go_live()
    with httpx.Client(base_url=staged.http, timeout=GENEROUS_S) as client:
        assert client.post("/whep?worker=omega-1", content="v=0", headers=SDP).status_code == 404
        assert client.delete("/whep/nothing").status_code == 404
        described = client.options("/whep")
        assert (described.status_code, described.headers["Accept-Post"]) == (
            204,
            SDP["Content-Type"],
        )


def test_stopping_the_server_ends_its_viewers():
    async def scene() -> None:
        with stage() as staged:
            staged.go_live()
            async with watcher(staged) as viewer:
                await viewer.connect()
                await viewer.frame()
                began = time.monotonic()
                await asyncio.to_thread(staged._server.stop)
                assert time.monotonic() - began < VIEWER_TIMEOUT_S
                await until_async("told", lambda: viewer.connection.connectionState == "closed")
                assert staged.hub.state.state is StreamState.LIVE

    run(scene)


def test_no_damage_to_an_offer_causes_a_server_error(staged: Stage):
    staged.go_live()

    async def scene() -> None:
        async with watcher(staged) as viewer:
            lines = (await viewer.offer()).splitlines()
            for number, line in enumerate(lines):
                damages = ([], [line] * 2, [line[: len(line) // 2]], [line + " -1 é/"])
                damaged = damages[number % 4]
                offer = "\r\n".join([*lines[:number], *damaged, *lines[number + 1 :]])
                try:
                    name, _ = await webrtc.open(offer, "127.0.0.1", dedicated=True)
                except (InvalidOffer, NoCommonCodec):
                    continue
                await webrtc.close(name)
            assert len(webrtc) == 0

    webrtc = WebRtc(staged.hub)
    run(scene)


def test_a_viewer_who_leaves_while_it_connects_is_no_error(
    staged: Stage, monkeypatch: pytest.MonkeyPatch
):
    staged.go_live()
    # Video and audio without BUNDLE: aiortc connects one after the other.
    offer = READER_JS.replace("a=group:BUNDLE 0 1 2\r\n", "")

    async def scene() -> None:
        errors: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, error: errors.append(error))
        name, _ = await webrtc.open(offer, "127.0.0.1", dedicated=True)
        peer = webrtc._connections[name]._peer
        _, audio = (each.receiver.transport.transport for each in peer.getTransceivers())
        # As in the moment between the end of the second connection and of its sockets.
        monkeypatch.setattr(audio.iceGatherer, "getLocalCandidates", lambda: ["127.0.0.1"])
        (connecting,) = [task for task in asyncio.all_tasks() if "__connect" in repr(task)]
        await webrtc.close(name)
        await asyncio.wait([connecting])
        del peer, audio, connecting
        gc.collect()
        assert errors == []

    webrtc = WebRtc(staged.hub)
    run(scene)
