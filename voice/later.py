"""Something that happens after a while, in a part of a pipeline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from pipecat.utils.base_object import BaseObject


class Later:
    """One thing that happens after a while, unless it is stopped. `owner` is a part of a pipeline that runs."""

    def __init__(self, owner: BaseObject) -> None:
        self._owner = owner
        self._task: asyncio.Task[None] | None = None

    async def start(self, seconds: float, then: Callable[[], Awaitable[None]]) -> None:
        """Instead of what was to happen before."""
        await self.stop()

        async def later() -> None:
            await asyncio.sleep(seconds)
            await then()

        self._task = self._owner.create_task(later(), name=f"{self._owner}::later")

    async def stop(self) -> None:
        """It does not happen."""
        task, self._task = self._task, None
        if task is not None and task is not asyncio.current_task():
            await self._owner.cancel_task(task)
