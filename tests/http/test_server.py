"""``metabonk.http.server``: what a port that can't be served is answered."""

import asyncio
import socket

import pytest

from metabonk.errors import StartError
from metabonk.http.app import make_http_app
from metabonk.http.connection import HttpConnection
from metabonk.http.server import HttpServer
from tests.support.serving import free_port, served


def test_a_port_in_use_is_an_error_of_the_caller():
    with (
        served(make_http_app("first")) as client,
        pytest.raises(StartError, match=f"port {client.base_url.port} is in use"),
    ):
        HttpServer(make_http_app("second"), "127.0.0.1", client.base_url.port or 0).start()


def test_an_address_of_another_machine_is_an_error_of_the_caller():
    port = free_port()
    with pytest.raises(StartError, match=f"can't listen on 192.0.2.1:{port}"):
        HttpServer(make_http_app("test"), "192.0.2.1", port).start()


def test_a_body_does_not_wait_for_the_acknowledgement_of_its_header(
    monkeypatch: pytest.MonkeyPatch,
):
    no_delay = []
    made = HttpConnection.connection_made

    def connection_made(connection: HttpConnection, transport: asyncio.Transport) -> None:
        accepted = transport.get_extra_info("socket")
        no_delay.append(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        made(connection, transport)

    monkeypatch.setattr(HttpConnection, "connection_made", connection_made)
    with served(make_http_app("test")) as client:
        client.get("/nothing")
    assert no_delay == [1]


def test_a_port_is_free_again_after_stop():
    port = free_port()
    for _ in range(2):
        with served(make_http_app("test"), port) as client:
            assert client.get("/nothing").status_code == 404
