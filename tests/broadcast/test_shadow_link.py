"""Messages between a shadow and the one who shows it."""

import json
import os
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metabonk.broadcast.shadow_link import (
    MAX_MESSAGE,
    MAX_NOTE,
    ShadowLink,
    ShadowReport,
    Wanted,
    decode,
    encode,
)
from metabonk.errors import WireError

REPORT = ShadowReport(7, 120.5, is_inline=True, note="it waits", has_failed=False)


@pytest.fixture
def ends() -> Iterator[tuple[ShadowLink, socket.socket]]:
    shadow, viewer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with shadow, viewer:
        yield ShadowLink(shadow), viewer


@pytest.mark.parametrize("message", [Wanted(30, "/rings/a"), Wanted(1), REPORT, ShadowReport(1)])
def test_messages_come_back(message: Wanted | ShadowReport):
    assert decode(type(message), encode(message)) == message


def test_a_long_note_is_cut_off():
    data = encode(ShadowReport(1, note="ü" * 10 * MAX_NOTE))
    assert len(data) < MAX_MESSAGE
    assert decode(ShadowReport, data).note == "ü" * MAX_NOTE


@given(st.binary(max_size=60))
def test_anything_else_is_refused(data: bytes):
    for kind in (Wanted, ShadowReport):
        with pytest.raises(WireError):
            decode(kind, data)


@pytest.mark.parametrize("fps", [0, -1, 1.5, "30", True, None])
def test_a_wrong_type_is_refused(fps: object):
    with pytest.raises(WireError, match="damaged"):
        decode(Wanted, json.dumps({"fps": fps}).encode())


def test_a_wish_arrives_and_a_report_brings_a_ring(ends: tuple[ShadowLink, socket.socket]):
    link, viewer = ends
    assert link.receive(0.01) is None
    viewer.send(encode(Wanted(30)))
    assert link.receive(5.0) == Wanted(30)
    ring = os.memfd_create("ring")
    link.send(REPORT, ring)
    data, descriptors, _, _ = socket.recv_fds(viewer, MAX_MESSAGE, 1)
    assert decode(ShadowReport, data) == REPORT
    assert os.path.sameopenfile(descriptors[0], ring)
    for each in (*descriptors, ring):
        os.close(each)


def test_the_end_of_the_other_end_is_noticed(ends: tuple[ShadowLink, socket.socket]):
    link, viewer = ends
    viewer.close()
    with pytest.raises(ConnectionError):
        link.receive(5.0)
    with pytest.raises(ConnectionError):
        link.send(REPORT)
