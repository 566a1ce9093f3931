"""Tells a sink all that happens: at least once, and of each run in order.

How far it has been told is rows (`state.tables.Cursor`); whoever goes on after a crash goes on from there, and may tell
the last again: an event is known by its run and number. One worker at a time has a sink, for as long as it says so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from sqlmodel import Session

from mcp_servers.storage.threads import completed
from orchestrator.views import EventView, event_view
from state import frequent, reading
from state.commands import AdvanceSink, Refused, TakeSink
from state.errors import AtlasError, SinkAway, StoreError
from state.ports import Store

log = logging.getLogger(__name__)

LEASE_SECONDS = 30.0
"""How long a sink is kept without a word. A call of `Sink.tell` takes less than half of it."""
_RUNS = 100
_POLL_SECONDS = 1.0
_GATHER_SECONDS = 0.1
"""What happens meanwhile is told together: each telling costs two commits, which claims would wait for."""
_CAUGHT_UP_SECONDS = 60.0
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0
_RELEASE_SECONDS = 2.0


class Sink(Protocol):
    """`name` stays the same over restarts: it is what the cursors are kept under."""

    @property
    def name(self) -> str: ...

    @property
    def batch(self) -> int:
        """How many events are told at a time, at most."""
        ...

    async def tell(self, events: Sequence[EventView]) -> None:
        """Of each run in order; returns when they have been taken. `SinkAway`: they are told again later."""
        ...


class ToldElsewhere(Exception):
    """Somebody else tells this sink; `SinkHold.keep` may succeed later."""


class SinkHold:
    """Being the one who tells a sink, and how far it has been told. `teller` is who: a worker's boot id, or whatever
    else is never the same twice at a time. `StoreError` whenever the database is away."""

    def __init__(self, store: Store, sink: str, teller: str, lease: float = LEASE_SECONDS) -> None:
        self._store = store
        self._sink = sink
        self._teller = teller
        self._lease = lease
        self._renewed = float("-inf")
        self._caught_up = float("-inf")
        self.since = 0.0
        """Of what ended before, the sink has been told. 0: it has never been told anything."""

    async def keep(self) -> None:
        """Be the one for a while longer; costs something every half of the lease. `ToldElsewhere`: another one is."""
        now = asyncio.get_running_loop().time()
        if now - self._renewed > self._lease / 2:
            await self._do(TakeSink(self._sink, self._teller, self._lease))
            self._renewed = now
            self.since = await self._store.read(lambda session: reading.sink_since(session, self._sink))

    async def begin(self, told: Mapping[str, int]) -> None:
        """Be the one who tells a sink that nobody has told anything, of what happens from now on: of these runs, after
        these event numbers."""
        rows = list(told.items())
        await self._do(
            TakeSink(self._sink, self._teller, self._lease), AdvanceSink(self._sink, self._teller, rows[:_RUNS])
        )  # fmt: skip
        for start in range(_RUNS, len(rows), _RUNS):
            await self._do(AdvanceSink(self._sink, self._teller, rows[start : start + _RUNS]))

    async def advance(self, told: Mapping[str, int]) -> None:
        """It has been told, of these runs up to these event numbers."""
        rows = list(told.items())
        for start in range(0, len(rows), _RUNS):
            await self._do(AdvanceSink(self._sink, self._teller, rows[start : start + _RUNS]))

    async def settle(self) -> None:
        """It has been told all there is; said once a minute."""
        now = asyncio.get_running_loop().time()
        if now - self._caught_up > _CAUGHT_UP_SECONDS:
            await self._do(AdvanceSink(self._sink, self._teller, [], caught_up=True))
            self._caught_up = now

    async def release(self) -> None:
        """Somebody else may be the one at once."""
        self._renewed = float("-inf")
        await self._do(TakeSink(self._sink, self._teller, 0.0))

    async def _do(self, *commands: TakeSink | AdvanceSink) -> None:
        for outcome in await self._store.apply(commands):
            if isinstance(outcome, Refused):
                self._renewed = float("-inf")
                if outcome.code == "lease_lost":
                    raise ToldElsewhere
                raise AtlasError(f"{self._sink}: {outcome.message}")


class Teller:
    """Has one sink told, whenever no other worker does. `boot` is this worker's."""

    def __init__(self, store: Store, sink: Sink, boot: str, *, lease: float = LEASE_SECONDS) -> None:
        self._store = store
        self._sink = sink
        self._lease = lease
        self._hold = SinkHold(store, sink.name, boot, lease)

    async def run(self) -> None:
        """Until cancelled; then another one may tell at once."""
        try:
            await self._tell()
        finally:
            with suppress(ToldElsewhere, AtlasError, TimeoutError):
                await completed(asyncio.wait_for(self._hold.release(), _RELEASE_SECONDS))

    async def _tell(self) -> None:
        number, wait = 0, _FIRST_WAIT
        while True:
            try:
                more = await self.round()
                wait = _FIRST_WAIT
                if more:
                    continue
            except ToldElsewhere:
                await asyncio.sleep(_POLL_SECONDS)
            except SinkAway as error:
                pause = min(error.after or wait, _LONGEST_WAIT)
                log.warning("%s; trying again in %.0f s", error.message, pause)
                await self._pause(pause, another=error.after is None and wait >= _LONGEST_WAIT)
                wait = min(2 * wait, _LONGEST_WAIT)
            except StoreError as error:
                log.warning("%s: %s", self._sink.name, error.message)
                await asyncio.sleep(_POLL_SECONDS)
            except Exception:
                log.exception("%s could not be told", self._sink.name)
                await asyncio.sleep(_LONGEST_WAIT)
            number = await self._changed(number)
            await asyncio.sleep(_GATHER_SECONDS)

    async def _pause(self, seconds: float, *, another: bool) -> None:
        """Still the one that tells, since another one would begin with the shortest pause; but in the end let `another`
        one try: it may be this host that does not reach it."""
        if another:
            with suppress(ToldElsewhere, AtlasError):
                await self._hold.release()
            await asyncio.sleep(seconds)
            return
        clock = asyncio.get_running_loop().time
        end = clock() + seconds
        while (left := end - clock()) > 0:
            await asyncio.sleep(min(left, self._lease / 3))
            with suppress(ToldElsewhere, AtlasError):  # the next round tells
                await self._hold.keep()

    async def round(self) -> bool:
        """Tell what there is to tell now, or a part of it; whether there is more."""
        await self._hold.keep()
        name, since, batch = self._sink.name, self._hold.since, self._sink.batch

        def look(session: Session) -> tuple[list[frequent.News], list[frequent.Told]]:
            news = frequent.news(session, name, since, _RUNS)
            return news, frequent.events_of(session, news)

        news, rows = await self._store.read(look)
        events = [event_view(row) for row in rows]
        for start in range(0, len(events), batch):
            part = events[start : start + batch]
            await self._hold.keep()
            await self._sink.tell(part)
            await self._hold.advance({event.run: event.seq for event in part})
        if not events:
            await self._hold.settle()
        told = {event.run: event.seq for event in events}
        return any(told.get(each.run, each.after) < each.last for each in news)

    async def _changed(self, number: int) -> int:
        try:
            return await self._store.changed(number, _POLL_SECONDS)
        except StoreError:
            await asyncio.sleep(_POLL_SECONDS)
            return number
