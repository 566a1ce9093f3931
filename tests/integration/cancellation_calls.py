"""The calls of the cancellation matrix, as a table: what each is, and how one sees from outside what there is of it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from mcp_servers.git.server import git_server
from mcp_servers.manners import Policy
from tests.integration.git_repositories import plain, repository

if TYPE_CHECKING:
    from mcp.server import MCPServer
    from mcp.types import CallToolResult

ATLAS = Path(sys.executable).with_name("atlas")
GONE_SECONDS = 1.0
PATIENCE = 5.0
"""Times what is promised: this machine may be busy."""
_START_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Call:
    """One that would not end by itself in minutes. `traces` tells what there is of it now; when that includes `begun`
    it is well under way. `after` is a call that can only be answered at once if this one is gone."""

    tool: str
    arguments: Mapping[str, object]
    begun: frozenset[str]
    traces: Callable[[], Awaitable[set[str]]]
    after: tuple[str, Mapping[str, object]]

    def within(self, seconds: float) -> dict[str, Any]:
        """Its arguments, with this deadline."""
        return {**self.arguments, "timeout": seconds}


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """A server of ours: `arguments` after ``atlas mcp``, the `url` where one runs already, how to have one in memory,
    and a new set of `calls` for each cell. In `seconds` all of them are surely under way."""

    arguments: Sequence[str]
    environment: dict[str, str]
    url: str
    memory: Callable[[], AbstractAsyncContextManager[MCPServer[Any]]]
    calls: Callable[[], AbstractAsyncContextManager[list[Call]]]
    seconds: float

    @property
    def command(self) -> list[str]:
        """To start one over stdio."""
        return [str(ATLAS), "mcp", *self.arguments]


async def under_way(calls: Sequence[Call], asking: Sequence[asyncio.Task[CallToolResult]] = ()) -> None:
    """Wait until all of them are. None of `asking` may be answered meanwhile."""
    end = time.monotonic() + _START_SECONDS
    for call in calls:
        while not call.begun <= (seen := await call.traces()):
            assert not (answers := [each.result() for each in asking if each.done()]), answers
            assert time.monotonic() < end, f"of {call.tool} there is only {seen or 'nothing'}"
            await asyncio.sleep(0.01)


async def assert_gone(call: Call, later: float = 0.0) -> None:
    """In time; `later` is how many seconds more it may take."""
    start = time.monotonic()
    while left := await call.traces():
        assert time.monotonic() - start < later + GONE_SECONDS * PATIENCE, f"{call.tool} has left {left}"
        await asyncio.sleep(0.01)


def environment(home: Path, **more: str) -> dict[str, str]:
    """Of a server whose installation is `home`."""
    own = {name: value for name, value in os.environ.items() if name != "ATLAS_TOKEN"}
    return {**own, "ATLAS_HOME": str(home), **more}


@contextmanager
def served(arguments: Sequence[str], environment: dict[str, str], log: Path) -> Generator[str]:
    """The URL of a server over HTTP."""
    command = [str(ATLAS), "mcp", *arguments, "--http", "0"]
    with log.open("wb") as errors:
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stderr=errors)
    try:
        end = time.monotonic() + _START_SECONDS
        while "listening on http" not in (said := log.read_text()) or not said.endswith("\n"):
            assert process.poll() is None, said
            assert time.monotonic() < end, said
            time.sleep(0.02)
        yield said.partition("listening on ")[2].split()[0]
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()


@contextmanager
def git_area(base: Path) -> Generator[Area]:
    """git waits for ever where what it reads is a FIFO: its configuration, or attributes."""
    root, home = base / "root", base / "home"
    root.mkdir()
    arguments, variables = ["git", "--root", str(root)], environment(home)

    @asynccontextmanager
    async def memory() -> AsyncGenerator[MCPServer[Any]]:
        yield git_server([root], Policy())

    @asynccontextmanager
    async def calls() -> AsyncGenerator[list[Call]]:
        yield _git_calls(root / uuid4().hex)

    with served(arguments, variables, base / "log") as url:
        yield Area(arguments=arguments, environment=variables, url=url, memory=memory, calls=calls, seconds=2.0)


def _git_calls(place: Path) -> list[Call]:
    quick, status, add = (str(repository(place / name / "repo")) for name in ("quick", "status", "add"))
    _hang(Path(status, ".git"))
    os.mkfifo(Path(add, ".gitattributes"))
    Path(add, "a.txt").write_text("changed\n")
    sources = {name: str(place / name / "source.git") for name in ("clone", "fetch")}
    for source in sources.values():
        plain(place, "clone", "--quiet", "--bare", quick, source)
        _hang(Path(source))
    fetch, into = str(repository(place / "fetch" / "repo")), place / "clone" / "into"
    plain(Path(fetch), "remote", "add", "origin", sources["fetch"])
    transfer = frozenset({"git", "other end"})

    def traces(name: str, **files: Path) -> Callable[[], Awaitable[set[str]]]:
        async def seen() -> set[str]:
            return _gits(place / name) | {what for what, path in files.items() if path.exists()}

        return seen

    index = {"lock": Path(add, ".git/index.lock")}
    return [
        Call("git_status", {"repo": status}, frozenset({"git"}), traces("status"), ("git_status", {"repo": quick})),
        Call(
            "git_add", {"repo": add, "paths": ["a.txt"]}, frozenset({"git", "lock"}), traces("add", **index),
            ("git_create_branch", {"repo": add, "name": "next"}),
        ),
        Call(
            "git_fetch", {"repo": fetch}, transfer, traces("fetch"),
            ("git_create_branch", {"repo": fetch, "name": "next"}),
        ),
        Call(
            "git_clone", {"url": sources["clone"], "into": str(into)}, transfer | {"directory"},
            traces("clone", directory=into), ("git_clone", {"url": quick, "into": str(into)}),
        ),
    ]  # fmt: skip


def _hang(directory: Path) -> None:
    os.mkfifo(directory / "fifo")
    with (directory / "config").open("a") as config:
        config.write("[include]\n\tpath = fifo\n")


def _gits(place: Path) -> set[str]:
    """Processes of git, and its shells, that have to do with what is below `place`."""
    found: set[str] = set()
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with suppress(OSError):
                name = (process / "comm").read_text().strip()
                command, variables = ((process / file).read_bytes() for file in ("cmdline", "environ"))
                if name.startswith(("git", "sh")) and f"{place}/".encode() in command + variables:
                    sends = {b"upload-pack", b"git-upload-pack"} & set(command.split(b"\0"))
                    found.add("other end" if sends else name)
    return found
