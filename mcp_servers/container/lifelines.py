"""What ties running commands to their worker: one socket each, with pulses on it; its end is theirs."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress


class Lifeline:
    """One command's connection to its supervisor. `cut` tells that the worker has let go of it."""

    def __init__(self, lock: threading.RLock) -> None:
        self.cut = False
        self._lock = lock
        self._socket: socket.socket | None = None

    def connect(self, connection: socket.socket) -> None:
        """From here on pulses flow; if the line was cut meanwhile, the end goes out at once. The socket is ours now."""
        with self._lock:
            self._socket = connection
            if self.cut:
                self.end()

    def say(self, message: bytes) -> None:
        """Send without waiting; a buffer that is full is full of pulses."""
        with self._lock, suppress(OSError):
            if self._socket is not None:
                self._socket.send(message, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)

    def end(self) -> None:
        """Close our sending side; what comes back can still be read."""
        with self._lock, suppress(OSError):
            if self._socket is not None:
                self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close the socket."""
        with self._lock:
            if self._socket is not None:
                self._socket.close()
                self._socket = None


class Lifelines:
    """All lifelines of a sandbox. `pulse` and `cut` may be called from any thread, and from a signal handler."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._held: set[Lifeline] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    @contextmanager
    def hold(self) -> Generator[Lifeline]:
        """A line for one command, from before anything of it is started until nothing of it is left."""
        line = Lifeline(self._lock)
        with self._lock:
            self._held.add(line)
        self._idle.clear()
        try:
            yield line
        finally:
            line.close()
            with self._lock:
                self._held.discard(line)
                if not self._held:
                    self._idle.set()

    def pulse(self) -> None:
        """Tell every supervisor that the worker is there."""
        with self._lock:
            for line in tuple(self._held):
                line.say(b".")

    def cut(self) -> None:
        """Let go of everything that is held now, started or about to be."""
        with self._lock:
            for line in tuple(self._held):
                line.cut = True
                line.end()

    async def idle(self) -> None:
        """Return when nothing is held."""
        await self._idle.wait()
