"""Looking at the database whenever something has changed there, for as long as anybody wants to know."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from state.errors import StoreError
from state.ports import Store

log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
"""At least so often, should no change be noticed; and so long after the database was away."""


async def whenever_changed(
    store: Store, wanted: asyncio.Event, look: Callable[[], Awaitable[None]], *, gather: float, who: str
) -> None:
    """Until cancelled. A look is never nearer than `gather` seconds to the one before; `who` is told nothing while the
    database is away."""
    number, away = 0, False
    while True:
        await wanted.wait()
        try:
            number = await store.changed(number, _LOOK_SECONDS)
            await look()
            away = False
        except StoreError as error:
            if not away:
                log.warning("%s is told nothing: %s", who, error.message)
            away = True
            await asyncio.sleep(_LOOK_SECONDS)
        await asyncio.sleep(gather)
