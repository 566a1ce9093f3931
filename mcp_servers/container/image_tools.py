"""The container tools about images."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, cast

from mcp.server.mcpserver import Context
from pydantic import Field

from mcp_servers.container import arguments as given
from mcp_servers.container.builds import Builds, Made, Recipe
from mcp_servers.container.capture import telling
from mcp_servers.container.containers import Containers
from mcp_servers.container.results import ImageListed, ImagePage, ImageReady
from mcp_servers.local_roots import LocalRoots
from mcp_servers.manners import Tools
from mcp_servers.paging import fitting, position
from state.errors import SandboxUnavailable
from state.limits import DOCUMENT_BYTES

_SECONDS = 600.0


class ImageTools:
    """Bodies of the tools; see `manners.Tools.add`."""

    def __init__(self, containers: Containers, roots: LocalRoots) -> None:
        self._engine = containers.engine
        self._builds = Builds(containers.engine, containers.options, roots, containers.options.copy_bytes)
        self._may_build = containers.options.builds

    def register(self, tools: Tools) -> None:
        """Offer them."""
        shown = ("image", "name", "context", "network")
        tools.add(self.container_images, "reads", "Images")
        tools.add(
            self.container_pull, "writes", "Pull", seconds=_SECONDS, idempotent=True, open_world=True, audited=shown
        )
        if self._may_build:
            tools.add(self.container_build, "writes", "Build", seconds=_SECONDS, open_world=True, audited=shown)

    async def container_images(
        self,
        name: Annotated[str, Field(max_length=200, description="Only those whose name contains this.")] = "",
        cursor: given.Cursor = None,
    ) -> ImagePage:
        """The images on the engine, by name: names, id, size. 50 KB a page; pass next_cursor for the rest."""
        reply = await self._engine.request("GET", "/images/json")
        if reply.status != 200:
            raise SandboxUnavailable(f"The engine can't list images: {reply.message}")
        rows = [_listed(each) for each in cast("list[dict[str, object]]", reply.body)]
        rows = sorted((row for row in rows if any(name in each for each in row.names)), key=lambda row: row.names)
        start = position(cursor)
        count = fitting(rows[start:])
        more = str(start + count) if start + count < len(rows) else None
        return ImagePage(images=rows[start : start + count], next_cursor=more)

    async def container_pull(self, image: given.Image, ctx: Context) -> ImageReady:
        """Fetch an image from its registry, or its newer version; without a tag, `latest`. Uses the logins of the user
        that the server runs as. What the engine says comes as progress. Stopped, the engine stops too."""
        async with telling(ctx) as say:
            return _ready(await self._builds.pull(image, say))

    async def container_build(
        self,
        name: Annotated[str, Field(max_length=200, description="Name of the image, with :tag or without.")],
        ctx: Context,
        dockerfile: Annotated[
            str | None, Field(max_length=DOCUMENT_BYTES, description="Text of a Dockerfile; else the context has one.")
        ] = None,
        context: Annotated[
            str | None,
            Field(max_length=4_000, description="Directory on the server's host, below one that is allowed."),
        ] = None,
        arguments: Annotated[dict[str, str], Field(max_length=100, description="Values for its ARG lines.")] = {},  # noqa: B006
        target: Annotated[
            str | None, Field(max_length=200, description="Stage to build; the last unless given.")
        ] = None,
        network: Annotated[bool, Field(description="Give its RUN steps a network. Without, they have none.")] = False,
    ) -> ImageReady:
        """Build an image. It is named atlas-mcp/<name>, so that none takes the place of an image that others use; the
        answer has the name to pass as `image`. Output comes as progress; its end is in the answer, or in the error if a
        step fails. Stopped, the build ends and leaves no container.

        RUN steps run as the Dockerfile's user, root at first, in the engine's own confinement for builds (no mounts or
        devices of the host, bounded memory): weaker than container_run's. The context may hold no symbolic links, and
        256 MB at most; .dockerignore is not read. FROM pulls what is missing; ADD takes plain local names, no URLs."""
        recipe = Recipe(name, dockerfile, context, arguments, target, network)
        async with telling(ctx) as say:
            return _ready(await self._builds.build(recipe, say))


def _ready(made: Made) -> ImageReady:
    return ImageReady(image=made.name, id=made.id, log=made.log)


def _listed(entry: dict[str, object]) -> ImageListed:
    return ImageListed(
        names=cast("list[str] | None", entry["RepoTags"]) or ["<none>"],
        id=str(entry["Id"]),
        bytes=cast("int", entry["Size"]),
        created=datetime.fromtimestamp(cast("int", entry["Created"]), UTC).isoformat(),
    )
