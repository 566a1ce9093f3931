"""A client to be killed: ``python -m tests.integration.mcp_caller MODE TOOL ARGUMENTS WHERE…`` calls a tool and waits.

WHERE is a URL, or the command line of a server over stdio.
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


def client(where: list[str], mode: Mode) -> Client:
    """For a URL, or a command line."""
    if where[0].startswith("http"):
        return Client(streamable_http_client(where[0]), mode=mode)
    return Client(StdioServerParameters(command=where[0], args=where[1:], env=dict(os.environ)), mode=mode)


async def main(mode: Mode, tool: str, arguments: dict[str, Any], where: list[str]) -> None:
    async with client(where, mode) as connected:
        await connected.call_tool(tool, arguments)


if __name__ == "__main__":
    asyncio.run(main(cast("Mode", sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]), sys.argv[4:]))
