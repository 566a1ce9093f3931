"""A socket through which an engine is reached, until it is cut: as if the engine had ended."""

from __future__ import annotations

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

_CHUNK = 1 << 16


class EngineLine:
    """At `path`, which must be short, to the engine at `upstream`."""

    def __init__(self, path: Path, upstream: str) -> None:
        self.url = f"unix://{path}"
        self._path = path
        self._upstream = upstream
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._held: list[socket.socket] = []

    def mend(self) -> None:
        """Accept connections."""
        listener = self._listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self._path))
        listener.listen()
        threading.Thread(target=self._serve, args=(listener,), daemon=True).start()

    def cut(self) -> None:
        """End all connections, and accept no more."""
        with self._lock:
            listener, self._listener = self._listener, None
            for each in ([listener] if listener else []) + self._held:
                _shut(each, socket.SHUT_RDWR)
            self._held.clear()
            if listener:
                listener.close()
                self._path.unlink()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = _connected(self._upstream)
            with self._lock:
                self._held += (client, server)
                if self._listener is not listener:
                    _shut(client, socket.SHUT_RDWR)
            threading.Thread(target=_carry, args=(client, server), daemon=True).start()


def _connected(url: str) -> socket.socket:
    address = urlsplit(url)
    if address.scheme != "unix":
        return socket.create_connection((address.hostname, address.port))
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address.path)
    return connection


def _carry(client: socket.socket, server: socket.socket) -> None:
    with client, server:
        there = threading.Thread(target=_copy, args=(client, server), daemon=True)
        there.start()
        _copy(server, client)
        _shut(client, socket.SHUT_RDWR)
        there.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(_CHUNK):
            target.sendall(data)
    _shut(target, socket.SHUT_WR)


def _shut(connection: socket.socket, how: int) -> None:
    with suppress(OSError):
        connection.shutdown(how)


@contextmanager
def engine_line(directory: Path, upstream: str) -> Generator[EngineLine]:
    """In this directory, and whole."""
    line = EngineLine(directory / "e.sock", upstream)
    line.mend()
    try:
        yield line
    finally:
        line.cut()
