"""That something has happened to some run, for any number of watchers of all runs: lists follow these."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice

from sqlmodel import Session

from orchestrator.noticing import whenever_changed
from orchestrator.views import RunView, as_json, run_view
from state import agent_reading, reading
from state.limits import PAGE, SINK_SECONDS
from state.ports import Store

_GATHER_SECONDS = 0.25
"""All open runs are looked at: not for every commit."""


@dataclass(frozen=True, slots=True)
class Hint:
    """Something has happened to this run, which is told as a server-sent event. None: to any, look at the list."""

    run: str | None
    sse: bytes


_RESYNC = Hint(None, b"event: resync\ndata: {}\n\n")


class Hints:
    """`run` has to run meanwhile."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, int] | None = None
        """Event numbers of the runs that are open or have ended lately; None: nobody has looked yet."""
        self._watchers = 0
        self._watched = asyncio.Event()
        self.told: deque[Hint] = deque(maxlen=2 * PAGE)
        self.count = 0
        """How many there have been; the newest of them are `told`."""
        self.moved = asyncio.Event()
        """Set when there are more; another one then stands here."""

    async def run(self) -> None:
        """Look for what happened, until cancelled."""

        async def look() -> None:
            newest, changed = await self._store.read(self._look)
            if self._watchers:  # only what was read to its end is known
                self._known = newest
            self._tell(changed)

        await whenever_changed(
            self._store, self._watched, look, gather=_GATHER_SECONDS, who="who watches all runs"
        )  # fmt: skip

    @asynccontextmanager
    async def watch(self) -> AsyncGenerator[HintWatch]:
        """From now on."""
        self._watchers += 1
        self._watched.set()
        try:
            yield HintWatch(self)
        finally:
            self._watchers -= 1
            if not self._watchers:
                self._watched.clear()
                self._known = None

    @property
    def known(self) -> Sequence[str]:
        """The runs that are open or have ended lately, as far as somebody watches."""
        return list(self._known or ())

    def _look(self, session: Session) -> tuple[dict[str, int], list[RunView] | None]:
        """Newest event numbers, and what has changed; None at the first look, since before it nothing is known."""
        newest = reading.stirring(session, SINK_SECONDS)
        before = self._known
        if before is None:
            return newest, None
        changed = [run for run, last in newest.items() if before.get(run) != last][:PAGE]
        for run in newest.keys() - set(changed):
            if before.get(run) != newest[run]:  # next time
                newest[run] = -1
        budgets = agent_reading.budgets(session, changed)
        return newest, [run_view(row, budgets.get(row.id)) for row in reading.these_runs(session, changed)]

    def _tell(self, changed: Sequence[RunView] | None) -> None:
        news = [_RESYNC] if changed is None else [_as_event(view) for view in changed]
        if not news:
            return
        self.told.extend(news)
        self.count += len(news)
        moved, self.moved = self.moved, asyncio.Event()
        moved.set()


def _as_event(run: RunView) -> Hint:
    return Hint(run.id, f"event: run\ndata: {as_json(run)}\n\n".encode())


class HintWatch:
    """One watcher; see `Hints.watch`."""

    def __init__(self, hints: Hints) -> None:
        self._hints = hints
        self._after = hints.count

    async def next(self) -> Sequence[bytes]:
        """What has changed since: runs as they are, each as a server-sent event. ``resync``: too much to tell."""
        return [each.sse for each in await self.changed()]

    async def changed(self) -> Sequence[Hint]:
        """The same, with the runs' ids."""
        hints = self._hints
        while hints.count == self._after:
            await hints.moved.wait()
        behind, self._after = hints.count - self._after, hints.count
        if behind > len(hints.told):
            return [_RESYNC]
        return list(islice(hints.told, len(hints.told) - behind, None))
