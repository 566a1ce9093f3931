"""The tools that a role works with in its working tree, as a server for one attempt: in-process, no program of its own.

Who composes it says what it may do: `Policy(read_only=True)` leaves the tools that look; without `run` there are no
commands; `touches` keeps file changes within patterns (what a command changes is judged elsewhere).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcp_servers.manners import Policy, Tools
from mcp_servers.serving import mcp_server
from mcp_servers.workspace.changes import Changes
from mcp_servers.workspace.changing_tools import ChangingTools
from mcp_servers.workspace.desk import Desk, Run
from mcp_servers.workspace.looking_tools import LookingTools
from mcp_servers.workspace.running_tools import RunningTools

if TYPE_CHECKING:
    from mcp.server import MCPServer
    from mcp.server.mcpserver.tools import Tool

_INSTRUCTIONS = """\
One working tree. Paths are relative to its top; nothing outside can be reached, links are not followed.
Long results come in pages: pass next_cursor as cursor."""


def workspace_server(
    root: Path, policy: Policy, *, run: Run | None = None, touches: Sequence[str] | None = None,
    changes: Changes | None = None,
) -> MCPServer[Any]:  # fmt: skip
    """A server for the working tree `root` (trusted itself, whatever is in it). `changes` is told what its tools
    change. `SettingsError`: a bad pattern."""
    tools = workspace_tools(root, policy, run=run, touches=touches, changes=changes)
    return mcp_server("atlas-workspace", "Atlas Workspace", _INSTRUCTIONS, tools)


def workspace_tools(
    root: Path, policy: Policy, *, run: Run | None = None, touches: Sequence[str] | None = None,
    changes: Changes | None = None,
) -> list[Tool]:  # fmt: skip
    """The tools of such a server. One thing is done at a time: no command runs while files are read or changed."""
    tools = Tools(policy)
    desk = Desk(root, touches, changes)
    LookingTools(desk).register(tools)
    ChangingTools(desk).register(tools)
    if run is not None:
        RunningTools(desk, run).register(tools)
    return tools.tools
