"""One run of a program in a session of its own: output as it comes, an end that takes its children along.

asyncio's own subprocesses cost a thread and half a millisecond each, which is half of what a quick git does. Here the
event loop watches the pipes and the process itself (pidfd).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

CHUNK = 1 << 16
Feed = Callable[[bytes], None]


class Running:
    """A program that has been started; `finished` must be awaited, or `stop`.

    `stdin` is a descriptor. `out` and `err` are given what it prints (`out` None: it goes to the descriptor `stdout`).
    What they raise ends the wait. Raises `OSError` when it can't be started.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        cwd: Path | None,
        stdin: int,
        stdout: int | None,
        out: Feed,
        err: Feed,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[None] = self._loop.create_future()
        self._exit: asyncio.Future[None] = self._loop.create_future()
        self._pipes: set[int] = set()
        self._process = subprocess.Popen(
            argv,
            stdin=stdin,
            stdout=subprocess.PIPE if stdout is None else stdout,
            stderr=subprocess.PIPE,
            env=dict(environment),
            cwd=cwd,
            start_new_session=True,
            bufsize=0,
        )
        self._pidfd = os.pidfd_open(self._process.pid)
        self._loop.add_reader(self._pidfd, self._exited)
        for pipe, feed in ((self._process.stdout, out), (self._process.stderr, err)):
            if pipe:
                os.set_blocking(pipe.fileno(), False)
                self._pipes.add(pipe.fileno())
                self._loop.add_reader(pipe.fileno(), self._readable, pipe.fileno(), feed)

    async def finished(self) -> int:
        """Its exit code, once it has ended and its output too (a child may hold that)."""
        await self._end
        return self._process.wait()

    async def stop(self, patience: float) -> None:
        """End it and its children, with SIGTERM first if there is patience (seconds); returns when it is gone."""
        if patience and not self._exit.done():
            self.signal(signal.SIGTERM)
            await asyncio.wait([self._exit], timeout=patience)
        self.signal(signal.SIGKILL)
        await asyncio.wait([self._exit])
        for pipe in tuple(self._pipes):
            self._loop.remove_reader(pipe)
        self._pipes.clear()
        self._settle()

    def signal(self, number: signal.Signals) -> None:
        """To it and its children."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _exited(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._process.poll()
        self._exit.set_result(None)
        self._settle()

    def _readable(self, pipe: int, feed: Feed) -> None:
        try:
            data = os.read(pipe, CHUNK)
            feed(data)
        except BlockingIOError:
            return
        except Exception as error:
            if not self._end.done():
                self._end.set_exception(error)
            data = b""
        if not data:
            self._loop.remove_reader(pipe)
            self._pipes.discard(pipe)
            self._settle()

    def _settle(self) -> None:
        if self._pipes or not self._exit.done():
            return
        for stream in (self._process.stdout, self._process.stderr):
            if stream:
                stream.close()
        if not self._end.done():
            self._end.set_result(None)


def bounded(kept: bytearray, limit: int) -> Feed:
    """Keeps the first `limit` bytes."""

    def feed(data: bytes) -> None:
        kept.extend(data[: limit - len(kept)])

    return feed
