"""A network connection between two local processes that can be cut."""

import contextlib
import socket
import threading

from tests.support.serving import free_port

CHUNK = 1 << 16


class Line:
    """Forwards connections to ``port`` on to ``target``, until it is cut.

    Args:
        target: port on this machine.

    Attributes:
        port: that it listens on.
        connections: forwarded so far.
    """

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self._target = target
        self._lock = threading.Lock()
        self._is_cut = False
        self._ends: set[socket.socket] = set()
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, name="line", daemon=True).start()

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, *error: object) -> None:
        # Otherwise the port stays open while accept(2) waits.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Close every connection, and refuse new ones."""
        with self._lock:
            self._is_cut = True
            for end in self._ends:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Accept connections again."""
        with self._lock:
            self._is_cut = False

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with near:
            try:
                far = socket.create_connection(("127.0.0.1", self._target), 5)
            except OSError:
                return
            with far:
                with self._lock:
                    if self._is_cut:
                        return
                    self.connections += 1
                    self._ends |= {near, far}
                back = threading.Thread(target=_pump, args=(far, near), daemon=True)
                back.start()
                _pump(near, far)
                back.join()
                with self._lock:
                    self._ends -= {near, far}


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
