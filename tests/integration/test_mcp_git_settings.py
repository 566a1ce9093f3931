"""Settings of a repository that name a file: what is outside is neither shown nor quoted in a complaint."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from mcp import Client

from mcp_servers.git.server import git_server
from mcp_servers.manners import Policy
from tests.integration.git_repositories import ENVIRONMENT, connected, plain, repository, said

SECRET = "TOP-SECRET"
TOLD: dict[str, tuple[dict[str, str], str]] = {
    "blame": ({"blame.ignoreRevsFile": "{secret}"}, "blame a.txt"),
    "fetch": ({"fetch.fsckObjects": "true", "fetch.fsck.skipList": "{secret}"}, "fetch origin"),
    "transfer": ({"transfer.fsckObjects": "true", "fetch.fsck.skipList": "{secret}"}, "fetch origin"),
}
"""What plain git quotes the file in."""
READ = (
    "commit.template", "mailmap.file", "diff.orderFile", "format.signatureFile", "core.attributesFile",
    "core.excludesFile", "gpg.ssh.allowedSignersFile", "init.templateDir", "include.path", "core.hooksPath",
)  # fmt: skip


@pytest.fixture
async def client(tmp_path: Path) -> AsyncGenerator[Client]:
    (tmp_path / "roots").mkdir()
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    async with connected(git_server([tmp_path / "roots"], Policy(allow_destructive=True))) as client:
        yield client


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    repo, other = repository(tmp_path / "roots" / "repo"), repository(tmp_path / "roots" / "other")
    plain(repo, "remote", "add", "origin", str(other))
    (other / "c.txt").write_text("c\n")
    plain(other, "add", ".")
    plain(other, "commit", "--quiet", "-m", "more")
    return repo


async def all_that_is_said(client: Client, repo: Path) -> str:
    """By every kind of call, in an order that makes them work."""
    heard: list[str] = []
    name = {"repo": str(repo)}
    (repo / "a.txt").write_text("changed\n")
    for tool, more in (
        ("git_status", {}), ("git_diff", {}), ("git_add", {"everything": True}), ("git_commit", {"message": "third"}),
        ("git_log", {}), ("git_show", {"revision": "HEAD"}), ("git_blame", {"path": "a.txt"}),
        ("git_grep", {"pattern": "c"}), ("git_switch", {"name": "t", "create": True, "revision": "HEAD~1"}),
        ("git_commit", {"message": "empty", "allow_empty": True}), ("git_rebase", {"onto": "main"}),
        ("git_fetch", {}), ("git_merge", {"revision": "origin/main", "strategy": "merge"}),
        ("git_create_tag", {"name": "v1", "message": "one"}), ("git_list_tags", {}), ("git_list_stashes", {}),
        ("git_push", {"branch": "t"}), ("git_log", {"revision": "t"}),
    ):  # fmt: skip
        heard.append(said(await client.call_tool(tool, {**name, **more})))
    heard.append(said(await client.call_tool("git_clone", {"url": str(repo), "into": "clone"})))
    return "\n".join(heard)


@pytest.mark.parametrize("setting", TOLD)
async def test_no_complaint_quotes_a_file(client: Client, repo: Path, tmp_path: Path, setting: str) -> None:
    settings, trigger = TOLD[setting]
    for key, value in settings.items():
        plain(repo, "config", key, value.format(secret=tmp_path / "secret"))
    assert SECRET in complaint(repo, *trigger.split()), "plain git was expected to quote it"
    assert SECRET not in await all_that_is_said(client, repo)


async def test_no_complaint_of_the_other_end_quotes_a_file(client: Client, repo: Path, tmp_path: Path) -> None:
    other = repo.parent / "other"
    plain(other, "config", "receive.fsckObjects", "true")
    plain(other, "config", "receive.fsck.skipList", str(tmp_path / "secret"))
    plain(repo, "commit", "--quiet", "--allow-empty", "-m", "more")
    assert SECRET in complaint(repo, "push", "origin", "main:new"), "plain git was expected to quote it"
    assert SECRET not in await all_that_is_said(client, repo)


@pytest.mark.parametrize("setting", READ)
async def test_no_setting_shows_a_file(client: Client, repo: Path, tmp_path: Path, setting: str) -> None:
    plain(repo, "config", "rebase.backend", "apply")
    plain(repo, "config", setting, str(tmp_path / "secret"))
    assert SECRET not in await all_that_is_said(client, repo)


def complaint(repo: Path, *arguments: str) -> str:
    """What plain git says on stderr."""
    done = subprocess.run(["git", *arguments], cwd=repo, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    return done.stderr


def ran(marker: Path) -> bool:
    return marker.exists()


@pytest.mark.parametrize("way", ["the same size and time", "an include that was missing"])
async def test_a_look_at_the_configuration_is_not_remembered_too_long(
    client: Client, repo: Path, tmp_path: Path, way: str
) -> None:
    marker, config = tmp_path / "ran", repo / ".git" / "config"
    (repo / ".gitattributes").write_text("*.txt filter=odd\n")
    evil = f'[filter "odd"]\n\tclean = touch {marker}; cat\n'
    if way == "an include that was missing":
        plain(repo, "config", "include.path", "later")
    else:
        with config.open("a") as file:
            file.write("#" * (len(evil) - 1) + "\n")
    os.utime(config, (1, 1))
    await asyncio.sleep(0.1)  # the look is settled
    assert not (await client.call_tool("git_status", {"repo": str(repo)})).is_error
    if way == "an include that was missing":
        (repo / ".git" / "later").write_text(evil)
    else:
        content = config.read_text()
        config.write_text(content[: -len(evil)] + evil)
        assert config.stat().st_size == len(content)
        os.utime(config, (1, 1))
    (repo / "a.txt").write_text("changed\n")
    assert not (await client.call_tool("git_add", {"repo": str(repo), "everything": True})).is_error
    assert not ran(marker)
    plain(repo, "-c", "core.fsmonitor=false", "hash-object", "-w", "--path", "a.txt", "b.txt")
    assert ran(marker), "plain git was expected to run it: this test could not fail"
