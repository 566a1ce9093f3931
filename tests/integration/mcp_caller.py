"""A client to be killed: ``python -m tests.integration.mcp_caller MODE CALLS WHERE…`` makes calls, all at once.

CALLS is JSON: ``[[TOOL, ARGUMENTS], …]``. WHERE is a URL, or the command line of a server over stdio.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any, Literal, cast

from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

Mode = Literal["auto", "legacy"]


def client(where: list[str], mode: Mode, environment: dict[str, str] | None = None) -> Client:
    """For a URL, or a command line, which gets the `environment` (this process's own, unless given)."""
    if where[0].startswith("http"):
        return Client(streamable_http_client(where[0]), mode=mode)
    server = StdioServerParameters(command=where[0], args=where[1:], env=environment or dict(os.environ))
    return Client(server, mode=mode)


async def main(mode: Mode, calls: list[tuple[str, dict[str, Any]]], where: list[str]) -> None:
    async with client(where, mode) as connected:
        await asyncio.gather(*(connected.call_tool(tool, arguments) for tool, arguments in calls))


if __name__ == "__main__":
    asyncio.run(main(cast("Mode", sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3:]))
