"""However a client ends a call, nothing that the call started is left: real servers, real clients, real kills.

The call is one that would never end: a repository whose configuration includes a FIFO makes git wait.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Literal

import pytest

from tests.integration.git_repositories import call, repository
from tests.integration.mcp_caller import client

Mode = Literal["auto", "legacy"]
ROOT = Path(__file__).resolve().parents[2]
ATLAS = Path(sys.executable).with_name("atlas")
GONE_SECONDS = 1.0
PATIENCE = 5.0
"""Times what is promised: this machine may be busy."""


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """A repository in which git waits for ever."""
    repo = repository(tmp_path / "roots" / "slow")
    os.mkfifo(repo / ".git" / "fifo")
    with (repo / ".git" / "config").open("a") as config:
        config.write("[include]\n\tpath = fifo\n")
    return repo


@pytest.fixture
def quick(tmp_path: Path) -> Path:
    return repository(tmp_path / "roots" / "quick")


def gits_in(repo: Path) -> list[int]:
    """Processes that work on this repository."""
    found: list[int] = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with suppress(OSError):
                if f"GIT_DIR={repo}/.git\0".encode() in (process / "environ").read_bytes():
                    found.append(int(process.name))
    return found


async def until_busy(repo: Path) -> None:
    async with asyncio.timeout(30):
        while not gits_in(repo):  # noqa: ASYNC110  nothing tells of another process
            await asyncio.sleep(0.01)


async def assert_gone(repo: Path, within: float = GONE_SECONDS) -> None:
    start = time.monotonic()
    while gits_in(repo):
        assert time.monotonic() - start < within * PATIENCE, "something is left"
        await asyncio.sleep(0.01)


def command(repo: Path) -> list[str]:
    return [str(ATLAS), "mcp", "git", "--root", str(repo.parent)]


@asynccontextmanager
async def http_server(repo: Path, home: Path) -> AsyncGenerator[str]:
    environment = {name: value for name, value in os.environ.items() if name != "ATLAS_TOKEN"}
    process = await asyncio.create_subprocess_exec(
        *command(repo), "--http", "0", env={**environment, "ATLAS_HOME": str(home)}, stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr
    try:
        async with asyncio.timeout(30):
            line = (await process.stderr.readline()).decode()
        assert line.startswith("listening on "), line
        yield line.split()[-1]
    finally:
        process.kill()
        await process.communicate()


@asynccontextmanager
async def reached(transport: str, repo: Path, home: Path) -> AsyncGenerator[list[str]]:
    """Where a client finds the server."""
    if transport == "stdio":
        yield command(repo)
    else:
        async with http_server(repo, home) as url:
            yield [url]


CELLS = [(transport, mode) for transport in ("stdio", "http") for mode in ("auto", "legacy")]


@pytest.mark.parametrize(("transport", "mode"), CELLS)
async def test_a_scope_is_cancelled(transport: str, mode: Mode, slow: Path, quick: Path, tmp_path: Path) -> None:
    async with reached(transport, slow, tmp_path / "home") as where, client(where, mode) as connected:
        waiting = asyncio.create_task(connected.call_tool("git_status", {"repo": str(slow)}))
        await until_busy(slow)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await assert_gone(slow)
        start = time.monotonic()
        assert (await call(connected, "git_status", repo=str(quick)))["clean"]
        assert time.monotonic() - start < GONE_SECONDS * PATIENCE


@pytest.mark.parametrize(("transport", "mode"), CELLS)
async def test_the_client_is_killed(transport: str, mode: Mode, slow: Path, quick: Path, tmp_path: Path) -> None:
    """A client of 2025 that drops an HTTP connection can't be told from one that comes back: the deadline ends it."""
    unseen = (transport, mode) == ("http", "legacy")
    arguments = json.dumps({"repo": str(slow), "timeout": 2 if unseen else 60})
    async with reached(transport, slow, tmp_path / "home") as where:
        caller = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.integration.mcp_caller", mode, "git_status", arguments, *where, cwd=ROOT,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        await until_busy(slow)
        caller.send_signal(signal.SIGKILL)
        await caller.wait()
        await assert_gone(slow, GONE_SECONDS + (2 if unseen else 0))
        if transport == "http":
            async with client(where, mode) as other:
                assert (await call(other, "git_status", repo=str(quick)))["clean"]


@pytest.mark.parametrize(("transport", "mode"), CELLS)
async def test_a_deadline_passes(transport: str, mode: Mode, slow: Path, quick: Path, tmp_path: Path) -> None:
    async with reached(transport, slow, tmp_path / "home") as where, client(where, mode) as connected:
        result = await connected.call_tool("git_status", {"repo": str(slow), "timeout": 0.5})
        assert result.is_error
        await assert_gone(slow)
        assert (await call(connected, "git_status", repo=str(quick)))["clean"]
