"""A store that says how long its commits take, and when it last answered."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from sqlmodel import Session

from state.commands import Command, Outcome
from state.errors import StoreError
from state.ports import Store

T = TypeVar("T")


class CommitMeter(Protocol):
    """Called in the event loop; must not block and must not raise."""

    def committed(self, seconds: float) -> None:
        """Commands were carried out and are durable, so many seconds after they were given."""
        ...

    def not_committed(self) -> None:
        """The store raised: the database is full, locked or away."""
        ...


class MeasuredStore:
    """`state.ports.Store` around another. It counts as having answered when it is made: that opened the database."""

    def __init__(self, store: Store, meter: CommitMeter, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._meter = meter
        self._clock = clock
        self._answered = clock()
        self.changed = store.changed
        self.queued = store.queued
        self.close = store.close

    @property
    def silent(self) -> float:
        """Seconds since the database answered last. An idle worker asks it every `limits.POLL_SECONDS`."""
        return self._clock() - self._answered

    async def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        """See `Store.apply`."""
        begun = self._clock()
        try:
            outcomes = await self._store.apply(commands)
        except StoreError:
            self._meter.not_committed()
            raise
        self._answered = self._clock()
        if commands:
            self._meter.committed(self._answered - begun)
        return outcomes

    async def read(self, query: Callable[[Session], T]) -> T:
        """See `Store.read`."""
        found = await self._store.read(query)
        self._answered = self._clock()
        return found
