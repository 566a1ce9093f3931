"""Commands to the store, and wake-ups for what they made claimable."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from state.commands import Command, Delivered, Done, Outcome
from state.errors import StoreError
from state.ports import Broker, Store

log = logging.getLogger(__name__)

_FIRST_WAIT, _LONGEST_WAIT = 0.1, 5.0


class Far(Protocol):
    """To the workers of other processes; see `orchestrator.brokers.relay`."""

    def offer(self, todos: Sequence[str]) -> None: ...
    async def redeliver(self, todos: Sequence[str]) -> None: ...


class Dispatch:
    """`apply` of the store, followed by wake-ups: for this process (`broker`), and for workers elsewhere (`far`).
    Without them, claims are found by polling and by `changed`."""

    def __init__(self, store: Store, broker: Broker | None, far: Far | None = None) -> None:
        self.store = store
        self._broker = broker
        self._far = far

    async def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        """Carry them out durably, then wake whoever may claim what became ready."""
        outcomes = await self.store.apply(commands)
        done = [outcome for outcome in outcomes if isinstance(outcome, Done) and outcome.ready]
        if done and self._broker:
            await self._broker.publish([todo for each in done for todo in each.ready])
        if done and self._far:
            self._far.offer([todo for each in done if each.queued for todo in each.ready])
        return outcomes

    async def one(self, command: Command) -> Outcome:
        """`apply` for a single command."""
        return (await self.apply([command]))[0]

    async def persistently(self, command: Command) -> Outcome:
        """Like `one`, and as long as the database is full, locked or away, again: what was worked out is not lost."""
        return (await self.surely([command]))[0]

    async def surely(self, commands: Sequence[Command]) -> list[Outcome]:
        """Like `apply`, in one transaction, and again as long as the database is full, locked or away."""
        wait = _FIRST_WAIT
        while True:
            try:
                return await self.apply(commands)
            except StoreError as error:
                log.warning("%s; what was done is kept and tried again", error.message)
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT)

    async def redeliver(self, todos: Sequence[str]) -> None:
        """Wake-ups from the outbox that nobody confirmed."""
        if todos and self._far:
            await self._far.redeliver(todos)
        elif todos and self._broker:
            await self._broker.publish(todos)
            await self.store.apply([Delivered(todos)])


class Persistent:
    """A store that does not give up while the database is full, locked or away."""

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch
        self.read = dispatch.store.read
        self.changed = dispatch.store.changed
        self.queued = dispatch.store.queued
        self.close = dispatch.store.close

    async def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        """See `Dispatch.surely`."""
        return await self._dispatch.surely(commands)
