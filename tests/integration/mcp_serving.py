"""A server of this process over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

from mcp.server import MCPServer

from mcp_servers.serving import Address, serve_http


@asynccontextmanager
async def over_http(server: MCPServer[Any], address: Address) -> AsyncGenerator[str]:
    """Its URL."""
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(serve_http(server, address, url.set_result))
    try:
        yield await url
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
