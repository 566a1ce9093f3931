"""What happens to one run, as server-sent events whose ids are the events' numbers."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from orchestrator.feeds import Feeds, Watch
from orchestrator.http.streams import event
from orchestrator.service import Service
from state.records import RUN_ENDED


class RunEvents:
    """`orchestrator.http.streams.Source`. ``resync`` comes first when what was asked for is not kept any more. With
    `until_end`, there is an end to it when the run has ended."""

    def __init__(self, watch: Watch, service: Service, run: str, *, until_end: bool) -> None:
        self._watch = watch
        self._service = service
        self._run = run
        self._until_end = until_end
        self._look = until_end
        """Whether there may be an end to it now."""

    async def next(self) -> Sequence[bytes] | None:
        """See `Source.next`."""
        if self._look and await self._over():
            return None
        before = self._watch.after
        found = await self._watch.next()
        states = [each.view.data.get("to") for each in found if each.view.type == "run.state"]
        if states:
            self._look = self._until_end and states[-1] in RUN_ENDED
        parts = [each.sse for each in found]
        if (first := found[0].view.seq) > before + 1:
            parts.insert(0, event("resync", json.dumps({"after": before, "first": first})))
        return parts

    async def _over(self) -> bool:
        row = await self._service.find(self._run)
        return row.state in RUN_ENDED and self._watch.after >= row.last_event


@asynccontextmanager
async def run_events(
    feeds: Feeds, service: Service, run: str, after: int, *, until_end: bool
) -> AsyncGenerator[RunEvents]:
    """Of the run with this id, from the event after number `after` on."""
    async with feeds.watch(run, after) as watch:
        yield RunEvents(watch, service, run, until_end=until_end)
