"""Progress messages: as often as a client can use them, and never holding up the work that they tell of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol

_EVERY_SECONDS = 0.1


class Progress(Protocol):
    """The part of the SDK's `Context` that is used here."""

    async def report_progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        """See there."""
        ...


@asynccontextmanager
async def paced(send: Callable[[], Awaitable[None]]) -> AsyncGenerator[Callable[[], None]]:
    """Yields what is called when there is news, and never waits. `send` is awaited then, ten times a second at most,
    and at the good end."""
    news = asyncio.Event()

    async def tell() -> None:
        while True:
            await news.wait()
            news.clear()
            await send()
            await asyncio.sleep(_EVERY_SECONDS)

    teller = asyncio.ensure_future(tell())
    try:
        yield news.set
    finally:
        teller.cancel()
        await asyncio.wait([teller])
    if not teller.cancelled() and (error := teller.exception()):
        raise error
    await send()
