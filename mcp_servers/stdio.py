"""This process's standard streams as the wire of an MCP server, read and written by the event loop.

The SDK's own streams pass every line through a thread on its way in, and twice on its way out, which costs more than
most calls. Clients connect pipes or sockets; anything else is left to the SDK.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import Callable

_CHUNK = 1 << 16


class Lines:
    """Lines of UTF-8 from a pipe or socket, whole ones as they come. What is not UTF-8 is replaced."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffer = bytearray()
        self._looked = 0
        self._ended = False

    def __aiter__(self) -> Lines:
        return self

    async def __anext__(self) -> str:
        while (end := self._buffer.find(b"\n", self._looked)) < 0:
            self._looked = len(self._buffer)
            if self._ended:
                break
            loop = asyncio.get_running_loop()
            await _ready(loop.add_reader, loop.remove_reader, self._descriptor)
            try:
                data = os.read(self._descriptor, _CHUNK)
            except ConnectionResetError:
                data = b""
            self._buffer += data
            self._ended = not data
        line = self._buffer[: end + 1] if end >= 0 else self._buffer[:]
        if not line:
            raise StopAsyncIteration
        del self._buffer[: len(line)]
        self._looked = 0
        return line.decode("utf-8", "replace")


class Writing:
    """Writes to a pipe or socket without ever blocking the loop: who reads slowly makes only the writer wait."""

    def __init__(self, descriptor: int, send: Callable[[memoryview], int], close: Callable[[], object]) -> None:
        """Of a descriptor; `send` writes a part to it, or raises `BlockingIOError`."""
        self.close = close
        self._descriptor = descriptor
        self._send = send
        self._buffer = bytearray()

    async def write(self, text: str) -> None:
        """To be flushed."""
        self._buffer += text.encode()

    async def flush(self) -> None:
        """Write it out. When nobody reads any more it goes nowhere: the end of the input ends the server."""
        data, self._buffer = self._buffer, bytearray()
        left = memoryview(data)
        while left:
            try:
                left = left[self._send(left) :]
            except (BrokenPipeError, ConnectionResetError):
                return
            except BlockingIOError:
                loop = asyncio.get_running_loop()
                await _ready(loop.add_writer, loop.remove_writer, self._descriptor)


def claimed() -> tuple[Lines, Writing] | None:
    """Take the standard streams for the wire, so that nothing else reads or writes there by mistake: input becomes
    empty, and what is printed goes to stderr. None, with nothing changed, if they are neither pipes nor sockets."""
    kinds = [os.fstat(number).st_mode for number in (0, 1)]
    if not all(stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind) for kind in kinds):
        return None
    reading = os.dup(0)
    writing = writing_to(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return Lines(reading), writing


def writing_to(number: int) -> Writing:
    """To a descriptor of a pipe or socket, without the flag O_NONBLOCK on what others may share with us."""
    if stat.S_ISSOCK(os.fstat(number).st_mode):
        wire = socket.socket(fileno=os.dup(number))
        return Writing(wire.fileno(), lambda data: wire.send(data, socket.MSG_DONTWAIT), wire.close)
    try:
        descriptor = os.open(f"/proc/self/fd/{number}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError:  # another user has made the pipe, as `runuser` and `sudo` do: the flag is on it then
        descriptor = os.dup(number)
        os.set_blocking(descriptor, False)
    return Writing(descriptor, lambda data: os.write(descriptor, data), lambda: os.close(descriptor))


async def _ready(add: Callable[..., object], remove: Callable[[int], object], descriptor: int) -> None:
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    add(descriptor, lambda: ready.done() or ready.set_result(None))
    try:
        await ready
    finally:
        remove(descriptor)
