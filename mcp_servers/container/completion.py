"""Finishing what must be finished, whoever cancels meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import TypeVar

T = TypeVar("T")


async def see_through(work: Coroutine[object, object, T]) -> T:
    """Await `work` to its end. A cancellation that comes meanwhile is raised afterwards."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return task.result()
    if not task.cancelled():
        task.exception()  # retrieved; the cancellation is what counts
    raise cancelled


async def in_thread(work: Callable[[threading.Event], T]) -> T:
    """Run `work` in a thread; a cancellation sets the event it is given, and is raised once it has returned."""
    stop = threading.Event()
    task = asyncio.ensure_future(asyncio.to_thread(work, stop))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.set()
        await see_through(_outcome(task))
        raise


async def _outcome(task: asyncio.Future[T]) -> None:
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()
