"""The end of tasks that must end, and of processes."""

from __future__ import annotations

import asyncio
import faulthandler
import io
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

log = logging.getLogger(__name__)

_AGAIN_SECONDS = 2.0


async def ended(*tasks: asyncio.Task[Any]) -> None:
    """Cancel them; return when all have ended, however they do.

    One that goes on is cancelled again: CPython 3.11's `asyncio.wait_for`, which RabbitMQ's library is made of, forgets
    that it was cancelled if what it waits for is there at that very moment.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_AGAIN_SECONDS)


def whereabouts(tasks: Iterable[asyncio.Task[Any]]) -> str:
    """What these are and where they stand, in several lines."""
    told = io.StringIO()
    for task in tasks:
        task.print_stack(file=told)
    return told.getvalue()


class LastResort:
    """Ends this process when it has not ended by itself within `seconds`: `kill` is called, and it says on standard
    error where it hung. From a thread of its own, whatever the event loop is at."""

    def __init__(self, seconds: float, kill: Callable[[], None]) -> None:
        self._seconds = seconds
        self._kill = kill
        self._loop = asyncio.get_running_loop()
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self._timer.start()

    def _end(self) -> None:
        try:
            self._kill()
            tasks = asyncio.all_tasks(self._loop)
            log.error(
                "told to stop %g s ago, and still here; what is in progress is left to others. Where it stands:\n%s",
                self._seconds, whereabouts(tasks),
            )  # fmt: skip
            faulthandler.dump_traceback(sys.stderr)
            sys.stderr.flush()
        finally:
            os._exit(1)
