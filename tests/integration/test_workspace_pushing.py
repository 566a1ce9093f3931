"""The only way out: what arrives at a remote, and what does not run on the way there."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from mcp_servers.git.pinning import pin
from mcp_servers.git.program import GitError
from mcp_servers.git.workspace.pushing import Sent, push
from mcp_servers.git.workspace.repository import RunRepository
from mcp_servers.git.workspace.worktree import Worktree
from mcp_servers.storage.artifacts import Artifacts
from mcp_servers.storage.stores import ObjectStores
from state.errors import InputError
from tests.integration.git_repositories import plain

BRANCH = "atlas/result"


class Ground:
    """A repository with two commits and a bare remote, and a run that has changed a file."""

    def __init__(self, tmp_path: Path) -> None:
        self.path = tmp_path
        self.source, self.remote = tmp_path / "source", tmp_path / "remote.git"
        plain(tmp_path, "init", "--quiet", "--bare", "remote.git")
        plain(tmp_path, "init", "--quiet", "--initial-branch=main", "source")
        for name in ("one", "two"):
            (self.source / name).write_text(name)
            plain(self.source, "add", ".")
            plain(self.source, "commit", "--quiet", "-m", name)
        plain(self.source, "remote", "add", "origin", "../remote.git")

    async def run(self) -> tuple[RunRepository, str, str]:
        """(the run's repository, where it began, its head)"""
        artifacts = Artifacts(ObjectStores(), f"file://{self.path}/artifacts/", scratch=self.path)
        pinned = await pin(str(self.source), None, artifacts, scratch=self.path)
        repository = await RunRepository.open(self.path / "run", pinned.oid, pinned.digest, artifacts)
        tree = await Worktree.create(repository, pinned.oid, self.path / "tree")
        (tree.directory / "three").write_text("three")
        head = (await tree.snapshot()).commit
        return repository, pinned.oid, head

    async def push(self, remote: str = "origin", branch: str = BRANCH, source: str = "") -> Sent:
        repository, pinned, head = await self.run()
        scratch = self.path / "scratch"
        scratch.mkdir(exist_ok=True)
        return await push(
            repository, head, pinned=pinned, source=source or str(self.source), remote=remote, branch=branch,
            scratch=scratch,
        )  # fmt: skip

    def log(self, repository: Path, ref: str = BRANCH) -> list[str]:
        return plain(repository, "log", "--format=%s", ref).split()


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


async def test_the_branch_arrives_with_all_of_its_history(ground: Ground) -> None:
    sent = await ground.push()
    assert sent.oid == plain(ground.remote, "rev-parse", BRANCH).strip()
    assert ground.log(ground.remote)[1:] == ["two", "one"]
    assert plain(ground.remote, "show", f"{BRANCH}:three") == "three"


async def test_to_the_repository_itself_without_touching_what_is_checked_out(ground: Ground) -> None:
    await ground.push(".")
    assert len(ground.log(ground.source)) == 3
    assert plain(ground.source, "status", "--porcelain") == ""
    assert plain(ground.source, "branch", "--show-current").strip() == "main"


async def test_by_path(ground: Ground) -> None:
    await ground.push(str(ground.remote))
    assert len(ground.log(ground.remote)) == 3


@pytest.mark.parametrize("branch", ["../x", "a..b", "a b", "-x", "x.lock", "a~1", ""])
async def test_names_that_are_none_for_a_branch(ground: Ground, branch: str) -> None:
    with pytest.raises((InputError, GitError)):
        await ground.push(branch=branch)
    assert plain(ground.remote, "for-each-ref") == ""


@pytest.mark.parametrize("remote", ["upstream", "ext::sh -c touch% /tmp/x", "--upload-pack=x", "http://127.0.0.1/x"])
async def test_remotes_that_are_none(ground: Ground, remote: str) -> None:
    with pytest.raises((InputError, GitError)):
        await ground.push(remote)


async def test_what_is_there_already_is_not_overwritten(ground: Ground) -> None:
    other = ground.path / "other"
    plain(ground.path, "init", "--quiet", "other")
    (other / "x").write_text("x")
    plain(other, "add", ".")
    plain(other, "commit", "--quiet", "-m", "others")
    plain(other, "push", "--quiet", str(ground.remote), f"HEAD:refs/heads/{BRANCH}")
    with pytest.raises(GitError, match="refused"):
        await ground.push()
    assert ground.log(ground.remote) == ["others"]


async def test_a_branch_that_is_checked_out_is_not_moved(ground: Ground) -> None:
    with pytest.raises(GitError, match="refused"):
        await ground.push(".", "main")
    assert ground.log(ground.source, "main") == ["two", "one"]


async def test_nothing_that_a_configuration_names_is_run(ground: Ground) -> None:
    witness = ground.path / "witness"
    script = f"#!/bin/sh\ntouch {witness}\n"
    for directory, hook in ((ground.source / ".git", "pre-push"), (ground.remote, "pre-receive")):
        (directory / "hooks").mkdir(exist_ok=True)
        (directory / "hooks" / hook).write_text(script)
        (directory / "hooks" / hook).chmod(0o755)
    for key in ("core.sshCommand", "core.fsmonitor", "credential.helper"):
        plain(ground.source, "config", key, f"touch {witness}")
    plain(ground.source, "config", "remote.origin.receivepack", f"touch {witness};git-receive-pack")
    plain(ground.source, "config", f"url.ext::sh -c touch% {witness} .insteadOf", "../remote.git")
    await ground.push()
    assert not witness.exists()
    assert len(ground.log(ground.remote)) == 3


async def test_from_another_worker_the_remote_must_have_what_came_before(ground: Ground) -> None:
    plain(ground.source, "push", "--quiet", "origin", "main")
    repository, pinned, head = await ground.run()
    await asyncio.to_thread(subprocess.run, ["rm", "-rf", str(ground.source)], check=True)
    sent = await push(
        repository, head, pinned=pinned, source=str(ground.source), remote=str(ground.remote), branch=BRANCH,
        scratch=ground.path,
    )  # fmt: skip
    assert sent.oid == head
    assert len(ground.log(ground.remote)) == 3
