"""Blocking work in threads, cancellable from outside: a cancelled call goes on only when its thread has stopped."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")
_THREADS = ThreadPoolExecutor(1_000, "atlas-work")
"""It starts one only when none is idle: to start a thread takes longer than most of what is done in it."""


class Stopped(Exception):
    """Raised in a thread whose caller was cancelled; it never leaves `in_thread`."""


class Stop:
    """What a thread asks between two steps. `set` may come from any other thread."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._interrupt: Callable[[], object] | None = None

    def set(self) -> None:
        self._event.set()
        with self._lock:
            if self._interrupt:
                self._interrupt()

    def is_set(self) -> bool:
        return self._event.is_set()

    def check(self) -> None:
        """Raise `Stopped` if it is time to."""
        if self._event.is_set():
            raise Stopped

    def wait(self, seconds: float) -> None:
        """Sleep, but not past a stop."""
        self._event.wait(seconds)
        self.check()

    @contextmanager
    def interrupting(self, interrupt: Callable[[], object]) -> Generator[None]:
        """While this lasts, a stop also calls `interrupt`, which must not block: it ends a wait on a socket."""
        with self._lock:
            self._interrupt = interrupt
        try:
            self.check()
            yield
        finally:
            with self._lock:
                self._interrupt = None


async def in_thread(work: Callable[[Stop], T], pool: ThreadPoolExecutor | None = None) -> T:
    """Run `work` in a thread of `pool`, or in one that nobody else has; in the caller's context, so that what is logged
    there bears its ids. When cancelled: stop it, wait for its end, and go on."""
    stop = Stop()
    running = (pool or _THREADS).submit(copy_context().run, work, stop)
    future = asyncio.wrap_future(running)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        stop.set()
        running.cancel()
        await _ended(future)
        raise


async def completed(work: Awaitable[T]) -> T:
    """`work` to its end, whatever is cancelled meanwhile; for cleaning up. Its own bounds must be tight."""
    future = asyncio.ensure_future(work)
    cancelled = await _ended(future)
    if cancelled:
        raise cancelled
    return future.result()


async def spread(items: Sequence[S], work: Callable[[S], Awaitable[T]], width: int) -> list[T]:
    """`work` on all items, at most `width` at a time; results in the order of `items`. The first failure cancels the
    others, waits for them, and is raised."""
    results: dict[int, T] = {}
    todo = iter(enumerate(items))

    async def worker() -> None:
        for number, item in todo:
            results[number] = await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(width, len(items))):
                group.create_task(worker())
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from several.exceptions[0].__cause__
    return [results[number] for number in range(len(items))]


async def _ended(future: asyncio.Future[T]) -> asyncio.CancelledError | None:
    """Wait for the future's end; returns the last cancellation that came meanwhile."""
    cancelled = None
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError as error:
            cancelled = error
    if not future.cancelled():
        future.exception()
    return cancelled
