"""The tables of tools in docs/mcp.md, from the servers themselves: ``python -m orchestrator.mcp.catalogue``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from mcp_servers.catalogue import servers, table
from mcp_servers.manners import Policy
from orchestrator.mcp.tools import RunTools, run_tools

if TYPE_CHECKING:
    from mcp.server.mcpserver.tools import Tool

_NOTHING = RunTools.__new__(RunTools)
"""Whose tools can be looked at, and not called."""


def orchestration_tools() -> list[Tool]:
    """All of them."""
    return run_tools(_NOTHING, Policy())


def tables() -> str:
    """Of all servers."""
    everything = {"orchestrator": orchestration_tools(), **servers()}
    return "\n\n".join(table(name, tools) for name, tools in everything.items()) + "\n"


if __name__ == "__main__":
    sys.stdout.write(tables())
