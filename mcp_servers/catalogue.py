"""Tables of tools, from the servers themselves; `orchestrator.mcp.catalogue` puts all together for docs/mcp.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mcp_servers.container.containers import Containers
from mcp_servers.container.server import container_tools
from mcp_servers.git.server import git_tools
from mcp_servers.manners import MannerlyTool, Policy
from mcp_servers.storage.s3 import S3Store
from mcp_servers.storage.s3_reach import Reach
from mcp_servers.storage.server import s3_tools

if TYPE_CHECKING:
    from mcp.server.mcpserver.tools import Tool


def servers() -> dict[str, Sequence[Tool]]:
    """All tools of each."""
    everything = Policy(allow_destructive=True)
    anywhere = [Path("/")]
    return {
        "git": git_tools(anywhere, everything),
        "s3": s3_tools(Reach.of(["s3://bucket"]), S3Store(), everything, roots=anywhere),
        "container": container_tools(Containers(boot="", home=""), everything, anywhere),
    }


def table(server: str, tools: Sequence[Tool]) -> str:
    """Markdown: its tools, what they do to the world, and the first sentence of what they say."""
    rows = [f"### `atlas mcp {server}`: {len(tools)} tools", "", "| tool | effect | |", "|---|---|---|"]
    rows += [f"| `{tool.name}` | {_effect(tool)} | {_first_sentence(tool.description)} |" for tool in tools]
    return "\n".join(rows)


def _effect(tool: Tool) -> str:
    return tool.effect if isinstance(tool, MannerlyTool) else ""


def _first_sentence(text: str) -> str:
    sentence = " ".join(text.split()).partition(". ")[0].removesuffix(".")
    return sentence.replace("|", "\\|") + "."
