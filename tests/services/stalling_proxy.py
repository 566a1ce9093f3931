"""A TCP proxy, in a thread of its own, that answers some HTTP requests never: those that name what stalls."""

from __future__ import annotations

import re
import socket
import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager, suppress

_STALLS = re.compile(rb"(?:GET|PUT) \S*?(stalls-[a-z]+)")
_CHUNK = 1 << 18


class StallingProxy:
    """A GET or PUT whose first line has ``stalls-NAME`` in it is swallowed; all else passes."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._lock = threading.Lock()
        self._stalled: Counter[str] = Counter()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def stalled(self, name: str) -> int:
        """Connections on which a request that names this is waiting now."""
        with self._lock:
            return self._stalled[name]

    def serve(self) -> None:
        """Until it is closed."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(connection,), daemon=True).start()

    def close(self) -> None:
        """Accept no more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _carry(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._upstream)) as server, suppress(OSError):
            threading.Thread(target=_copy, args=(server, client), daemon=True).start()
            while data := client.recv(_CHUNK):
                if found := _STALLS.match(data):
                    self._swallow(found[1].decode(), client)
                    break
                server.sendall(data)
            _shut(server)

    def _swallow(self, name: str, client: socket.socket) -> None:
        with self._lock:
            self._stalled[name] += 1
        try:
            while client.recv(_CHUNK):
                pass
        finally:
            with self._lock:
                self._stalled[name] -= 1


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(_CHUNK):
            target.sendall(data)
    _shut(target)


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def stalling_proxy(upstream: int) -> Generator[StallingProxy]:
    """On a loopback port of its own."""
    proxy = StallingProxy(upstream)
    thread = threading.Thread(target=proxy.serve, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join()
