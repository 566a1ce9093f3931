"""The event log for any number of watchers in this process: however many watch a run, it is looked at once.

A watcher is a number, that of the last event it was given. What it is given next comes from what is kept here of the
newest events, and from the database when it is further behind: so one that does not keep up costs no memory.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import islice

from orchestrator.noticing import whenever_changed
from orchestrator.views import EventView, event_view
from state import reading
from state.limits import PAGE
from state.ports import Store

_GATHER_SECONDS = 0.02


@dataclass(frozen=True)
class Happened:
    """An event, and what it looks like to clients; made once for all watchers."""

    view: EventView

    @cached_property
    def sse(self) -> bytes:
        """As a server-sent event, whose id is the event's number."""
        data = json.dumps(asdict(self.view), ensure_ascii=False, separators=(",", ":"))
        return f"id: {self.view.seq}\nevent: {self.view.type}\ndata: {data}\n\n".encode()


class Feeds:
    """`run` has to run meanwhile."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._feeds: dict[str, _Feed] = {}
        self._watched = asyncio.Event()

    async def run(self) -> None:
        """Look for what happened, until cancelled."""
        await whenever_changed(
            self._store, self._watched, self._look, gather=_GATHER_SECONDS, who="who watches a run"
        )  # fmt: skip

    @asynccontextmanager
    async def watch(self, run: str, after: int = 0) -> AsyncGenerator[Watch]:
        """The run with this id, from the event after number `after` on."""
        feed = self._feeds.setdefault(run, _Feed(run))
        feed.watchers += 1
        self._watched.set()
        try:
            yield Watch(self, feed, after)
        finally:
            feed.watchers -= 1
            if not feed.watchers:
                del self._feeds[run]
            if not self._feeds:
                self._watched.clear()

    async def read(self, run: str, after: int) -> Sequence[Happened]:
        """From the database, at most a page."""
        rows = await self._store.read(lambda session: reading.events(session, run, after))
        return [Happened(event_view(row)) for row in rows]

    async def _look(self) -> None:
        runs = list(self._feeds)
        newest = await self._store.read(lambda session: reading.last_events(session, runs))
        for run, last in newest.items():
            feed = self._feeds.get(run)
            while feed and (feed.last is None or feed.last < last):
                after = max(feed.last or 0, last - PAGE)
                feed.add(await self.read(run, after), last)


class Watch:
    """One watcher of one run; see `Feeds.watch`."""

    def __init__(self, feeds: Feeds, feed: _Feed, after: int) -> None:
        self._feeds = feeds
        self._feed = feed
        self.after = after
        """The number of the last event that it was given."""

    async def next(self) -> Sequence[Happened]:
        """What has happened since, in order, at least one event and at most a page; waits until there is something. A
        first number that is not the one after `after`: what is between is not kept any more. When it is cancelled, or
        raises `StoreError` (the database is away), nothing is missed: it may be asked again."""
        while True:
            moved = self._feed.moved
            found = self._feed.since(self.after)
            if found is None:
                found = await self._feeds.read(self._feed.run, self.after)
            if found:
                self.after = found[-1].view.seq
                return found
            await moved.wait()


class _Feed:
    """The newest events of one run, without a gap. `last` is the number of the newest; None: nobody has looked yet."""

    def __init__(self, run: str) -> None:
        self.run = run
        self.watchers = 0
        self.last: int | None = None
        self.moved = asyncio.Event()
        """Set when there is more; another one then stands here."""
        self._kept: deque[Happened] = deque(maxlen=PAGE)

    def add(self, events: Sequence[Happened], last: int) -> None:
        """The next ones; none, if what there was up to `last` is not in the database any more."""
        if events and self._kept and events[0].view.seq != self._kept[-1].view.seq + 1:
            self._kept.clear()
        self._kept.extend(events)
        self.last = events[-1].view.seq if events else last
        moved, self.moved = self.moved, asyncio.Event()
        moved.set()

    def since(self, after: int) -> Sequence[Happened] | None:
        """What came after that number; None: the database must be asked."""
        if self.last is not None and after >= self.last:
            return ()
        if self.last is None or not self._kept or self._kept[0].view.seq > after + 1:
            return None
        return list(islice(self._kept, after + 1 - self._kept[0].view.seq, None))
