"""From the store's outbox to the broker, right after a commit: nobody waits for it, and nothing depends on it.

What it does not deliver stays in the outbox, and a sweeper publishes it a second later.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from itertools import islice

from orchestrator.tasks import ended
from state.commands import Delivered
from state.errors import BrokerUnavailable, StoreError
from state.failpoints import failpoint
from state.limits import PAGE
from state.ports import Broker, Store

log = logging.getLogger(__name__)

LIMIT = 10_000
"""TODO ids that wait here; what is over is left to the sweeper."""
_CLOSE_SECONDS = 1.0


class Relay:
    """Publishes what it is offered and takes it off the outbox. One task, which lives from the first offer to
    `close`; while it publishes, what is offered gathers for the next round."""

    def __init__(self, store: Store, broker: Broker) -> None:
        self._store = store
        self._broker = broker
        self._offered: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._away = False

    @property
    def waiting(self) -> int:
        """TODO ids that were offered and are not being published yet."""
        return len(self._offered)

    def offer(self, todos: Iterable[str]) -> None:
        """TODOs that became claimable, durably. Never blocks, never raises; may drop them."""
        if self._closed:
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
        await self._deliver(list(todos))

    async def close(self) -> None:
        """Take no more offers; what is here already has a second to get through."""
        self._closed = True
        self._wake.set()
        if self._task:
            await asyncio.wait({self._task}, timeout=_CLOSE_SECONDS)
            await ended(self._task)

    async def _relay(self) -> None:
        while self._offered or not self._closed:
            await self._wake.wait()
            todos = list(islice(self._offered, PAGE))
            for todo in todos:
                del self._offered[todo]
            if not self._offered and not self._closed:
                self._wake.clear()
            if todos:
                await self._deliver(todos)

    async def _deliver(self, todos: list[str]) -> None:
        try:
            await self._broker.publish(todos)
            failpoint("relay.published")
            self._away = False
            await self._store.apply([Delivered(todos)])
        except BrokerUnavailable as error:
            self._offered.clear()
            if not self._away:
                log.warning("%s; wake-ups are left to the outbox", error.message)
            self._away = True
        except StoreError as error:
            log.warning("%s; what was published may be published again", error.message)
        except Exception:
            log.exception("the relay could not deliver %d wake-up(s)", len(todos))
