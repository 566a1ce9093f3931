"""Arguments that several container tools take."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mcp_servers.container.profile import WORK
from state.ports import Resources

Container = Annotated[
    str, Field(min_length=1, max_length=128, description="Id from container_create, or a name from container_list.")
]
Image = Annotated[
    str,
    Field(min_length=1, max_length=500, description="Image such as python:3.12-slim; pulled if it is not there yet."),
]
Argv = Annotated[
    list[str],
    Field(min_length=1, max_length=1_000, description='Program and arguments; ["sh", "-c", "…"] for shell syntax.'),
]
Environment = Annotated[
    dict[str, str], Field(max_length=200, description="Variables for the command, besides the image's own.")
]
Workdir = Annotated[
    str, Field(pattern="^/", max_length=1_000, description="Absolute path inside where the command starts.")
]
Path = Annotated[str, Field(min_length=1, max_length=4_000, description=f"Path inside; relative ones begin at {WORK}.")]
Local = Annotated[
    str,
    Field(
        min_length=1,
        max_length=4_000,
        description="Path on the server's host, below a directory that its operator allowed.",
    ),
]
Cursor = Annotated[str | None, Field(max_length=20, description="next_cursor of the page before.")]
Cpus = Annotated[float | None, Field(gt=0, le=1_024, description="Cores, at most; the server's limit unless less.")]
Memory = Annotated[
    int | None,
    Field(ge=6, le=1 << 20, description="Megabytes, files in /work and /tmp included; the server's limit unless less."),
]
Pids = Annotated[int | None, Field(ge=1, le=100_000, description="Processes; the server's limit unless less.")]
Network = Annotated[bool, Field(description="Give it a network. Without, it has none at all.")]
Label = Annotated[str, Field(max_length=200, description="What it is for, shown by container_list.")]


def resources(cpus: float | None, memory_mb: int | None, pids: int | None, *, network: bool) -> Resources:
    """As the containers take them."""
    return Resources(cpus, memory_mb << 20 if memory_mb else None, pids, network)
