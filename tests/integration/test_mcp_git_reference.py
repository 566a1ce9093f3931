"""The holes that our git server's tests close are open in the reference server, at the version where they were found.

Should one of these fail, the reference has mended it: then say so here, and keep ours closed.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters

from state.limits import TOOL_RESULT_BYTES
from tests.integration.git_repositories import plain, repository, said

REFERENCE = Path(sys.executable).with_name("mcp-server-git")


@asynccontextmanager
async def reference(*arguments: str) -> AsyncGenerator[Client]:
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    async with Client(StdioServerParameters(command=str(REFERENCE), args=list(arguments), env=environment)) as client:
        yield client


async def text(client: Client, tool: str, **arguments: object) -> str:
    return said(await client.call_tool(tool, arguments))


async def test_any_repository_can_be_read(tmp_path: Path) -> None:
    repo = repository(tmp_path / "anywhere")
    async with reference() as client:
        assert "second" in await text(client, "git_log", repo_path=str(repo))


async def test_a_git_file_leads_out(tmp_path: Path) -> None:
    repo, outside = repository(tmp_path / "repo"), repository(tmp_path / "outside")
    (outside / "secret.txt").write_text("a secret of the other\n")
    plain(outside, "add", ".")
    plain(outside, "commit", "--quiet", "-m", "secret")
    (repo / "inner").mkdir()
    (repo / "inner" / ".git").write_text(f"gitdir: {outside}/.git\n")
    async with reference("--repository", str(repo)) as client:
        shown = await text(client, "git_show", repo_path=str(repo / "inner"), revision="HEAD")
    assert "a secret of the other" in shown


@pytest.mark.parametrize("attack", ["fsmonitor", "external diff", "hook", "filter"])
async def test_the_configuration_runs_commands(tmp_path: Path, attack: str) -> None:
    repo, marker, script = repository(tmp_path / "repo"), tmp_path / "ran", tmp_path / "run"
    script.write_text(f"#!/bin/sh\ntouch {marker}\ncat\n")
    script.chmod(0o755)
    name = str(repo)
    plain(repo, "branch", "topic")
    (repo / "a.txt").write_text("changed\n")
    if attack == "fsmonitor":
        plain(repo, "config", "core.fsmonitor", str(script))
        call = ("git_status", {"repo_path": name})
    elif attack == "external diff":
        plain(repo, "config", "diff.external", str(script))
        call = ("git_diff_unstaged", {"repo_path": name})
    elif attack == "hook":
        (repo / ".git" / "hooks").mkdir(exist_ok=True)
        os.link(script, repo / ".git" / "hooks" / "post-checkout")
        call = ("git_checkout", {"repo_path": name, "branch_name": "topic"})
    else:
        plain(repo, "config", "filter.evil.clean", str(script))
        (repo / ".gitattributes").write_text("*.txt filter=evil\n")
        call = ("git_add", {"repo_path": name, "files": ["a.txt"]})
    async with reference("--repository", name) as client:
        await client.call_tool(*call)
    assert marker.exists()


async def test_a_huge_diff_comes_whole(tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo")
    (repo / "a.txt").write_text("".join(f"line {number}\n" for number in range(100_000)))
    async with reference("--repository", str(repo)) as client:
        assert len(await text(client, "git_diff_unstaged", repo_path=str(repo))) > 10 * TOOL_RESULT_BYTES


async def test_a_slow_call_delays_the_others(tmp_path: Path) -> None:
    repo, other = repository(tmp_path / "repo"), repository(tmp_path / "other")
    script = tmp_path / "slow"
    script.write_text("#!/bin/sh\nsleep 2\n")
    script.chmod(0o755)
    plain(repo, "config", "core.fsmonitor", str(script))
    async with reference() as client:
        slow = asyncio.create_task(client.call_tool("git_status", {"repo_path": str(repo)}))
        await asyncio.sleep(0.3)
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)
        start = time.monotonic()
        await text(client, "git_status", repo_path=str(other))
        assert time.monotonic() - start > 1
