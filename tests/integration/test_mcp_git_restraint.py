"""What the git server must not take away, or tell, on its way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from mcp import Client

from mcp_servers.git.server import git_server
from mcp_servers.manners import Policy
from tests.integration.git_repositories import call, connected, plain, refusal, repository


@pytest.fixture
async def client(tmp_path: Path) -> AsyncGenerator[Client]:
    (tmp_path / "roots").mkdir()
    async with connected(git_server([tmp_path / "roots"], Policy(allow_destructive=True))) as client:
        yield client


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return repository(tmp_path / "roots" / "repo")


async def test_clones_into_one_place_spare_each_other(client: Client, repo: Path) -> None:
    """The one that comes too late removes nothing."""
    clones = [client.call_tool("git_clone", {"url": str(repo), "into": "clone"}) for _ in range(4)]
    failed = [result.is_error for result in await asyncio.gather(*clones)]
    assert sorted(failed) == [False, True, True, True]
    assert (await call(client, "git_status", repo="clone"))["clean"]


async def test_a_working_tree_that_is_another(client: Client, repo: Path, tmp_path: Path) -> None:
    """git takes the one whose name ends as it was asked, and that name is read from a file."""
    theirs, named = tmp_path / "theirs", repo.parent / "tree"
    plain(repo, "worktree", "add", "--quiet", str(theirs), "-b", "topic")
    way = repo.parent / "way" / str(named).lstrip("/")
    way.parent.mkdir(parents=True)
    way.symlink_to(theirs)
    (repo / ".git" / "worktrees" / "theirs" / "gitdir").write_text(f"{repo.parent}/way/{named}/.git\n")
    for path in (str(named), str(way), str(theirs)):
        await refusal(client, "git_remove_worktree", repo=str(repo), path=path, force=True)
    assert (theirs / "a.txt").exists()
    plain(repo, "worktree", "remove", "--force", str(named), check=False)
    assert not (theirs / "a.txt").exists(), "plain git was expected to empty it: this test could not fail"


async def test_no_password_is_audited(client: Client, repo: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    words = await refusal(client, "git_clone", url="https://me:TOP-SECRET@127.0.0.1:1/x", into="clone")
    assert "git_clone failed" in caplog.text
    assert "TOP-SECRET" not in caplog.text + words
