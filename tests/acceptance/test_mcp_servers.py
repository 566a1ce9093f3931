"""`atlas mcp …` as a client starts it: what it offers over stdio and HTTP, and what it refuses to start with."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.types import Tool

ATLAS = Path(sys.executable).with_name("atlas")
Mode = Literal["auto", "legacy"]
MODES: list[Mode] = ["auto", "legacy"]
TOKEN = "a-token-for-tests"


def environment(home: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(home), "ATLAS_HOME": str(home / "atlas"), "LANG": "C.UTF-8"}


def arguments(server: str, root: Path) -> list[str]:
    given = {"git": ["--root", str(root)], "s3": ["--allow", "s3://bucket/team", "--root", str(root)], "container": []}
    return ["mcp", server, *given[server]]


async def tools_over_stdio(server: str, root: Path, mode: Mode, *more: str) -> Sequence[Tool]:
    command = StdioServerParameters(
        command=str(ATLAS), args=[*arguments(server, root), *more], env=environment(root), cwd=str(root)
    )
    async with Client(command, mode=mode) as client:
        return (await client.list_tools()).tools


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("server", ["git", "s3", "container"])
async def test_over_stdio(tmp_path: Path, server: str, mode: Mode) -> None:
    tools = await tools_over_stdio(server, tmp_path, mode, "--allow-destructive")
    assert len(tools) >= 10
    for tool in tools:
        assert tool.name.startswith(f"{server}_")
        assert tool.title
        assert tool.description
        assert tool.output_schema
        assert tool.annotations
        assert "timeout" in tool.input_schema["properties"]
        for name, schema in tool.input_schema["properties"].items():
            assert schema.get("description") or schema.get("title"), (tool.name, name)
    reading = await tools_over_stdio(server, tmp_path, mode, "--read-only")
    assert {tool.name for tool in reading} < {tool.name for tool in tools}
    assert all(tool.annotations and tool.annotations.read_only_hint for tool in reading)


@asynccontextmanager
async def over_http(server: str, root: Path) -> AsyncGenerator[tuple[str, asyncio.subprocess.Process]]:
    process = await asyncio.create_subprocess_exec(
        ATLAS, *arguments(server, root), "--http", "0", env={**environment(root), "ATLAS_TOKEN": TOKEN},
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr
    try:
        async with asyncio.timeout(30):
            line = (await process.stderr.readline()).decode()
        assert line.startswith("listening on http://127.0.0.1:"), line
        yield line.split()[-1], process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.parametrize("server", ["git", "s3", "container"])
async def test_over_http(tmp_path: Path, server: str) -> None:
    async with over_http(server, tmp_path) as (url, process):
        async with httpx2.AsyncClient() as http:
            assert (await http.post(url, json={})).status_code == 401
        for mode in MODES:
            async with (
                httpx2.AsyncClient(headers={"Authorization": f"Bearer {TOKEN}"}) as http,
                Client(streamable_http_client(url, http_client=http), mode=mode) as client,
            ):
                assert (await client.list_tools()).tools
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            assert await process.wait() in (0, -signal.SIGTERM)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["git"], "--root"),
        (["git", "--root", "/nope"], "is not a directory"),
        (["s3"], "--allow"),
        (["s3", "--allow", "file:///x"], "is not an S3 location"),
        (["s3", "--allow", "s3://b", "--root", "/nope"], "is not a directory"),
        (["git", "--root", ".", "--http", "0", "--host", "0.0.0.0"], "no token is required"),  # noqa: S104
        (["git", "--root", ".", "--http", "0", "--token-file", "/nope"], "can't be read"),
        (["git", "--root", ".", "--http", "99999"], "less than or equal to 65535"),
    ],
)
def test_what_it_refuses_to_start_with(tmp_path: Path, given: list[str], words: str) -> None:
    done = subprocess.run(
        [ATLAS, "mcp", *given], env=environment(tmp_path), cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout


@pytest.fixture
def unnamed(tmp_path: Path) -> Path:
    """A repository that names nobody, of an operator whose own configuration does."""
    named = "[user]\n\tname = Op Erator\n\temail = op@example.org\n[core]\n\teditor = evil\n"
    (tmp_path / ".gitconfig").write_text(named)
    subprocess.run(["git", "init", "--quiet", tmp_path / "repo"], env=environment(tmp_path), check=True)
    (tmp_path / "repo" / "a").write_text("a")
    return tmp_path / "repo"


async def test_the_operator_commits_and_a_killed_server_leaves_no_file(tmp_path: Path, unnamed: Path) -> None:
    (tmp_path / "tmp").mkdir()
    process = await asyncio.create_subprocess_exec(
        ATLAS, *arguments("git", tmp_path), "--http", "0", env=environment(tmp_path) | {"TMPDIR": f"{tmp_path}/tmp"},
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr
    url = (await process.stderr.readline()).decode().split()[-1]
    async with Client(streamable_http_client(url)) as client:
        for tool, more in (("git_add", {"everything": True}), ("git_commit", {"message": "one"})):
            assert not (await client.call_tool(tool, {"repo": str(unnamed), **more})).is_error
        log = await client.call_tool("git_log", {"repo": str(unnamed)})
    assert log.structured_content
    assert log.structured_content["commits"][0]["email"] == "op@example.org"
    process.kill()
    await process.communicate()
    assert list((tmp_path / "tmp").iterdir()) == []
