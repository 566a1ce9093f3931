"""The git server: which tools it has, and what it tells its clients about itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcp_servers.git.changing_tools import ChangingTools
from mcp_servers.git.confinement import Roots
from mcp_servers.git.desk import Desk
from mcp_servers.git.looking_tools import LookingTools
from mcp_servers.git.transfers import Transfers
from mcp_servers.manners import Policy, Tools
from mcp_servers.serving import mcp_server

if TYPE_CHECKING:
    from mcp.server import MCPServer
    from mcp.server.mcpserver.tools import Tool

_INSTRUCTIONS = """\
Git on this machine, in repositories below {roots} only. Every call names its `repo`; there is no current directory.
The repository's configuration runs nothing: no hooks, filters, external diffs or editors.
What has conflicts is aborted, and the conflicts are the answer.
Long results come in pages: pass next_cursor as cursor."""


def git_server(
    directories: Sequence[Path],
    policy: Policy,
    *,
    allow_force: bool = False,
    credential_helper: str | None = None,
    user: Mapping[str, str] | None = None,
    token: str | None = None,
) -> MCPServer[Any]:
    """A server for the repositories below `directories`. `user` is environment (``GIT_CONFIG_GLOBAL`` of a file with
    name and mail); `credential_helper` is git's, for https. `SettingsError` without a directory."""
    roots = Roots(directories)
    tools = _tools(roots, policy, allow_force, credential_helper, user)
    shown = ", ".join(map(str, roots.directories))
    return mcp_server("atlas-git", "Atlas Git", _INSTRUCTIONS.format(roots=shown), tools, token)


def git_tools(directories: Sequence[Path], policy: Policy) -> list[Tool]:
    """The tools of such a server."""
    return _tools(Roots(directories), policy, False, None, None)


def _tools(
    roots: Roots, policy: Policy, allow_force: bool, credential_helper: str | None, user: Mapping[str, str] | None
) -> list[Tool]:
    desk = Desk(roots, Transfers(roots, credential_helper), user or {})
    tools = Tools(policy)
    LookingTools(desk).register(tools)
    ChangingTools(desk, allow_force=allow_force).register(tools)
    return tools.tools
