"""The git server does what git does, over every transport; and takes back what it can't finish."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Literal

import pytest
from mcp import Client, StdioServerParameters
from mcp.server import MCPServer

from mcp_servers.git.server import git_server
from mcp_servers.manners import Policy
from tests.integration.git_repositories import call, connected, names_in, plain, refusal, repository, said

ATLAS = Path(sys.executable).with_name("atlas")


@pytest.fixture
def server(tmp_path: Path) -> MCPServer[Any]:
    (tmp_path / "roots").mkdir(exist_ok=True)
    return git_server([tmp_path / "roots"], Policy(allow_destructive=True), allow_force=True)


@pytest.fixture
async def client(server: MCPServer[Any]) -> AsyncGenerator[Client]:
    async with connected(server) as found:
        yield found


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return repository(tmp_path / "roots" / "repo")


async def test_status_and_commits(client: Client, repo: Path) -> None:
    name = str(repo)
    (repo / "a.txt").write_text("changed\n")
    (repo / "new ünï\n.txt").write_text("x\n")
    (repo / "b.txt").unlink()
    status = await call(client, "git_status", repo=name)
    assert {each["path"]: each["unstaged"] for each in status["changes"]} == {
        "a.txt": "modified", "b.txt": "deleted", "new ünï\n.txt": "untracked",
    }  # fmt: skip
    assert (status["branch"], status["clean"], status["in_progress"]) == ("main", False, [])
    await call(client, "git_add", repo=name, paths=["a.txt", "new ünï\n.txt"])
    await call(client, "git_unstage", repo=name, paths=["a.txt"])
    moved = await call(client, "git_commit", repo=name, message="third\n\nbody: ünï\n# not a comment")
    assert plain(repo, "log", "-1", "--format=%H %an%n%B").splitlines() == [
        f"{moved['commit']} Test", "third", "", "body: ünï", "# not a comment", "",
    ]  # fmt: skip
    assert "nothing is staged" in await refusal(client, "git_commit", repo=name, message="again")
    log = await call(client, "git_log", repo=name, max_count=2)
    assert [commit["subject"] for commit in log["commits"]] == ["third", "second"]
    plain(repo, "commit", "--quiet", "--allow-empty", "-m", "meanwhile")
    rest = await call(client, "git_log", repo=name, max_count=2, cursor=log["next_cursor"])
    assert [commit["subject"] for commit in rest["commits"]] == ["first"]
    assert rest["next_cursor"] is None
    blame = await call(client, "git_blame", repo=name, path="a.txt", revision="HEAD")
    assert [(line["line"], line["text"]) for line in blame["lines"]] == [(1, "one"), (2, "two")]
    found = await call(client, "git_grep", repo=name, pattern="TW.", ignore_case=True, revision="HEAD")
    assert found["text"] == "HEAD:a.txt:2:two\n"
    assert (await call(client, "git_show", repo=name, revision="HEAD~1:a.txt"))["text"] == "one\ntwo\n"


async def test_a_new_repository_has_a_status(client: Client, tmp_path: Path) -> None:
    empty = tmp_path / "roots" / "empty"
    empty.mkdir(parents=True)
    plain(empty, "init", "--quiet", "--initial-branch=main")
    assert (await call(client, "git_status", repo=str(empty)))["commit"] is None
    assert (await call(client, "git_log", repo=str(empty)))["commits"] == []


async def diverge(client: Client, repo: Path) -> None:
    """main and topic change the same line; main is checked out."""
    plain(repo, "switch", "--quiet", "-c", "topic", "HEAD~1")
    (repo / "a.txt").write_text("topic\n")
    plain(repo, "commit", "--quiet", "-am", "topic")
    plain(repo, "switch", "--quiet", "main")


@pytest.mark.parametrize("how", ["merge", "squash", "rebase", "stash"])
async def test_conflicts_are_an_answer(client: Client, repo: Path, how: str) -> None:
    await diverge(client, repo)
    (repo / "untracked").write_text("mine\n")
    before = plain(repo, "rev-parse", "HEAD")
    if how == "rebase":
        plain(repo, "switch", "--quiet", "topic")
        before = plain(repo, "rev-parse", "HEAD")
        answer = await call(client, "git_rebase", repo=str(repo), onto="main")
    elif how == "stash":
        (repo / "a.txt").write_text("stashed\n")
        await call(client, "git_stash", repo=str(repo))
        plain(repo, "switch", "--quiet", "topic")
        before = plain(repo, "rev-parse", "HEAD")
        answer = await call(client, "git_unstash", repo=str(repo))
        assert len(answer["left"]["stashes"]) == 1
    else:
        answer = await call(client, "git_merge", repo=str(repo), revision="topic", strategy=how)
    assert answer["conflicts"] == ["a.txt"]
    assert plain(repo, "rev-parse", "HEAD") == before
    assert plain(repo, "status", "--porcelain") == "?? untracked\n"
    assert (await call(client, "git_status", repo=str(repo)))["in_progress"] == []


@pytest.mark.parametrize("begun", ["merge", "rebase", "stash"])
async def test_what_another_has_begun_is_not_aborted(client: Client, repo: Path, begun: str) -> None:
    name = str(repo)
    plain(repo, "switch", "--quiet", "--create", "topic", "HEAD~1")
    (repo / "a.txt").write_text("other\n")
    plain(repo, "commit", "--quiet", "-am", "topic")
    plain(repo, "switch", "--quiet", "main")
    if begun == "stash":
        (repo / "a.txt").write_text("stashed\n")
        plain(repo, "stash")
        plain(repo, "reset", "--quiet", "--hard", "topic")
        plain(repo, "stash", "pop", check=False)
    else:
        plain(repo, begun, "topic", check=False)
    (repo / "a.txt").write_text("resolved with care\n")
    before = plain(repo, "status")
    for tool, more in (
        ("git_merge", {"revision": "topic"}), ("git_merge", {"revision": "main", "strategy": "squash"}),
        ("git_rebase", {"onto": "topic"}),
    ):  # fmt: skip
        words = await refusal(client, tool, repo=name, **more)
        assert "which this would throw away" in words
    assert (repo / "a.txt").read_text() == "resolved with care\n"
    assert plain(repo, "status") == before


async def test_merges(client: Client, repo: Path) -> None:
    name = str(repo)
    await call(client, "git_switch", repo=name, name="topic", create=True)
    (repo / "c.txt").write_text("c\n")
    await call(client, "git_add", repo=name, everything=True)
    tip = await call(client, "git_commit", repo=name, message="c")
    await call(client, "git_switch", repo=name, name="main")
    merged = await call(client, "git_merge", repo=name, revision="topic")
    assert (merged["outcome"], merged["commit"]) == ("fast-forward", tip["commit"])
    assert (await call(client, "git_merge", repo=name, revision="topic"))["outcome"] == "up to date"
    await call(client, "git_reset", repo=name, revision="HEAD~1", mode="soft")
    assert (await call(client, "git_status", repo=name))["changes"][0]["staged"] == "added"
    assert "throws changes away" in await refusal(client, "git_reset", repo=name, mode="hard")
    await call(client, "git_reset_hard", repo=name)
    squashed = await call(client, "git_merge", repo=name, revision="topic", strategy="squash")
    assert squashed["outcome"] == "squashed"
    await call(client, "git_commit", repo=name, message="squashed")
    joined = await call(client, "git_merge", repo=name, revision="topic", strategy="merge", message="joined")
    assert joined["outcome"] == "merged"
    assert plain(repo, "log", "-1", "--format=%s %P").split()[0] == "joined"


async def test_transfers(client: Client, repo: Path, tmp_path: Path) -> None:
    origin = tmp_path / "roots" / "origin.git"
    plain(repo, "clone", "--quiet", "--bare", str(repo), str(origin))
    cloned = await call(client, "git_clone", url=f"file://{origin}", into=str(tmp_path / "roots" / "clone"))
    clone = Path(cloned["repo"])
    plain(clone, "config", "user.name", "T")
    plain(clone, "config", "user.email", "t@x")
    (clone / "c.txt").write_text("c\n")
    await call(client, "git_add", repo=str(clone), everything=True)
    tip = (await call(client, "git_commit", repo=str(clone), message="c"))["commit"]
    assert (await call(client, "git_push", repo=str(clone), branch="main"))["commit"] == tip
    assert plain(origin, "rev-parse", "main").strip() == tip
    plain(repo, "remote", "add", "origin", str(origin))
    assert (await call(client, "git_pull", repo=str(repo)))["commit"] == tip
    await call(client, "git_reset_hard", repo=str(clone), revision="HEAD~1")
    await call(client, "git_commit", repo=str(clone), message="other", allow_empty=True)
    assert "was refused" in await refusal(client, "git_push", repo=str(clone), branch="main")
    plain(repo, "commit", "--quiet", "--allow-empty", "-m", "unseen")
    plain(repo, "push", "--quiet", "origin", "main")
    assert "was refused" in await refusal(client, "git_push", repo=str(clone), branch="main", force=True)
    fetched = await call(client, "git_fetch", repo=str(clone))
    assert fetched["updated"] == ["origin/main"]
    assert (await call(client, "git_push", repo=str(clone), branch="main", force=True))["ref"] == "refs/heads/main"
    assert (await call(client, "git_push", repo=str(clone), branch="main"))["outcome"]


async def test_what_the_policy_offers(tmp_path: Path) -> None:
    async def names(policy: Policy) -> set[str]:
        async with Client(git_server([tmp_path], policy)) as client:
            tools = (await client.list_tools()).tools
            assert all(tool.annotations and tool.output_schema and tool.title for tool in tools)
            return {tool.name for tool in tools}

    looking, changing = await names(Policy(read_only=True)), await names(Policy())
    everything = await names(Policy(allow_destructive=True))
    assert looking < changing < everything
    assert not {name for name in looking if name in ("git_add", "git_fetch", "git_clone", "git_push")}
    assert everything - changing == {
        "git_restore", "git_reset_hard", "git_delete_branch", "git_delete_tag", "git_drop_stash", "git_remove_worktree",
    }  # fmt: skip


async def test_a_cancelled_change_leaves_no_lock(client: Client, repo: Path) -> None:
    (repo / ".git" / "HEAD.lock").write_text("somebody else's, and older\n")
    for number in range(400):
        (repo / f"file {number}").write_text(f"{number}\n" * 20_000)
    adding = asyncio.create_task(client.call_tool("git_add", {"repo": str(repo), "everything": True}))
    while not (repo / ".git" / "index.lock").exists() and not adding.done():  # noqa: ASYNC110  nothing tells of a lock file
        await asyncio.sleep(0.001)
    assert not adding.done(), "too quick to be cancelled"
    (theirs := repo / ".git" / "refs" / "heads" / "theirs.lock").write_text("somebody else's, who has it not open\n")
    adding.cancel()
    await asyncio.gather(adding, return_exceptions=True)
    assert (await call(client, "git_status", repo=str(repo), timeout=30))["changes"]
    await call(client, "git_add", repo=str(repo), paths=["file 1"])
    assert names_in(repo / ".git").count("HEAD.lock") == 1
    assert theirs.exists()


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_over_stdio(repo: Path, tmp_path: Path, mode: Literal["auto", "legacy"]) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "ATLAS_HOME": str(tmp_path / "home")}
    command = StdioServerParameters(command=str(ATLAS), args=["mcp", "git", "--root", str(repo)], env=environment)
    async with Client(command, mode=mode) as client:
        assert (await call(client, "git_status", repo="."))["clean"]
        assert "outside" in await refusal(client, "git_status", repo="/")


async def test_transfers_tell_how_far_they_are(tmp_path: Path) -> None:
    origin = repository(tmp_path / "roots" / "origin")
    plain(origin, "checkout", "--quiet", "--detach")
    for number in range(50):
        (origin / f"file {number}").write_text(f"{number}\n" * 1_000)
    plain(origin, "add", ".")
    plain(origin, "commit", "--quiet", "-m", "more")
    plain(origin, "branch", "more")
    clone = tmp_path / "roots" / "clone"
    heard: list[tuple[float, str]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, message or ""))

    async with connected(git_server([tmp_path / "roots"], Policy())) as client:

        async def told(tool: str, **arguments: str) -> None:
            heard.clear()
            result = await client.call_tool(tool, arguments, progress_callback=hear)
            assert not result.is_error, said(result)
            assert [progress for progress, _ in heard] == sorted({progress for progress, _ in heard})
            assert not heard or ": 100% (" in heard[-1][1]

        await told("git_clone", url=str(origin), into=str(clone), branch="main")
        assert heard
        (clone / "new").write_text("new\n" * 1_000)
        plain(clone, "add", ".")
        plain(clone, "commit", "--quiet", "-m", "new")
        plain(clone, "switch", "--quiet", "--create", "topic")
        await told("git_fetch", repo=str(clone))
        await told("git_push", repo=str(clone), branch="topic")
        assert heard
        assert "git_fetch: " not in await refusal(client, "git_fetch", repo=str(clone), remote="nowhere")
        broken = await refusal(client, "git_clone", url=str(origin), into=f"{clone}-2", branch="absent")
        assert "absent" in broken
        assert "Cloning into" not in broken


async def test_errors_say_what_to_do(client: Client, repo: Path, tmp_path: Path) -> None:
    name = str(repo)
    plain(repo, "switch", "--quiet", "--create", "topic", "HEAD~1")
    (repo / "b.txt").write_text("topic\n")
    plain(repo, "commit", "--quiet", "-am", "topic")
    assert 'strategy="merge"' in await refusal(client, "git_merge", repo=name, revision="main")
    assert "The repository has none" in await refusal(client, "git_fetch", repo=name)
    plain(repo, "remote", "add", "up", "https://example.org/x")
    assert "There are: up." in await refusal(client, "git_fetch", repo=name)
    empty = tmp_path / "roots" / "empty"
    empty.mkdir()
    assert "git_clone" in await refusal(client, "git_status", repo=str(empty))
    plain(empty, "init", "--quiet")
    assert (await call(client, "git_log", repo=str(empty)))["commits"] == []
    assert "bad revision" in await refusal(client, "git_log", repo=str(empty), revision="nothing")
    (empty / "x").write_text("x")
    await call(client, "git_add", repo=str(empty), everything=True)
    assert "user.email" in await refusal(client, "git_commit", repo=str(empty), message="x", author="A <a@b.c>")
    assert "can't be made" in await refusal(client, "git_clone", url=name, into=str(tmp_path / "roots" / "a" / "b"))
    assert "exists already" in await refusal(client, "git_clone", url=name, into=str(empty))
    assert "not a path" in await refusal(client, "git_diff", repo=name, paths=["a\0b"])
    assert "more arguments" in await refusal(client, "git_diff", repo=name, paths=["x" * 1_000] * 3_000)


async def test_a_page_is_never_of_something_else(client: Client, repo: Path) -> None:
    (repo / "a.txt").write_text("".join(f"line {number}\n" for number in range(20_000)))
    first = await call(client, "git_diff", repo=str(repo))
    second = await call(client, "git_diff", repo=str(repo), cursor=first["next_cursor"])
    assert second["text"].splitlines()[0].startswith("+line ")
    said = await refusal(client, "git_diff", repo=str(repo), cursor=first["next_cursor"], compare="staged")
    assert "not what the page before" in said
    (repo / "a.txt").write_text("".join(f"row {number}\n" for number in range(20_000)))
    assert "has changed" in await refusal(client, "git_diff", repo=str(repo), cursor=first["next_cursor"])
    assert "not a cursor" in await refusal(client, "git_diff", repo=str(repo), cursor="x.y")
    assert "has changed" in await refusal(client, "git_diff", repo=str(repo), cursor="100")
