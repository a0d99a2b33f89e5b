"""Ports that can be listened on."""

import socket

import pytest

from metabonk.system.ports import MAX_PORT, bind_error, free_port, free_ports

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
    with pytest.raises(OSError, match="no 2 consecutive ports from"):
        free_ports(LOOPBACK, MAX_PORT, 2, lambda port: False)


def test_consecutive_ports_begin_after_one_that_is_used(used_port: int):
    first = free_ports(LOOPBACK, used_port - 2, 4, lambda port: False)
    assert first > used_port
    assert free_ports(LOOPBACK, first, 4, (first + 3).__eq__) > first + 3
