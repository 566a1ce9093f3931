"""A container server on a real engine, and what tests ask of the engine behind its back."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Literal

from mcp import Client

from mcp_servers.container.containers import Containers, Options
from mcp_servers.container.engine import Engine
from mcp_servers.container.reaping import Alive
from mcp_servers.container.server import container_server
from mcp_servers.manners import Policy
from tests.services.answers import answer

SOON = 10.0


class Workshop:
    """A client of a server, whose containers belong to the installation `home`."""

    def __init__(self, client: Client, engine: Engine, home: str) -> None:
        self.client = client
        self.engine = engine
        self.home = home

    async def call(self, tool: str, **arguments: Any) -> Any:
        """The tool's structured result."""
        result = await self.client.call_tool(tool, arguments)
        assert not result.is_error, result.content
        return answer(result.structured_content)

    async def refusal(self, tool: str, **arguments: Any) -> str:
        """The words of its error."""
        result = await self.client.call_tool(tool, arguments)
        assert result.is_error, result.structured_content
        return "".join(getattr(each, "text", "") for each in result.content)

    async def create(self, image: str = "atlas-test/busybox:1", **arguments: Any) -> str:
        """The handle of a new container."""
        return str((await self.call("container_create", image=image, **arguments))["container"])

    async def sh(self, container: str, script: str, **arguments: Any) -> Any:
        """The result of a shell script in it."""
        return await self.call("container_exec", container=container, argv=["sh", "-c", script], **arguments)

    async def inspect(self, container: str) -> dict[str, Any]:
        """What the engine says about a container."""
        return (await self.engine.request("GET", f"/containers/{container}/json")).fields()

    async def made(self) -> list[dict[str, Any]]:
        """All containers of this installation, whatever their kind."""
        filters = json.dumps({"label": [f"atlas.home={self.home}"]})
        reply = await self.engine.request("GET", "/containers/json", {"all": "1", "filters": filters})
        return reply.body  # pyright: ignore[reportReturnType]

    async def all(self) -> list[dict[str, Any]]:
        """All containers of the engine."""
        return (await self.engine.request("GET", "/containers/json", {"all": "1"})).body  # pyright: ignore[reportReturnType]


@asynccontextmanager
async def workshop(
    url: str,
    home: Path,
    policy: Policy | None = None,
    mode: Literal["auto", "legacy"] = "auto",
    roots: list[Path] | None = None,
    **options: Any,
) -> AsyncGenerator[Workshop]:
    """In a task of its own, because a fixture is entered and left in two, which the client does not bear."""
    ready: asyncio.Future[Workshop] = asyncio.get_running_loop().create_future()
    enough = asyncio.Event()

    async def live() -> None:
        async with Containers(boot="boot", home=str(home), url=url, options=Options(**options)) as containers:
            server = container_server(containers, policy or Policy(allow_destructive=True), roots or [])
            async with Client(server, mode=mode) as client:
                ready.set_result(Workshop(client, containers.engine, str(home)))
                await enough.wait()

    living = asyncio.create_task(live())
    await asyncio.wait([ready, living], return_when=asyncio.FIRST_COMPLETED)
    try:
        if living.done():
            await living
        yield ready.result()
    finally:
        enough.set()
        await living


def stuck(image: str, mark: str) -> str:
    """A Dockerfile: `image`, but its shell does nothing, and does not end when its input does."""
    return (
        f"FROM {image}\nRUN rm /bin/sh && printf '#!/bin/busybox sh\\nexec sleep {mark}' > /bin/sh && chmod 755 /bin/sh"
    )


async def eventually(condition: Callable[[], Awaitable[object]]) -> None:
    """Wait until `condition` holds."""
    async with asyncio.timeout(SOON):
        while not await condition():  # noqa: ASYNC110  what other processes do is not told
            await asyncio.sleep(0.01)


def all_but(dead: str) -> Alive:
    """Of makers, those that are not this one are alive."""

    async def alive(boots: Collection[str]) -> Collection[str]:
        return set(boots) - {dead}

    return alive


def alive(marker: str) -> list[str]:
    """Command lines on this machine, those in containers included, that hold the marker."""
    found: list[str] = []
    for entry in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208
        try:
            line = Path("/proc", entry, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if marker in line:
            found.append(line)
    return found


async def running(marker: str, count: int = 1) -> None:
    """Wait until so many processes bear the marker."""

    async def enough() -> bool:
        return len(alive(marker)) >= count

    try:
        await eventually(enough)
    except TimeoutError:
        raise AssertionError(f"of {marker} there are only {alive(marker)}") from None


@contextmanager
def within(seconds: float) -> Generator[None]:
    """Fails if the block takes longer; a cancelled call must be gone that soon."""
    loop = asyncio.get_running_loop()
    since = loop.time()
    yield
    assert loop.time() - since < seconds
