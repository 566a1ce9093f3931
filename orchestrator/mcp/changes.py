"""Who is subscribed to a run's resources is told when something has happened to it."""

from __future__ import annotations

from mcp.shared.subscriptions import ResourceUpdated

from mcp_servers.subscriptions import Subscriptions
from orchestrator.hints import Hints

RUN, TODOS = "atlas://runs/{run}", "atlas://runs/{run}/todos"
"""The resources of a run."""


async def tell_changes(hints: Hints, subscriptions: Subscriptions) -> None:
    """Until cancelled. What happens is looked for only while somebody is subscribed."""
    while True:
        await subscriptions.wanted()
        async with hints.watch() as watch:
            while subscriptions.listened:
                for hint in await watch.changed():
                    for run in hints.known if hint.run is None else [hint.run]:
                        for uri in (RUN, TODOS):
                            await subscriptions.publish(ResourceUpdated(uri=uri.format(run=run)))
