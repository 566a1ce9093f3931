"""A view kept up to date with what happens to a run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from orchestrator.cli.output import Watch
from orchestrator.service import Service

_COST = frozenset(("role.turn", "run.budget", "todo.state"))
"""Events at which something may have been spent."""


async def follow(service: Service, view: Watch, run: str, after: int, until: Callable[[], Awaitable[bool]]) -> None:
    """Show what happens after event number `after`, until `until` says so. What events do not tell (the TODOs that a
    plan adds, what was spent) is read when they say that there is some."""
    async for events in service.events(run, after, until=until):
        if (picture := view.picture) is not None:
            if not all(picture.knows(event) for event in events):
                picture.learn(await service.todos(run))
            if any(event.type in _COST for event in events):
                picture.spend = (await service.run(run)).spend
        view.show(events)
