"""Removing containers whose makers are gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from mcp_servers.container.engine import Engine
from mcp_servers.container.profile import BOOT_LABEL, HOME_LABEL, KEEPER


async def reap(engine: Engine, home: str, alive: Callable[[str], bool]) -> int:
    """Remove the containers of the installation `home` whose boot ids are not `alive`; returns how many."""
    filters = f'{{"label": ["{HOME_LABEL}={home}"]}}'
    reply = await engine.request("GET", "/containers/json", {"all": "1", "filters": filters})
    removed = 0
    for container in cast("list[dict[str, object]]", reply.body if reply.status == 200 else []):
        labels = cast("dict[str, str]", container["Labels"])
        # Labels may also come from an image; a command that is our keeper does not, where somebody runs that image.
        if container.get("Command") == KEEPER and not alive(labels.get(BOOT_LABEL, "")):
            path = f"/containers/{container['Id']}"
            removed += (await engine.request("DELETE", path, {"force": "1", "v": "1"})).status == 204
    return removed
