"""Removing containers whose makers are gone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import cast

from mcp_servers.container.engine import Engine
from mcp_servers.container.profile import BOOT_LABEL, HOME_LABEL, KEEPER

Alive = Callable[[Collection[str]], Awaitable[Collection[str]]]
"""Which of these makers, by boot id, are not known to be gone."""


async def reap(engine: Engine, home: str, alive: Alive) -> int:
    """Remove the containers of the installation `home` whose makers are not `alive`; returns how many."""
    filters = f'{{"label": ["{HOME_LABEL}={home}"]}}'
    reply = await engine.request("GET", "/containers/json", {"all": "1", "filters": filters})
    made: dict[str, str] = {}
    for container in cast("list[dict[str, object]]", reply.body if reply.status == 200 else []):
        labels = cast("dict[str, str]", container["Labels"])
        # Labels may also come from an image; a command that is our keeper does not, where somebody runs that image.
        if container.get("Command") == KEEPER:
            made[str(container["Id"])] = labels.get(BOOT_LABEL, "")
    there = await alive(set(made.values())) if made else ()
    removed = 0
    for identity, boot in made.items():
        if boot not in there:
            path = f"/containers/{identity}"
            removed += (await engine.request("DELETE", path, {"force": "1", "v": "1"})).status == 204
    return removed
