"""One run of a program in a session of its own: output as it comes, an end that takes its children along.

A quick git takes a millisecond. asyncio's own subprocesses cost a thread and half a millisecond each, and `subprocess`
a quarter: here the process is made by `posix_spawn`, and the event loop watches the pipes and the process (pidfd).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping

from mcp_servers.git.locks import Lock, held_locks, remove_locks

CHUNK = 1 << 16
_DEFAULTS = (signal.SIGPIPE, signal.SIGXFSZ)
"""Signals that Python ignores, and other programs should not."""
Feed = Callable[[bytes], None]


class Running:
    """A program that has been started; `finished` must be awaited, or `stop`.

    `argv` begins with the program's path. `stdin` is a descriptor, and so is `stdout`, if `out` is not to be given what
    it prints; `err` is given what it complains of. What they raise ends the wait. Raises `OSError` when it can't be
    started.
    """

    def __init__(
        self,
        argv: list[str],
        *,
        environment: Mapping[str, str],
        stdin: int,
        stdout: int | None,
        out: Feed,
        err: Feed,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[None] = self._loop.create_future()
        self._exit: asyncio.Future[int] = self._loop.create_future()
        self._pipes: set[int] = set()
        with contextlib.ExitStack() as undone, contextlib.ExitStack() as theirs:
            feeds = [(2, err), (1, out)] if stdout is None else [(2, err)]
            given = {0: stdin} if stdout is None else {0: stdin, 1: stdout}
            for number, feed in feeds:
                reading, given[number] = os.pipe2(os.O_CLOEXEC)
                theirs.callback(os.close, given[number])
                os.set_blocking(reading, False)
                self._watch(reading, feed)
                undone.callback(self._unwatch, reading)
            self._pid = os.posix_spawn(
                argv[0],
                argv,
                environment,
                file_actions=[(os.POSIX_SPAWN_DUP2, given[number], number) for number in (0, 1, 2)],
                setsid=True,
                setsigdef=_DEFAULTS,
            )
            undone.pop_all()
        self._pidfd: int | None = None
        if not self._pipes:
            self._await_exit()

    async def finished(self) -> int:
        """Its exit code, once it has ended and its output too (a child may hold that)."""
        await self._end
        return self._exit.result()

    async def stop(self, patience: float) -> None:
        """End it and its children, with SIGTERM first if there is patience (seconds); returns when it is gone, and with
        it the lock files that it had no time to take along."""
        self._await_exit()
        locks = set[Lock]()
        if patience and not self._exit.done():
            self.signal(signal.SIGSTOP)  # what it has open when it goes on to its end is known
            locks = await asyncio.to_thread(held_locks, self._pid)
            self.signal(signal.SIGTERM)
            self.signal(signal.SIGCONT)
            await asyncio.wait([self._exit], timeout=patience)
        self.signal(signal.SIGKILL)
        await asyncio.wait([self._exit])
        remove_locks(locks)
        for pipe in tuple(self._pipes):
            self._unwatch(pipe)
        self._settle()

    def signal(self, number: signal.Signals) -> None:
        """To it and its children."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, number)

    def _await_exit(self) -> None:
        if self._exit.done() or self._pidfd is not None or self._reaped():
            return
        self._pidfd = os.pidfd_open(self._pid)
        self._loop.add_reader(self._pidfd, self._exited, self._pidfd)

    def _exited(self, pidfd: int) -> None:
        self._loop.remove_reader(pidfd)
        os.close(pidfd)
        self._reaped()
        self._settle()

    def _reaped(self) -> bool:
        found, status = os.waitpid(self._pid, os.WNOHANG)
        if found:
            self._exit.set_result(os.waitstatus_to_exitcode(status))
        return bool(found)

    def _watch(self, pipe: int, feed: Feed) -> None:
        self._pipes.add(pipe)
        self._loop.add_reader(pipe, self._readable, pipe, feed)

    def _unwatch(self, pipe: int) -> None:
        self._loop.remove_reader(pipe)
        self._pipes.discard(pipe)
        os.close(pipe)

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
            self._unwatch(pipe)
            self._settle()

    def _settle(self) -> None:
        if self._pipes:
            return
        self._await_exit()  # it has mostly ended by the time that its output has
        if self._exit.done() and not self._end.done():
            self._end.set_result(None)


def bounded(kept: bytearray, limit: int, heard: Feed | None = None) -> Feed:
    """Keeps the last `limit` bytes, or some more; passes all on."""

    def feed(data: bytes) -> None:
        kept.extend(data)
        if len(kept) > 2 * limit:
            del kept[:-limit]
        if heard:
            heard(data)

    return feed
