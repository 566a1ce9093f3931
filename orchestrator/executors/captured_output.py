"""A command's standard output as a file of its own, for tasks that want it somewhere besides the log."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Self

from mcp_servers.storage.outputs import OutputRefused
from mcp_servers.storage.threads import in_thread
from state.limits import LOG_CHUNK, STDOUT_BYTES


class CapturedOutput:
    """Takes redacted output into a new file at `path`, in the order it comes and at most `bound` bytes of it. ``with``:
    the file is closed at the end; what is in it is complete after `end`."""

    def __init__(self, path: Path, bound: int = STDOUT_BYTES) -> None:
        self._path = path
        self._bound = bound
        self._taken = 0
        self._buffer = bytearray()
        # By its descriptor: a command on this host can put another file under its name.
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    async def take(self, data: bytes) -> None:
        """Add some; waits while a full chunk is written. Over the bound, the file is removed, and `OutputRefused` names
        it: half of an output is none."""
        self._taken += len(data)
        if self._taken > self._bound:
            self._path.unlink(missing_ok=True)
            raise OutputRefused(
                f"its standard output is over {self._bound:,} bytes (STDOUT_BYTES)",
                "Let the command write to a file, and declare that as an output.",
            )
        self._buffer += data
        if len(self._buffer) >= LOG_CHUNK:
            await self.end()

    async def end(self) -> None:
        """Write what is buffered."""
        data = bytes(self._buffer)
        self._buffer.clear()
        if data:
            await in_thread(lambda stop: _write(self._file, data))


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
