"""Tells waiting event loops that something was committed: the in-process half of the event tail."""

from __future__ import annotations

import asyncio
import threading


class CommitSignal:
    """A number that grows with every commit, and tasks that wait for it to grow. `grow` is callable from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number = 1
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    @property
    def number(self) -> int:
        return self._number

    def grow(self) -> None:
        """Something was committed."""
        with self._lock:
            self._number += 1
            if not self._waiting:
                return
            waiting, self._waiting = self._waiting, []
        for loop, future in waiting:
            try:
                loop.call_soon_threadsafe(_release, future)
            except RuntimeError:  # that loop is closed
                continue

    async def wait(self, after: int, timeout: float) -> None:
        """Return when the number exceeds `after`, or after `timeout` seconds."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        entry = (loop, future)
        with self._lock:
            if self._number > after:
                return
            self._waiting.append(entry)
        try:
            async with asyncio.timeout(timeout):
                await future
        except TimeoutError:
            pass
        finally:
            with self._lock:
                if entry in self._waiting:
                    self._waiting.remove(entry)


def _release(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
