"""From the store's outbox to the broker, right after a commit: nobody waits for it, and nothing depends on it.

What it does not deliver stays in the outbox, and a sweeper publishes it a second later. What it has delivered leaves
the outbox a little later, many at a time: mostly the claim that came of it has taken it along by then, and would have
had to wait for a transaction about the same row.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import islice

from orchestrator.tasks import ended
from state.commands import Delivered
from state.errors import BrokerUnavailable, StoreError
from state.failpoints import failpoint
from state.limits import OUTBOX_STALE_SECONDS, PAGE
from state.ports import Broker, Store

log = logging.getLogger(__name__)

LIMIT = 10_000
"""TODO ids that wait here; what is over is left to the sweeper."""
_CLOSE_SECONDS = 1.0
_CLAIMED_SECONDS = OUTBOX_STALE_SECONDS / 10
"""In which what was delivered is mostly claimed; far less than it takes until a sweeper looks."""


class Relay:
    """Publishes what it is offered and takes it off the outbox. One task, which lives from the first offer to
    `close`; while it publishes, what is offered gathers for the next round."""

    def __init__(self, store: Store, broker: Broker) -> None:
        self._store = store
        self._broker = broker
        self._offered: dict[str, None] = {}
        self._delivered: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._later: asyncio.Task[None] | None = None
        self._away = False

    @property
    def waiting(self) -> int:
        """TODO ids that were offered and are not being published yet."""
        return len(self._offered)

    def offer(self, todos: Iterable[str]) -> None:
        """TODOs that became claimable, durably. Never blocks, never raises; may drop them."""
        if self._closing.is_set():
            return
        for todo in todos:
            if len(self._offered) >= LIMIT:
                break
            self._offered[todo] = None
        if self._offered:
            self._wake.set()
            self._task = self._task or asyncio.create_task(self._relay(), name="relay")

    async def redeliver(self, todos: Sequence[str]) -> None:
        """What has lain in the outbox for too long; returns when it was tried."""
        if await self._deliver(todos):
            await self._take_off(todos)

    async def close(self) -> None:
        """Take no more offers; what is here already has a second to get through."""
        self._closing.set()
        self._wake.set()
        if self._task:
            await asyncio.wait({self._task}, timeout=_CLOSE_SECONDS)
            await ended(self._task)

    async def _relay(self) -> None:
        while self._offered or not self._closing.is_set():
            await self._wake.wait()
            todos = list(islice(self._offered, PAGE))
            for todo in todos:
                del self._offered[todo]
            if not self._offered and not self._closing.is_set():
                self._wake.clear()
            if todos and await self._deliver(todos):
                self._delivered.update(dict.fromkeys(todos))
                if self._later is None or self._later.done():
                    self._later = asyncio.create_task(self._take_off_later())
        if self._later:
            await self._later

    async def _deliver(self, todos: Sequence[str]) -> bool:
        try:
            await self._broker.publish(todos)
        except BrokerUnavailable as error:
            self._offered.clear()
            if not self._away:
                log.warning("%s; wake-ups are left to the outbox", error.message)
            self._away = True
            return False
        except Exception:
            log.exception("the relay could not deliver %d wake-up(s)", len(todos))
            return False
        failpoint("relay.published")
        self._away = False
        return True

    async def _take_off_later(self) -> None:
        while self._delivered:
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLAIMED_SECONDS):
                    await self._closing.wait()
            todos = list(self._delivered)
            self._delivered.clear()
            await self._take_off(todos)

    async def _take_off(self, todos: Sequence[str]) -> None:
        try:
            await self._store.apply([Delivered(todos)])
        except StoreError as error:
            log.warning("%s; what was published may be published again", error.message)
        except Exception:
            log.exception("%d wake-up(s) that were delivered are still in the outbox", len(todos))
