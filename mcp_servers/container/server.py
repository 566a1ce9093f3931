"""The container server: which tools it has, and what it tells its clients about itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcp_servers.container.containers import Containers
from mcp_servers.container.file_tools import FileTools
from mcp_servers.container.image_tools import ImageTools
from mcp_servers.container.working_tools import WorkingTools
from mcp_servers.local_roots import LocalRoots
from mcp_servers.manners import Policy, Tools
from mcp_servers.serving import mcp_server

if TYPE_CHECKING:
    from mcp.server import MCPServer
    from mcp.server.mcpserver.tools import Tool

_INSTRUCTIONS = """\
Hardened containers on this machine. container_run runs one command and forgets it; container_create makes a container
to work in, whose id every other call names. Commands are argument lists, not shell text. Nothing of the host is
mounted; files go in and out with the file tools. Containers end with this server. A call that is stopped leaves nothing
running.
Long results come in pages: pass next_cursor as cursor."""


def container_tools(containers: Containers, policy: Policy, roots: Sequence[Path] = ()) -> list[Tool]:
    """The tools that `policy` allows. `containers` must be open as long as they are used; `roots` are the directories
    of this host that files may be copied from and to, and built from."""
    tools, local = Tools(policy), LocalRoots(roots)
    WorkingTools(containers).register(tools)
    FileTools(containers, local).register(tools)
    ImageTools(containers, local).register(tools)
    return tools.tools


def container_server(
    containers: Containers, policy: Policy, roots: Sequence[Path] = (), token: str | None = None
) -> MCPServer[Any]:
    """A server with `container_tools`; with a token, over HTTP for its bearers only."""
    tools = container_tools(containers, policy, roots)
    return mcp_server("atlas-container", "Atlas Containers", _INSTRUCTIONS, tools, token)
