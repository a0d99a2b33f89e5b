"""Ports that can be listened on."""

import socket

import pytest

from metabonk.system.ports import MAX_PORT, bind_error, free_port

LOOPBACK = "127.0.0.1"


@pytest.fixture
def used_port():
    with socket.socket() as listening:
        listening.bind((LOOPBACK, 0))
        listening.listen()
        yield listening.getsockname()[1]


def test_a_port_that_another_program_listens_on_is_not_free(used_port: int):
    assert bind_error(LOOPBACK, used_port) is not None
    assert free_port(LOOPBACK, used_port) > used_port


def test_ports_that_belong_to_others_are_left_out(used_port: int):
    first = free_port(LOOPBACK, used_port)
    assert free_port(LOOPBACK, used_port, is_taken=first.__eq__) > first


def test_without_a_free_port_there_is_an_error():
    with pytest.raises(OSError, match="no port from"):
        free_port(LOOPBACK, MAX_PORT, is_taken=lambda port: True)
