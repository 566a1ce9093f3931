"""A TCP proxy that can be cut: from then on nothing comes through, and nobody is told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress

_CHUNK = 1 << 16


class CutWire:
    """To a port of this host; as it is until it is cut."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._cut = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def serve(self) -> None:
        """Until it is closed."""
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def cut(self) -> None:
        """What is sent is swallowed, both ways; who connects hears nothing."""
        self._cut.set()

    def mend(self) -> None:
        """Whoever connects now gets through; what was open meanwhile is reset."""
        self._cut.clear()
        self._end_all()

    def close(self) -> None:
        """All of it."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._end_all()

    def _end_all(self) -> None:
        with self._lock:
            for each in self._open:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def _carry(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._upstream)) as server:
            with self._lock:
                self._open |= {client, server}
            try:
                back = threading.Thread(target=self._copy, args=(server, client), daemon=True)
                back.start()
                self._copy(client, server)
                back.join()
            finally:
                with self._lock:
                    self._open -= {client, server}

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(_CHUNK):
                if not self._cut.is_set():
                    target.sendall(data)
        if not self._cut.is_set():
            for each in (source, target):
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)


@contextmanager
def cut_wire(upstream: int) -> Generator[CutWire]:
    """On a loopback port of its own."""
    wire = CutWire(upstream)
    thread = threading.Thread(target=wire.serve, daemon=True)
    thread.start()
    try:
        yield wire
    finally:
        wire.close()
        thread.join()
