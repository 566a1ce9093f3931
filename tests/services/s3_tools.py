"""The S3 MCP server in this process, and a client that talks to it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mcp import Client
from mcp.types import TextContent

from mcp_servers.manners import Policy
from mcp_servers.storage.s3 import S3Store
from mcp_servers.storage.s3_calls import S3Settings
from mcp_servers.storage.s3_reach import Reach
from mcp_servers.storage.server import s3_server
from tests.services.answers import answer
from tests.services.s3 import S3Service

EVERYTHING = Policy(allow_destructive=True)


@dataclass
class Talk:
    """A connection to the server."""

    client: Client
    answers: list[str] = field(default_factory=list[str])
    """The text of all answers so far."""

    async def ask(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The structured answer of a call that works."""
        text, structured, failed = await self._call(tool, arguments)
        assert not failed, text
        assert structured is not None
        return answer(structured)

    async def refused(self, tool: str, **arguments: Any) -> str:
        """The words of a call that fails."""
        text, _, failed = await self._call(tool, arguments)
        assert failed, text
        return text

    async def names(self) -> set[str]:
        return {tool.name for tool in (await self.client.list_tools()).tools}

    async def _call(self, tool: str, arguments: dict[str, Any]) -> tuple[str, dict[str, Any] | None, bool]:
        result = await self.client.call_tool(tool, arguments)
        text = "\n".join(each.text for each in result.content if isinstance(each, TextContent))
        self.answers.append(text)
        return text, result.structured_content, bool(result.is_error)


@asynccontextmanager
async def talking(
    service: S3Service,
    *allowed: str,
    policy: Policy = EVERYTHING,
    roots: Sequence[Path] = (),
    mode: str = "auto",
    presign_seconds: int = 3_600,
    **settings: Any,
) -> AsyncGenerator[Talk]:
    """With the server that allows these."""
    found = S3Settings(service.endpoint, service.region, service.access_key, service.secret_key, attempts=2)
    store = S3Store(replace(found, **settings))
    try:
        server = s3_server(Reach.of(allowed), store, policy, roots=roots, presign_seconds=presign_seconds)
        async with Client(server, mode=mode) as client:
            yield Talk(client)
    finally:
        await store.close()
