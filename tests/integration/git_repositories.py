"""Repositories for the tests of the git server, made with plain git."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp import Client
from mcp.server import MCPServer
from mcp.types import CallToolResult, TextContent

from tests.services.answers import answer

ENVIRONMENT = {
    "PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C",
    "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@x", "GIT_COMMITTER_NAME": "C", "GIT_COMMITTER_EMAIL": "c@x",
}  # fmt: skip


def plain(repo: Path, *arguments: str, check: bool = True) -> str:
    """Plain git, as a person has it."""
    done = subprocess.run(
        ["git", *arguments], cwd=repo, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=60
    )
    if check and done.returncode:
        raise AssertionError(f"git {arguments}: {done.stderr}")
    return done.stdout


def repository(path: Path) -> Path:
    """A repository with two commits on main: a.txt and b.txt, then a change of a.txt."""
    path.mkdir(parents=True)
    plain(path, "init", "--quiet", "--initial-branch=main")
    plain(path, "config", "user.name", "Test")
    plain(path, "config", "user.email", "test@example.org")
    (path / "a.txt").write_text("one\n")
    (path / "b.txt").write_text("b\n")
    plain(path, "add", ".")
    plain(path, "commit", "--quiet", "-m", "first")
    (path / "a.txt").write_text("one\ntwo\n")
    plain(path, "commit", "--quiet", "-am", "second")
    return path


@asynccontextmanager
async def connected(server: MCPServer[Any]) -> AsyncGenerator[Client]:
    """A client in memory, for fixtures: it lives in a task of its own, because a fixture is entered and left in two."""
    ready: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
    enough = asyncio.Event()

    async def live() -> None:
        async with Client(server, raise_exceptions=True) as client:
            ready.set_result(client)
            await enough.wait()

    living = asyncio.create_task(live())
    await asyncio.wait([ready, living], return_when=asyncio.FIRST_COMPLETED)
    try:
        yield ready.result() if ready.done() else await _failed(living)
    finally:
        enough.set()
        await living


async def _failed(living: asyncio.Task[None]) -> Client:
    await living
    raise AssertionError("the client ended at once")


def names_in(directory: Path) -> list[str]:
    """What is in a directory."""
    return sorted(path.name for path in directory.iterdir())


async def call(client: Client, name: str, /, **arguments: object) -> dict[str, Any]:
    """The structured answer of a call that must succeed."""
    result = await client.call_tool(name, arguments)
    assert not result.is_error, said(result)
    assert result.structured_content is not None
    return answer(result.structured_content)


async def refusal(client: Client, name: str, /, **arguments: object) -> str:
    """The words of a call that must fail."""
    result = await client.call_tool(name, arguments)
    assert result.is_error, result.structured_content
    return said(result)


def said(result: CallToolResult) -> str:
    """The text of an answer."""
    return "".join(block.text for block in result.content if isinstance(block, TextContent))
