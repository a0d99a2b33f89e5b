"""``metabonk.streaming.websocket``: a real server and a real encoder."""

import contextlib
import io
import socket
from collections.abc import Iterator

import av
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from metabonk.messages.streams import (
    AudienceMessage,
    EpochMessage,
    PolicyMessage,
    SaliencyMessage,
    StateMessage,
    Thought,
    ThoughtMessage,
)
from metabonk.messages.workers import StreamState
from tests.support.frames import encode_frames, padded, regular_times
from tests.support.stage import POLICY, Stage, stage
from tests.support.waiting import GENEROUS_S


@pytest.fixture
def staged() -> Iterator[Stage]:
    with stage() as opened:
        yield opened


def state(client: ClientConnection) -> StateMessage:
    return StateMessage.model_validate_json(text(client))


@contextlib.contextmanager
def connected(address: str) -> Iterator[ClientConnection]:
    """Connect a viewer and read the policy message."""
    with connect(address) as client:
        assert PolicyMessage.model_validate_json(text(client)) == POLICY
        yield client


def text(client: ClientConnection) -> str:
    message = client.recv(GENEROUS_S)
    assert isinstance(message, str), f"{len(message)} bytes where text was expected"
    return message


def binary(client: ClientConnection) -> bytes:
    message = client.recv(GENEROUS_S)
    assert isinstance(message, bytes), message
    return message


def next_text(client: ClientConnection) -> str:
    while not isinstance(message := client.recv(GENEROUS_S), str):
        pass
    return message


def test_a_viewer_gets_the_state_an_epoch_its_init_segment_and_fragments(staged: Stage):
    staged.go_live()
    with connected(f"{staged.ws}/stream") as client:
        assert state(client).state is StreamState.LIVE
        epoch = EpochMessage.model_validate_json(text(client))
        assert (epoch.epoch, epoch.width, epoch.height) == (1, 320, 180)
        init = binary(client)
        fragments = [binary(client) for _ in range(10)]
    assert init[4:8] == b"ftyp" and all(data[4:8] == b"moof" for data in fragments)
    with av.open(io.BytesIO(init + b"".join(fragments))) as file:
        frames = list(file.decode(video=0))
        assert f"{file.streams.video[0].codec_context.level:02X}" == epoch.mime[-3:-1]
    assert len(frames) == 10 and frames[0].key_frame


def test_a_viewer_stays_through_standby_and_gets_the_next_epoch(staged: Stage):
    with connected(f"{staged.ws}/stream") as client:
        assert state(client).state is StreamState.STANDBY
        staged.go_live()
        for number, size in ((1, (320, 180)), (2, (160, 90))):
            messages = [next_text(client), next_text(client)]
            epoch = next(EpochMessage.model_validate_json(m) for m in messages if '"epoch"' in m)
            assert (epoch.epoch, epoch.width) == (number, size[0])
            assert binary(client)[4:8] in (b"ftyp", b"moof")
            if number == 1:
                staged.go_standby("its turn is over")
                told = StateMessage.model_validate_json(next_text(client))
                assert (told.state, told.reason) == (StreamState.STANDBY, "its turn is over")
                staged.go_live((160, 90))
        assert staged.hub.stats().clients == 1


def test_a_viewer_who_never_reads_costs_the_others_nothing(staged: Stage):
    # Large enough to fill the kernel's socket buffers.
    units = [
        padded(unit, 500_000)
        for unit in encode_frames(regular_times(60), keyframes=range(0, 60, 5))
    ]
    staged.hub.open_epoch(320, 180, 30)
    staged.hub.publish(units[0])
    staged.hub.set_state(StreamState.LIVE, "live")
    with never_reads(staged), connected(f"{staged.ws}/stream") as client:
        staged.wait_for_clients(2)
        state(client), text(client)
        init, got = binary(client), [binary(client)]
        for unit in units[1:]:
            staged.hub.publish(unit)
            got.append(binary(client))
    assert [int.from_bytes(data[20:24], "big") for data in got] == list(range(1, 61))
    with av.open(io.BytesIO(init + b"".join(got))) as file:
        assert len(list(file.decode(video=0))) == 60
    assert staged.hub.stats().gops_dropped > 0


@contextlib.contextmanager
def never_reads(staged: Stage) -> Iterator[None]:
    """Open the WebSocket and read nothing from it."""
    with socket.socket() as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.connect(("127.0.0.1", staged.port))
        stuck.sendall(
            b"GET /stream HTTP/1.1\r\nHost: worker\r\nConnection: Upgrade\r\n"
            b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        yield


def test_broadcast_viewers_are_not_dedicated(staged: Stage):
    with (
        connected(f"{staged.ws}/stream?audience=broadcast") as one,
        connected(f"{staged.ws}/stream") as other,
    ):
        state(one), state(other)
        stats = staged.hub.stats()
        assert (stats.clients, stats.dedicated_clients) == (2, 1)
    with pytest.raises(InvalidStatus), connect(f"{staged.ws}/stream?audience=nobody"):
        pass


def test_a_relay_says_whom_it_stands_for_and_nobody_else_does(staged: Stage):
    crowd = AudienceMessage(dedicated=3, broadcast=4, saliency=True).model_dump_json()
    with (
        connected(f"{staged.ws}/stream?relay=true") as relay,
        connected(f"{staged.ws}/stream") as one,
    ):
        assert (staged.hub.stats().clients, staged.hub.saliency_wanted()) == (1, False)
        relay.send(crowd)
        staged.wait_for_clients(8)
        assert staged.hub.stats().dedicated_clients == 4 and staged.hub.saliency_wanted()
        one.send(crowd)
        relay.send("not JSON")
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                relay.recv(GENEROUS_S)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1008
        staged.wait_for_clients(1)


def test_a_viewer_who_leaves_is_removed_at_once(staged: Stage):
    staged.go_live()
    for _ in range(3):
        with connected(f"{staged.ws}/stream") as client:
            state(client)
            assert staged.hub.stats().clients == 1
        staged.wait_for_clients(0)


def test_a_viewer_who_leaves_without_a_close_frame_is_removed_at_once(staged: Stage):
    staged.go_live()
    with connected(f"{staged.ws}/stream") as client:
        state(client)
        client.socket.shutdown(socket.SHUT_RDWR)
        staged.wait_for_clients(0)


def test_client_messages_are_ignored_and_a_long_one_closes_the_connection(staged: Stage):
    staged.go_live()
    with connected(f"{staged.ws}/stream") as client:
        for _ in range(20):
            client.send("hello")
            client.send(b"hello")
        state(client)
        text(client)
        assert binary(client)[4:8] == b"ftyp"
        client.send("x" * 2000)
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                client.recv(GENEROUS_S)
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1009
    staged.wait_for_clients(0)


def test_thoughts_precede_their_frame_and_saliency_goes_to_viewers_who_asked(staged: Stage):
    units = encode_frames(regular_times(4))
    thought = Thought(
        action=1,
        probabilities=[0.25, 0.75],
        value=3.5,
        reward=1.0,
        episode_return=4.0,
        episode=2,
        step=7,
        decided_at=1_790_000_000.5,
    )
    staged.hub.open_epoch(320, 180, 30)
    staged.hub.publish(units[0])
    staged.hub.set_state(StreamState.LIVE, "live")
    with connected(f"{staged.ws}/stream?saliency=true") as client:
        state(client), text(client)
        binary(client), binary(client)
        staged.hub.publish(units[1], [thought])
        told = ThoughtMessage.model_validate_json(text(client))
        assert told.model_dump(include=set(Thought.model_fields)) == thought.model_dump()
        assert told.time > 0
        assert binary(client)[4:8] == b"moof"
        staged.hub.publish_saliency(units[1].captured_at, 2, 1, b"\x00\xff", 0.014)
        looked = SaliencyMessage.model_validate_json(text(client))
        assert (looked.columns, looked.rows, looked.time) == (2, 1, pytest.approx(told.time))
        assert looked.cost == 0.014
