"""What repositories and clients may try with the git server, each shown to work on plain git or a naive look."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from mcp import Client

from mcp_servers.git.server import git_server
from mcp_servers.manners import Policy
from state.errors import SettingsError
from state.limits import TOOL_RESULT_BYTES
from tests.integration.git_repositories import call, connected, names_in, plain, refusal, repository


@pytest.fixture
async def client(tmp_path: Path) -> AsyncGenerator[Client]:
    (tmp_path / "roots").mkdir()
    server = git_server([tmp_path / "roots"], Policy(allow_destructive=True))
    async with connected(server) as client:
        yield client


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return repository(tmp_path / "roots" / "repo")


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    return repository(tmp_path / "outside")


async def exercise(client: Client, repo: Path) -> None:
    """Every kind of call that makes git look, convert, merge or check out."""
    name = str(repo)
    (repo / "a.txt").write_text("one\ntwo\nthree\n")
    await call(client, "git_status", repo=name)
    for compare in ("unstaged", "all"):
        await call(client, "git_diff", repo=name, compare=compare)
    await call(client, "git_add", repo=name, everything=True)
    await call(client, "git_diff", repo=name, compare="staged")
    await call(client, "git_commit", repo=name, message="third")
    await call(client, "git_log", repo=name, paths=["a.txt"])
    await call(client, "git_show", repo=name, revision="HEAD")
    await call(client, "git_show", repo=name, revision="HEAD:a.txt")
    await call(client, "git_blame", repo=name, path="a.txt")
    await call(client, "git_grep", repo=name, pattern="t")
    await call(client, "git_switch", repo=name, name="topic", create=True, revision="HEAD~1")
    (repo / "a.txt").write_text("zero\none\ntwo\n")
    await call(client, "git_add", repo=name, paths=["a.txt"])
    await call(client, "git_commit", repo=name, message="topic")
    await call(client, "git_merge", repo=name, revision="main", strategy="merge")
    await call(client, "git_switch", repo=name, name="main")
    await call(client, "git_create_tag", repo=name, name="v1", message="a tag")
    (repo / "b.txt").write_text("changed\n")
    await call(client, "git_stash", repo=name)
    await call(client, "git_unstash", repo=name)
    await call(client, "git_restore", repo=name, paths=["b.txt"])
    await call(client, "git_switch", repo=name, name="other", create=True, revision="HEAD~1")
    (repo / "c.txt").write_text("c\n")
    await call(client, "git_add", repo=name, everything=True)
    await call(client, "git_commit", repo=name, message="other")
    await call(client, "git_rebase", repo=name, onto="main")
    await call(client, "git_add_worktree", repo=name, path=str(repo.parent / "tree"), revision="main~1")
    await call(client, "git_clone", url=name, into=str(repo.parent / "clone"))
    await call(client, "git_fetch", repo=str(repo.parent / "clone"))
    await call(client, "git_reset_hard", repo=name, revision="HEAD~1")


ATTACKS: dict[str, tuple[list[tuple[str, str]], str]] = {
    "fsmonitor": ([("core.fsmonitor", "{run}")], "status"),
    "external diff": ([("diff.external", "{run}")], "diff HEAD~1"),
    "diff driver": ([("diff.evil.command", "{run}")], "diff HEAD~1"),
    "textconv": ([("diff.evil.textconv", "{run}")], "diff HEAD~1"),
    "clean filter": ([("filter.evil.clean", "{run}; cat"), ("filter.evil.required", "true")], "add a.txt"),
    "smudge filter": ([("filter.evil.smudge", "{run}; cat")], "checkout HEAD~1 -- a.txt"),
    "process filter": ([("filter.evil.process", "{run}")], "add a.txt"),
    "a filter with an odd name": ([("filter.a=b.c.clean", "{run}; cat")], "add a.txt"),
    "merge driver": ([("merge.evil.driver", "{run}")], ""),
    "hooks": ([("core.hooksPath", "{hooks}")], "checkout -q HEAD~1"),
    "pager": ([("core.pager", "{run}"), ("pager.log", "{run}"), ("pager.blame", "{run}")], ""),
    "editor": ([("core.editor", "{run}"), ("sequence.editor", "{run}")], "commit --amend"),
    "signing": ([("commit.gpgSign", "true"), ("tag.gpgSign", "true"), ("gpg.program", "{run}")],
                "commit --allow-empty -mx"),
    "showing signatures": ([("log.showSignature", "true"), ("gpg.program", "{run}")], ""),
    "include": ([("include.path", "{included}")], "status"),
    "transfers": ([("core.sshCommand", "{run}"), ("remote.origin.uploadpack", "{run}"), ("core.gitProxy", "{run}"),
                   ("credential.helper", "!{run}"), ("core.askPass", "{run}")], ""),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
async def test_a_repository_runs_nothing(client: Client, repo: Path, tmp_path: Path, attack: str) -> None:
    settings, trigger = ATTACKS[attack]
    marker = tmp_path / "ran"
    script = tmp_path / "run"
    script.write_text(f"#!/bin/sh\ndate >> {marker}\n")
    script.chmod(0o755)
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for hook in ("post-checkout", "pre-commit", "post-merge", "post-rewrite", "reference-transaction", "pre-push"):
        os.link(script, hooks / hook)
    included = tmp_path / "included"
    included.write_text(f"[core]\n\tfsmonitor = {script}\n")
    names = ("evil", "a=b.c")
    (repo / ".gitattributes").write_text(
        "*.txt " + " ".join(f"filter={n} diff={n} merge={n}" for n in names[:1]) + "\n"
    )
    if "odd name" in attack:
        (repo / ".gitattributes").write_text("*.txt filter=a=b.c\n")
    plain(repo, "add", ".gitattributes")
    plain(repo, "commit", "--quiet", "-m", "attributes")
    for key, value in settings:
        plain(repo, "config", key, value.format(run=script, hooks=hooks, included=included))
    if trigger:
        (repo / "a.txt").write_text("changed\n")
        plain(repo, *trigger.split(), check=False)
        assert marker.exists(), "plain git was expected to run it: this test could not fail"
        marker.unlink()
        plain(
            repo,
            "-c",
            "core.fsmonitor=false",
            "-c",
            "core.hooksPath=/dev/null",
            "checkout",
            "-q",
            "-f",
            "main",
            check=False,
        )
        plain(
            repo, "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "reset", "-q", "--hard", check=False
        )
        marker.unlink(missing_ok=True)
    await exercise(client, repo)
    assert not marker.exists(), marker.read_text()


async def test_only_repositories_below_the_roots(client: Client, repo: Path, outside: Path) -> None:
    for name in (str(outside), f"{repo}/../../outside", "/", "/etc", "../outside"):
        assert "outside the directories" in await refusal(client, "git_status", repo=name)
    assert "not in a git repository" in await refusal(client, "git_status", repo=str(repo.parent))
    for name in ("", "x\0y"):
        assert "not a path" in await refusal(client, "git_status", repo=name)
    assert "not a directory" in await refusal(client, "git_status", repo=str(repo / "a.txt"))


async def test_a_git_file_that_points_outside(client: Client, repo: Path, outside: Path) -> None:
    inner = repo / "inner"
    inner.mkdir()
    (inner / ".git").write_text(f"gitdir: {outside}/.git\n")
    assert "b.txt" in plain(inner, "ls-tree", "HEAD"), "plain git was expected to follow it"
    for tool in ("git_status", "git_log"):
        assert "refused: its git directory" in await refusal(client, tool, repo=str(inner))


@pytest.mark.parametrize("part", ["objects", "refs", "HEAD", "config", "index"])
async def test_parts_of_a_repository_that_lie_outside(client: Client, repo: Path, outside: Path, part: str) -> None:
    target = repo / ".git" / part
    target.rename(target.with_name(f"{part}.old"))
    target.symlink_to(outside / ".git" / part)
    assert "refused" in await refusal(client, "git_log", repo=str(repo))


async def test_a_git_directory_behind_a_link(client: Client, repo: Path, outside: Path) -> None:
    (repo / ".git").rename(repo / "old")
    (repo / ".git").symlink_to(outside / ".git")
    assert "refused" in await refusal(client, "git_log", repo=str(repo))
    (repo.parent / "link").symlink_to(outside)
    assert "outside the directories" in await refusal(client, "git_log", repo=str(repo.parent / "link"))


async def test_borrowed_objects_and_shared_directories(client: Client, repo: Path, outside: Path) -> None:
    secret = plain(outside, "rev-parse", "HEAD").strip()
    (repo / ".git" / "objects" / "info" / "alternates").write_text(f"{outside}/.git/objects\n")
    assert "second" in plain(repo, "show", secret), "plain git was expected to borrow it"
    assert "borrows from" in await refusal(client, "git_show", repo=str(repo), revision=secret)
    (repo / ".git" / "objects" / "info" / "alternates").unlink()
    (repo / ".git" / "commondir").write_text(f"{outside}/.git\n")
    assert "that it shares" in await refusal(client, "git_show", repo=str(repo), revision=secret)


async def test_a_work_tree_elsewhere(client: Client, repo: Path, outside: Path) -> None:
    (outside / "secret.txt").write_text("secret\n")
    plain(repo, "config", "core.worktree", str(outside))
    assert "secret.txt" in plain(repo, "status", "--porcelain"), "plain git was expected to follow it"
    status = await call(client, "git_status", repo=str(repo))
    assert status["clean"]


async def test_a_fifo_makes_nobody_wait(client: Client, repo: Path) -> None:
    inner = repo / "inner"
    inner.mkdir()
    os.mkfifo(inner / ".git")
    assert await refusal(client, "git_status", repo=str(inner), timeout=5)


INJECTIONS = ["--output=/tmp/stolen", "-O/etc/passwd", "--upload-pack=touch x", "-", "--", "--help", "\n", "a\x07b"]


@pytest.mark.parametrize("text", INJECTIONS)
async def test_no_argument_becomes_an_option(client: Client, repo: Path, text: str) -> None:
    name = str(repo)
    before = names_in(repo)
    for tool, arguments in (
        ("git_diff", {"revisions": [text]}), ("git_log", {"revision": text}), ("git_show", {"revision": text}),
        ("git_blame", {"path": "a.txt", "revision": text}), ("git_grep", {"pattern": "x", "revision": text}),
        ("git_switch", {"name": text}), ("git_switch", {"name": text, "create": True}),
        ("git_merge", {"revision": text}),
        ("git_create_branch", {"name": text}), ("git_create_branch", {"name": "n", "revision": text}),
        ("git_delete_branch", {"name": text}), ("git_create_tag", {"name": text}), ("git_reset", {"revision": text}),
        ("git_rebase", {"onto": text}), ("git_fetch", {"remote": text}), ("git_push", {"branch": text}),
        ("git_clone", {"url": text, "into": str(repo.parent / "new")}), ("git_add", {"paths": [text]}),
        ("git_add_worktree", {"path": str(repo.parent / "new"), "revision": text}),
        ("git_clone", {"url": name, "into": str(repo.parent / "new"), "branch": text}),
    ):  # fmt: skip
        words = await refusal(client, tool, repo=name, **arguments) if tool != "git_clone" else await refusal(
            client, tool, **arguments
        )  # fmt: skip
        assert "usage:" not in words, (tool, words)
    assert "stolen" not in names_in(Path("/tmp"))
    assert names_in(repo) == before
    assert not (repo.parent / "new").exists()


async def test_paths_stay_inside(client: Client, repo: Path, outside: Path) -> None:
    (repo / "link").symlink_to(outside)
    for path in ("../../outside/a.txt", str(outside / "a.txt"), "link/a.txt", ":(top)../x", "*.txt"):
        await refusal(client, "git_add", repo=str(repo), paths=[path])
    assert (await call(client, "git_status", repo=str(repo)))["changes"] == [
        {"path": "link", "staged": "", "unstaged": "untracked"}
    ]
    for tool, arguments in (
        ("git_add_worktree", {"repo": str(repo), "path": str(outside / "tree"), "revision": "HEAD"}),
        ("git_clone", {"url": str(repo), "into": str(outside / "clone")}),
        ("git_clone", {"url": str(outside), "into": str(repo.parent / "clone")}),
        ("git_clone", {"url": f"file://{outside}", "into": str(repo.parent / "clone")}),
        ("git_remove_worktree", {"repo": str(repo), "path": str(outside)}),
    ):
        assert "outside the directories" in await refusal(client, tool, **arguments)


@pytest.mark.parametrize("url", ["ext::sh -c date", "http://127.0.0.1:1/x", "git://x/y", "ftp://x/y", "::", "-x"])
async def test_urls_that_are_never_fetched_from(client: Client, repo: Path, url: str) -> None:
    await refusal(client, "git_clone", url=url, into=str(repo.parent / "new"))
    plain(repo, "config", "remote.origin.url", url)
    await refusal(client, "git_fetch", repo=str(repo))
    await refusal(client, "git_push", repo=str(repo), branch="main")


async def test_a_configuration_that_sends_transfers_elsewhere(client: Client, repo: Path, outside: Path) -> None:
    other = repository(repo.parent / "other")
    plain(repo, "config", "remote.origin.url", str(other))
    plain(repo, "config", f"url.{outside}.insteadOf", str(other))
    assert "sends transfers elsewhere" in await refusal(client, "git_fetch", repo=str(repo))


async def test_a_huge_diff_comes_in_pages(client: Client, repo: Path) -> None:
    (repo / "a.txt").write_text("".join(f"line {number} of a large file\n" for number in range(200_000)))
    text, cursor, pages = "", None, 0
    while pages < 3 and (pages == 0 or cursor):
        page = await call(client, "git_diff", repo=str(repo), cursor=cursor)
        assert len(page["text"].encode()) <= TOOL_RESULT_BYTES
        assert page["note"]
        text, cursor, pages = text + page["text"], page["next_cursor"], pages + 1
    assert plain(repo, "diff", "--no-color").startswith(text)
    summary = await call(client, "git_diff", repo=str(repo), summary=True)
    assert "200000" in summary["text"].replace(",", "") or "199998" in summary["text"]


async def test_a_slow_call_delays_no_other(client: Client, repo: Path, tmp_path: Path) -> None:
    other = repository(repo.parent / "other")
    fifo = repo / ".git" / "slow"
    os.mkfifo(fifo)
    plain(repo, "config", "--file", str(repo / ".git" / "config"), "include.path", str(fifo))
    slow = asyncio.create_task(client.call_tool("git_status", {"repo": str(repo), "timeout": 30}))
    await asyncio.sleep(0.1)
    start = time.monotonic()
    await call(client, "git_status", repo=str(other))
    assert time.monotonic() - start < 15
    assert not slow.done()
    slow.cancel()
    await asyncio.gather(slow, return_exceptions=True)
    start = time.monotonic()
    await call(client, "git_status", repo=str(other))
    assert time.monotonic() - start < 15


def test_no_root_is_no_server(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no directory is allowed"):
        git_server([], Policy())
    with pytest.raises(SettingsError, match="is not a directory"):
        git_server([tmp_path / "missing"], Policy())
