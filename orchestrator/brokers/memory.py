"""Wake-ups within one process. What other processes committed is noticed through `Store.changed`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from state.ports import WakeUp


class MemoryBroker:
    """`state.ports.Broker` in memory: nothing outlives the process, and nothing needs to."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[tuple[str, ...] | None] = asyncio.Queue()
        self._closed = False

    async def publish(self, todos: Sequence[str]) -> None:
        if todos and not self._closed:
            self._queue.put_nowait(tuple(todos))

    async def wake_ups(self) -> AsyncIterator[WakeUp]:
        while (todos := await self._queue.get()) is not None:
            yield WakeUp(todos, _taken)
        self._queue.put_nowait(None)  # for the other subscribers

    async def close(self) -> None:
        self._closed = True
        self._queue.put_nowait(None)


async def _taken() -> None:
    return
