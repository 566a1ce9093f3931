"""Which containers there are for a server: its own.

A container is ours only if it bears our labels and is confined by our profile, so that labels which come from an image
open nothing. All others do not exist here: the answer is the same as for a handle that nobody has.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from mcp_servers.container.engine import Engine
from mcp_servers.container.profile import HOME_LABEL, KEEPER
from state.errors import NotFound, SandboxUnavailable

KIND_LABEL, KIND = "atlas.kind", "mcp"
NAME = "atlas-mcp-"
"""How the names of ours begin."""
HANDLE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")


@dataclass(frozen=True, slots=True)
class Found:
    """One container, as the engine describes it. `id` is safe in a URL."""

    id: str
    fields: dict[str, object]

    def part(self, name: str) -> dict[str, object]:
        """An object inside the description; empty if there is none."""
        value = self.fields.get(name)
        return cast("dict[str, object]", value) if isinstance(value, dict) else {}

    @property
    def environment(self) -> list[str]:
        """What its image, and nobody else, has set."""
        return cast("list[str] | None", self.part("Config").get("Env")) or []

    @property
    def ours(self) -> bool:
        """Whether it is confined as ours are."""
        host = self.part("HostConfig")
        confined = host.get("CapDrop") == ["ALL"] and not host.get("Privileged") and not host.get("CapAdd")
        return confined and self.fields.get("Path") == KEEPER and str(self.fields.get("Name")).startswith(f"/{NAME}")


class Registry:
    """Looks containers up on `engine`. `home` is the installation whose they are; `foreign`: others can be looked at
    too."""

    def __init__(self, engine: Engine, home: str, *, foreign: bool) -> None:
        self._engine = engine
        self._home = home
        self._foreign = foreign

    async def find(self, handle: str, *, to_look: bool = False) -> Found:
        """The container with this id, name or beginning of an id. `NotFound` unless it is ours; `to_look`: or may be
        looked at."""
        if HANDLE.fullmatch(handle):
            reply = await self._engine.request("GET", f"/containers/{handle}/json")
            if reply.status == 200:
                fields = reply.fields()
                found = Found(str(fields["Id"]), fields)
                if self._is_ours(found) or (to_look and self._foreign):
                    return found
            elif reply.status not in (400, 404):
                raise SandboxUnavailable(f"The engine can't look up a container: {reply.message}")
        raise NotFound(f"no such container: {handle[:200]!r}", "container_list shows those there are.")

    async def list(self) -> list[dict[str, object]]:
        """Ours, or all if that is allowed, newest first, as the engine lists them."""
        query = {"all": "1"}
        if not self._foreign:
            query["filters"] = json.dumps({"label": [f"{HOME_LABEL}={self._home}", f"{KIND_LABEL}={KIND}"]})
        reply = await self._engine.request("GET", "/containers/json", query)
        if reply.status != 200:
            raise SandboxUnavailable(f"The engine can't list containers: {reply.message}")
        listed = cast("list[dict[str, object]]", reply.body)
        if self._foreign:
            return listed
        return [each for each in listed if each["Command"] == KEEPER]

    def owns(self, container: Mapping[str, object]) -> bool:
        """Whether an entry of `list` is ours."""
        borne = cast("dict[str, str]", container["Labels"] or {})
        return borne.get(HOME_LABEL) == self._home and borne.get(KIND_LABEL) == KIND

    def _is_ours(self, found: Found) -> bool:
        return found.ours and self.owns(found.part("Config"))
