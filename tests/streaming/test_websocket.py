"""The page's WebSocket, from a real server and a real encoder."""

import io
import time
from collections.abc import Iterator

import av
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from metabonk.messages import EpochMessage, StateMessage, StreamState

from .serving import Stage, stage


@pytest.fixture
def staged() -> Iterator[Stage]:
    with stage() as opened:
        yield opened


def state(socket: ClientConnection) -> StateMessage:
    return StateMessage.model_validate_json(text(socket))


def text(socket: ClientConnection) -> str:
    message = socket.recv(5)
    assert isinstance(message, str), f"{len(message)} bytes where a text was expected"
    return message


def binary(socket: ClientConnection) -> bytes:
    message = socket.recv(5)
    assert isinstance(message, bytes), message
    return message


def next_text(socket: ClientConnection) -> str:
    while not isinstance(message := socket.recv(5), str):
        pass
    return message


def test_a_viewer_gets_the_state_the_epoch_its_init_segment_and_fragments(staged: Stage):
    staged.go_live()
    with connect(f"{staged.ws}/stream") as socket:
        assert state(socket).state is StreamState.LIVE
        epoch = EpochMessage.model_validate_json(text(socket))
        assert (epoch.epoch, epoch.width, epoch.height) == (1, 320, 180)
        init = binary(socket)
        fragments = [binary(socket) for _ in range(10)]
    assert init[4:8] == b"ftyp" and all(data[4:8] == b"moof" for data in fragments)
    with av.open(io.BytesIO(init + b"".join(fragments))) as file:
        frames = list(file.decode(video=0))
        assert f"{file.streams.video[0].codec_context.level:02X}" == epoch.mime[-3:-1]
    assert len(frames) == 10 and frames[0].key_frame


def test_a_viewer_stays_through_standby_and_gets_the_next_epoch(staged: Stage):
    with connect(f"{staged.ws}/stream") as socket:
        assert state(socket).state is StreamState.STANDBY
        staged.go_live()
        for number, size in ((1, (320, 180)), (2, (160, 90))):
            messages = [next_text(socket), next_text(socket)]
            epoch = next(
                EpochMessage.model_validate_json(m) for m in messages if '"epoch"' in m
            )
            assert (epoch.epoch, epoch.width) == (number, size[0])
            assert binary(socket)[4:8] in (b"ftyp", b"moof")
            if number == 1:
                staged.go_standby("its turn is over")
                told = StateMessage.model_validate_json(next_text(socket))
                assert (told.state, told.reason) == (StreamState.STANDBY, "its turn is over")
                staged.go_live((160, 90))
        assert staged.hub.figures().clients == 1


def test_a_viewer_who_never_reads_costs_the_others_nothing(staged: Stage):
    staged.go_live((640, 360))
    with connect(f"{staged.ws}/stream") as stuck, connect(f"{staged.ws}/stream") as socket:
        stuck.recv(5)
        stuck.recv_events_paused = True
        init, fragments, until = b"", [], time.monotonic() + 1.5
        while time.monotonic() < until:
            message = socket.recv(5)
            if isinstance(message, bytes):
                if message[4:8] == b"ftyp":
                    init = message
                else:
                    fragments.append(message)
        assert staged.hub.figures().clients == 2
    sequence = [int.from_bytes(data[20:24], "big") for data in fragments]
    assert sequence == list(range(sequence[0], sequence[0] + len(sequence)))
    assert len(sequence) > 60
    with av.open(io.BytesIO(init + b"".join(fragments))) as file:
        assert len(list(file.decode(video=0))) == len(fragments)


def test_the_broadcast_is_not_dedicated(staged: Stage):
    with (
        connect(f"{staged.ws}/stream?audience=broadcast") as one,
        connect(f"{staged.ws}/stream") as other,
    ):
        state(one), state(other)
        figures = staged.hub.figures()
        assert (figures.clients, figures.dedicated_clients) == (2, 1)
    with pytest.raises(InvalidStatus), connect(f"{staged.ws}/stream?audience=nobody"):
        pass


def test_a_viewer_who_leaves_is_noticed_at_once(staged: Stage):
    staged.go_live()
    for _ in range(3):
        with connect(f"{staged.ws}/stream") as socket:
            state(socket)
            assert staged.hub.figures().clients == 1
        assert staged.clients_become(0, within_s=1)


def test_a_viewer_who_vanishes_without_a_goodbye_is_noticed_at_once(staged: Stage):
    staged.go_live()
    socket = connect(f"{staged.ws}/stream")
    state(socket)
    socket.socket.shutdown(2)
    assert staged.clients_become(0, within_s=1)
    with pytest.raises(ConnectionClosed):
        while True:
            socket.recv(1)


def test_what_a_client_says_is_ignored_and_a_long_message_ends_it(staged: Stage):
    staged.go_live()
    with connect(f"{staged.ws}/stream") as socket:
        for _ in range(20):
            socket.send("hello")
            socket.send(b"hello")
        state(socket)
        text(socket)
        assert binary(socket)[4:8] == b"ftyp"
        socket.send("x" * 2000)
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                socket.recv(5)
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1009
    assert staged.clients_become(0, within_s=1)
