"""The S3 MCP server: which tools it has, and what it tells its clients about itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcp_servers.local_roots import LocalRoots
from mcp_servers.manners import LONGEST_SECONDS, Policy, Tools
from mcp_servers.serving import mcp_server
from mcp_servers.storage.s3 import S3Store
from mcp_servers.storage.s3_reach import Reach
from mcp_servers.storage.s3_tools import PRESIGN_SECONDS, S3Tools

if TYPE_CHECKING:
    from mcp.server import MCPServer
    from mcp.server.mcpserver.tools import Tool

_INSTRUCTIONS = """\
Objects in S3, named s3://bucket/key; names are literal, nothing is percent-decoded.
Allowed is what is below: {allowed}.
Long results come in pages: pass next_cursor as cursor, other arguments unchanged.{files}"""
_FILES = "\nLocal files: below {roots} only{relative}, and never through a symbolic link."


def s3_server(
    reach: Reach,
    store: S3Store,
    policy: Policy,
    *,
    roots: Sequence[Path] = (),
    presign_seconds: int = PRESIGN_SECONDS,
    token: str | None = None,
) -> MCPServer[Any]:
    """A server with `s3_tools`; with a token, over HTTP for its bearers only."""
    tools = s3_tools(reach, store, policy, roots=roots, presign_seconds=presign_seconds)
    relative = ", by absolute path or relative to that" if len(roots) == 1 else ", by absolute path"
    files = _FILES.format(roots=", ".join(map(str, roots)), relative=relative) if roots else ""
    instructions = _INSTRUCTIONS.format(allowed=reach.shown, files=files)
    return mcp_server("atlas-s3", "Atlas S3", instructions, tools, token)


def s3_tools(
    reach: Reach,
    store: S3Store,
    policy: Policy,
    *,
    roots: Sequence[Path] = (),
    presign_seconds: int = PRESIGN_SECONDS,
) -> list[Tool]:
    """The tools that `policy` allows, over what `reach` allows. Without `roots` none touches local files.

    `store` stays the caller's: close it after the server has ended. `SettingsError`: a root is not a directory.
    """
    bodies = S3Tools(reach, store, LocalRoots(roots), presign_seconds)
    tools = Tools(policy)
    add = tools.add
    add(bodies.s3_list_buckets, "reads", "List buckets", open_world=True)
    add(bodies.s3_list_objects, "reads", "List objects", open_world=True, audited=("prefix",))
    add(bodies.s3_head_object, "reads", "Look at an object", open_world=True, audited=("url",))
    add(bodies.s3_get_object, "reads", "Read an object", open_world=True, audited=("url", "offset", "length"))
    add(bodies.s3_put_object, "replaces", "Write an object", open_world=True, idempotent=True, audited=("url",))
    add(
        bodies.s3_copy_object,
        "replaces",
        "Copy an object",
        seconds=LONGEST_SECONDS,
        open_world=True,
        idempotent=True,
        audited=("source", "target"),
    )
    add(bodies.s3_delete_objects, "destroys", "Delete objects", open_world=True, idempotent=True, audited=("urls",))
    # It changes nothing, but gives access away.
    add(bodies.s3_presign, "writes", "Presign a URL", open_world=True, audited=("url", "method", "seconds"))
    if roots:
        files = ("path", "url")
        add(
            bodies.s3_upload_file,
            "replaces",
            "Upload a local file",
            seconds=LONGEST_SECONDS,
            open_world=True,
            audited=files,
        )
        add(
            bodies.s3_download_file,
            "writes",
            "Download to a local file",
            seconds=LONGEST_SECONDS,
            open_world=True,
            audited=files,
        )
    return tools.tools
