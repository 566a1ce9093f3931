"""`atlas mcp orchestrator` as a client starts it: a server over stdio that works, and gives back what it has."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from mcp import Client, MCPError, StdioServerParameters

from tests.acceptance.command_line import PATIENCE, Atlas, installation, wait_until

ATLAS = Path(sys.executable).with_name("atlas")
Era = Literal["auto", "legacy"]
ERAS: list[Era] = ["auto", "legacy"]
HELLO = {"atlas": 1, "name": "hello", "sandbox": "host", "todos": [{"id": "greet", "run": "echo hello"}]}


@asynccontextmanager
async def connected(atlas: Atlas, *options: str, era: Era = "auto") -> AsyncGenerator[Client]:
    command = StdioServerParameters(
        command=str(ATLAS), args=["mcp", "orchestrator", *options], env=atlas.environment(), cwd=str(atlas.work)
    )
    async with asyncio.timeout(PATIENCE), Client(command, mode=era) as client:
        yield client


async def called(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert result.structured_content
    return result.structured_content


async def refused(client: Client, tool: str, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    assert result.is_error, result.content
    return " ".join(getattr(each, "text", "") for each in result.content)


def running(gate: Path) -> bool:
    """Whether a command that waits for this file is there."""
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if os.fsencode(gate) in each.read_bytes():
                return True
    return False


@pytest.mark.parametrize("era", ERAS)
async def test_a_plan_is_carried_out(tmp_path: Path, era: Era) -> None:
    with installation(tmp_path) as atlas:
        async with connected(atlas, "--trusted", era=era) as client:
            run = (await called(client, "submit_plan", plan=HELLO))["run"]["id"]
            assert (await called(client, "wait_for_run", run=run))["state"] == "completed"
            assert (await called(client, "get_log", run=run, todo="greet"))["text"] == "hello\n"
        (row,) = atlas("runs", "--json", code=0).rows
        assert (row["id"], row["state"]) == (run, "completed")


async def test_what_runs_when_the_client_goes_is_not_lost(tmp_path: Path) -> None:
    marker, gate = tmp_path / "begun", tmp_path / "gate"
    command = f"echo once >> {marker}; while [ ! -e {gate} ]; do sleep 0.05; done"
    plan = {**HELLO, "todos": [{"id": "wait", "run": command}]}
    with installation(tmp_path) as atlas:
        async with connected(atlas, "--trusted") as client:
            run = (await called(client, "submit_plan", plan=plan))["run"]["id"]
            while not marker.exists() or not marker.read_text():  # noqa: ASYNC110  a process writes it
                await asyncio.sleep(0.01)
            assert running(gate)
        wait_until(lambda: not running(gate), "what ran is gone with the server")
        gate.touch()
        async with connected(atlas, "--trusted") as client:
            assert (await called(client, "wait_for_run", run=run))["state"] == "completed"
            todo = await called(client, "get_todo", run=run, todo="wait")
        assert (todo["attempts"], len(marker.read_text().split())) == (2, 2)


async def test_without_a_worker_it_only_takes(tmp_path: Path) -> None:
    with installation(tmp_path) as atlas:
        async with connected(atlas, "--trusted", "--no-worker") as client:
            run = (await called(client, "submit_plan", plan=HELLO))["run"]["id"]
            assert (await called(client, "wait_for_run", run=run, timeout=1.5))["state"] == "in_progress"


async def test_what_clients_hand_in_is_a_programs(tmp_path: Path) -> None:
    with installation(tmp_path) as atlas:
        async with connected(atlas) as client:
            assert "may not be named" in await refused(client, "submit_plan", plan={**HELLO, "repo": str(tmp_path)})
            run = (await called(client, "submit_plan", plan=HELLO))["run"]["id"]
            assert (await called(client, "wait_for_run", run=run))["state"] == "blocked"
            assert "host" in (await called(client, "get_todo", run=run, todo="greet"))["detail"]


async def test_a_repository_that_may_be_named(tmp_path: Path) -> None:
    with installation(tmp_path) as atlas:
        async with connected(atlas, "--no-worker", "--repository", str(tmp_path)) as client:
            said = await refused(client, "submit_plan", plan={**HELLO, "repo": str(tmp_path / "none")})
            assert "may not be named" not in said


async def test_read_only(tmp_path: Path) -> None:
    with installation(tmp_path) as atlas:
        async with connected(atlas, "--read-only", "--no-worker") as client:
            tools = {tool.name for tool in (await client.list_tools()).tools}
            assert tools == {
                "list_runs", "get_run", "list_todos", "get_todo", "wait_for_run", "get_log", "list_questions",
            }  # fmt: skip
            with pytest.raises(MCPError):
                await client.read_resource("atlas://runs/none")


def test_what_can_not_be_opened_is_said(tmp_path: Path) -> None:
    with installation(tmp_path) as atlas:
        ended = atlas("mcp", "orchestrator", ATLAS_DATABASE_URL="nonsense://x")
        assert ended.code == 2, ended
        assert "ATLAS_DATABASE_URL" in ended.err
        assert "Traceback" not in ended.err
        assert os.fspath(tmp_path) not in ended.out
