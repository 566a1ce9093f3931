"""A view kept up to date with what happens to a run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from orchestrator.cli.output import Watch
from orchestrator.service import Service
from state.errors import StoreError

log = logging.getLogger(__name__)

_AGAIN_SECONDS = 1.0
_COST = frozenset(("role.turn", "run.budget", "todo.state"))
"""Events at which something may have been spent."""


async def follow(
    service: Service, view: Watch, run: str, after: int, until: Callable[[], Awaitable[bool]], *, patient: bool = False
) -> None:
    """Show what happens after event number `after`, until `until` says so. What events do not tell (the TODOs that a
    plan adds, what was spent) is read when they say that there is some. Who is `patient` waits for a database that is
    away."""
    away = False
    while True:
        try:
            async for events in service.events(run, after, until=until):
                if (picture := view.picture) is not None:
                    if not all(picture.knows(event) for event in events):
                        picture.learn(await service.todos(run))
                    if any(event.type in _COST for event in events):
                        picture.spend = (await service.run(run)).spend
                view.show(events)
                after = events[-1].seq
                away = False
            return
        except StoreError as error:
            if not patient:
                raise
            if not away:
                log.warning("%s; trying again until it is back", error.message)
            away = True
            await asyncio.sleep(_AGAIN_SECONDS)
