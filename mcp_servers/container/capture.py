"""What a command says: kept within bounds, and passed on while it runs."""

from __future__ import annotations

import codecs
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from mcp_servers.progress import Progress, paced
from state.limits import TOOL_RESULT_BYTES
from state.ports import Stream

STDOUT_BYTES = TOOL_RESULT_BYTES * 2 // 3
STDERR_BYTES = TOOL_RESULT_BYTES // 4
_MESSAGE_BYTES = 4_000


class Capture:
    """The beginning and the end of a stream, at most `limit` bytes in all. The end tells more: it gets more room."""

    def __init__(self, limit: int) -> None:
        self._first = limit // 4
        self._last = limit - self._first
        self._head = bytearray()
        self._tail = bytearray()
        self.size = 0

    def add(self, data: bytes) -> None:
        """What comes next."""
        self.size += len(data)
        room = self._first - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        if len(self._tail) > 4 * self._last:
            del self._tail[: -self._last]

    @property
    def left_out(self) -> int:
        """Bytes that came and are not kept."""
        return max(0, self.size - self._first - self._last)

    def text(self) -> str:
        """What is kept, and where something is left out, how much."""
        if not self.left_out:
            return bytes(self._head + self._tail).decode("utf-8", "replace")
        head = self._head.decode("utf-8", "replace")
        tail = self._tail[-self._last :].decode("utf-8", "replace")
        return f"{head}\n[… {self.left_out:,} bytes left out …]\n{tail}"


class Captured:
    """Both streams of a command; each piece is also passed on to `say`."""

    def __init__(self, say: Callable[[bytes], None]) -> None:
        self.stdout = Capture(STDOUT_BYTES)
        self.stderr = Capture(STDERR_BYTES)
        self._say = say

    async def write(self, stream: Stream, data: bytes) -> None:
        """See `WriteOutput`."""
        (self.stdout if stream == "stdout" else self.stderr).add(data)
        self._say(data)

    @property
    def note(self) -> str | None:
        """What was left out, and how to have it."""
        left_out = self.stdout.left_out + self.stderr.left_out
        if not left_out:
            return None
        return (
            f"{left_out:,} bytes in the middle are left out. In a created container, send the output to a file "
            "(`> /work/out 2>&1`) and page through it with container_read_file."
        )


@asynccontextmanager
async def telling(progress: Progress) -> AsyncGenerator[Callable[[bytes], None]]:
    """Yields what takes output and never waits; progress messages carry it on, ten a second at most, each with the end
    of what has come since the one before."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    pending = bytearray()
    total = 0

    def say(data: bytes) -> None:
        nonlocal total
        total += len(data)
        pending.extend(data)
        if len(pending) > 4 * _MESSAGE_BYTES:
            del pending[:-_MESSAGE_BYTES]
        tell()

    async def send() -> None:
        text = decoder.decode(bytes(pending[-_MESSAGE_BYTES:]))
        pending.clear()
        if text:
            await progress.report_progress(total, message=text)

    async with paced(send) as tell:
        yield say
