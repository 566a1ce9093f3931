"""Where attacks on an MCP server happen, and how they are told."""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from mcp import Client

from tests.integration.git_repositories import repository, said

SECRET = "a secret that lies outside"


@dataclass(frozen=True, slots=True)
class Ground:
    """`root` is allowed; `outside`, beside it, is not, and holds the file ``secret``. `bucket` is a URL: what is below
    ``team`` is allowed, not so the objects ``secret`` and ``teammate/secret``."""

    client: Client
    root: Path
    outside: Path
    bucket: str = ""
    engine: str = ""

    async def call(self, tool: str, **arguments: object) -> str:
        """What the server answers, be it a refusal."""
        assert tool in {each.name for each in (await self.client.list_tools()).tools}
        return said(await self.client.call_tool(tool, arguments))

    def repository(self, name: str = "repo") -> Path:
        """A new one inside the root."""
        return repository(self.root / name)

    @property
    def mark(self) -> Path:
        """A file that must not come to be."""
        return self.outside / "mark"

    @property
    def program(self) -> str:
        """For a shell: makes the mark, whatever arguments follow."""
        return f"touch {shlex.quote(str(self.mark))} #"

    def marked(self) -> bool:
        """Whether the mark came to be."""
        return self.mark.exists()


Attack = Callable[[Ground], Awaitable[bool]]
"""Whether it got out."""
