"""Ways out of the git server that plain git leaves open: each was open here once. What the repository's files can name,
link to or configure is the attacker's; what lies outside of the roots must stay unread and unwritten."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest
from mcp import Client

from mcp_servers.git.server import git_server
from mcp_servers.manners import Policy
from tests.integration.git_repositories import call, connected, plain, refusal, repository, said

SECRET = "a secret that lies outside"


@pytest.fixture
async def client(tmp_path: Path) -> AsyncGenerator[Client]:
    (tmp_path / "roots").mkdir()
    async with connected(git_server([tmp_path / "roots"], Policy(allow_destructive=True))) as client:
        yield client


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return repository(tmp_path / "roots" / "repo")


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Another's repository, with a secret that is committed."""
    path = repository(tmp_path / "outside")
    (path / "secret.txt").write_text(f"{SECRET}\n")
    plain(path, "add", ".")
    plain(path, "commit", "--quiet", "-m", "secret")
    return path


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """Is there once `run`, beside it, has run."""
    run = tmp_path / "run"
    run.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    run.chmod(0o755)
    return tmp_path / "ran"


def ran(marker: Path) -> bool:
    return marker.exists()


def filtered(repo: Path, config: Path) -> None:
    """A filter for all files, which `config` defines."""
    (repo / ".git" / "info").mkdir(exist_ok=True)
    (repo / ".git" / "info" / "attributes").write_text("* filter=odd\n")
    run = repo
    while not (run / "run").exists():
        run = run.parent
    with config.open("a") as file:
        file.write(f'[filter "odd"]\n\tclean = {run}/run\n\tsmudge = {run}/run\n')


# --- what is read -----------------------------------------------------------------------------------------------------


async def test_a_diff_of_two_files_that_are_not_in_it(client: Client, repo: Path, outside: Path) -> None:
    """git takes two paths, one of them outside, for files to compare, repository or not."""
    large = outside / "large.txt"
    large.write_text(f"{SECRET}\n" * 10_000)
    assert SECRET in plain(repo, "diff", "--", "/dev/null", str(large), check=False), (
        "plain git was expected to show it"
    )
    for paths in (["/dev/null", str(large)], ["a.txt", "../../outside/large.txt"], [str(large), str(large)]):
        assert "outside of the repository" in await refusal(client, "git_diff", repo=str(repo), paths=paths)
    changed = {"repo": str(repo), "revisions": ["HEAD~1", "HEAD"]}
    assert "+two" in (await call(client, "git_diff", **changed, paths=[str(repo / "a.txt")]))["text"]


async def test_a_directory_that_became_a_link(client: Client, repo: Path, outside: Path) -> None:
    (repo / "d").mkdir()
    (repo / "d" / "secret.txt").write_text("tracked\n")
    plain(repo, "add", ".")
    plain(repo, "commit", "--quiet", "-m", "d")
    shutil.rmtree(repo / "d")
    (repo / "d").symlink_to(outside)
    assert SECRET in plain(repo, "grep", "secret"), "plain git was expected to read through it"
    assert SECRET in plain(repo, "blame", "d/secret.txt")
    for tool, more in (("git_grep", {"pattern": "secret"}), ("git_blame", {"path": "d/secret.txt"})):
        assert "symbolic link" in await refusal(client, tool, repo=str(repo), **more)
    found = await call(client, "git_grep", repo=str(repo), pattern="tracked", revision="HEAD")
    assert "d/secret.txt" in found["text"]
    assert (await call(client, "git_grep", repo=str(repo), pattern="two", paths=["a.txt"]))["text"] == "a.txt:2:two\n"


@pytest.mark.parametrize(
    "part", ["objects/??", "refs/heads/x", "worktrees/x/gitdir", "logs/HEAD", "COMMIT_EDITMSG", "MERGE_MSG"]
)
async def test_no_part_of_a_git_directory_leads_out(client: Client, repo: Path, outside: Path, part: str) -> None:
    inside = repo / ".git"
    if part == "objects/??":
        for each in (outside / ".git" / "objects").glob("??"):
            shutil.rmtree(inside / "objects" / each.name, ignore_errors=True)
            (inside / "objects" / each.name).symlink_to(each)
    else:
        (inside / part).unlink(missing_ok=True)
        (inside / part).parent.mkdir(parents=True, exist_ok=True)
        (inside / part).symlink_to(outside / (".git/refs/heads" if "refs" in part else "secret.txt"))
    before = (outside / "secret.txt").read_text()
    for tool, more in (
        ("git_list_worktrees", {}),
        ("git_show", {"revision": f"{plain(outside, 'rev-parse', 'HEAD').strip()}:secret.txt"}),
        ("git_commit", {"message": "evil", "allow_empty": True}),
    ):
        assert "refused: its" in await refusal(client, tool, repo=str(repo), **more)
    assert (outside / "secret.txt").read_text() == before


async def test_links_inside_the_roots_are_followed_and_judged(client: Client, repo: Path, outside: Path) -> None:
    shutil.rmtree(repo / ".git" / "hooks", ignore_errors=True)
    (repo / ".git" / "hooks").symlink_to(outside)  # never read
    store = repo.parent / "store"
    (repo / ".git" / "objects").rename(store)
    (repo / ".git" / "objects").symlink_to(store)
    assert (await call(client, "git_log", repo=str(repo)))["commits"]
    (store / "zz").symlink_to(outside / ".git" / "objects")
    assert "refused: its" in await refusal(client, "git_log", repo=str(repo))
    (store / "zz").unlink()
    assert (await call(client, "git_log", repo=str(repo)))["commits"]


async def test_a_link_is_seen_however_late_it_comes(client: Client, repo: Path, outside: Path) -> None:
    for directory, _, _ in os.walk(repo / ".git"):
        os.utime(directory, (0, 0))
    assert (await call(client, "git_log", repo=str(repo)))["commits"]
    logs = repo / ".git" / "logs" / "refs" / "heads"
    (logs / "new").symlink_to(outside / "secret.txt")
    os.utime(logs, (0, 0))
    assert "refused: its" in await refusal(client, "git_log", repo=str(repo))


@pytest.mark.parametrize("name", ["../../outside/secret.txt", "a/../../../outside/secret.txt", "{outside}/secret.txt"])
async def test_an_index_that_git_did_not_write(client: Client, repo: Path, outside: Path, name: str) -> None:
    """git takes the names in it for verified."""
    assert (await call(client, "git_status", repo=str(repo)))["clean"]
    blob = plain(repo, "rev-parse", "HEAD:b.txt").strip()
    (repo / ".git" / "index").write_bytes(index_of(name.format(outside=outside), blob))
    (repo / "a").mkdir()
    assert SECRET in plain(repo, "diff"), "plain git was expected to show it"
    for tool, more in (
        ("git_diff", {}), ("git_status", {}), ("git_restore", {"paths": ["."]}), ("git_stash", {}),
        ("git_grep", {"pattern": "secret"}), ("git_reset_hard", {}), ("git_add", {"everything": True}),
    ):  # fmt: skip
        assert "which leads out" in await refusal(client, tool, repo=str(repo), **more)
    assert (outside / "secret.txt").read_text() == f"{SECRET}\n"
    (repo / ".git" / "index").unlink()
    await call(client, "git_reset", repo=str(repo))
    assert (await call(client, "git_status", repo=str(repo)))["clean"]


def index_of(name: str, blob: str) -> bytes:
    """An index with one file."""
    path = name.encode()
    entry = struct.pack(">10I", *[0] * 6, 0o100644, 0, 0, 0) + bytes.fromhex(blob) + struct.pack(">H", len(path)) + path
    body = b"DIRC" + struct.pack(">2I", 2, 1) + entry + bytes(8 - len(entry) % 8)
    return body + hashlib.sha1(body).digest()  # noqa: S324  as git has it


@pytest.mark.parametrize("character", [" ", "\x0b", "\x85"])
async def test_names_are_read_as_git_reads_them(client: Client, repo: Path, outside: Path, character: str) -> None:
    """Where git sees one name and a careless reader another, both would be right, each about its own."""
    secret = plain(outside, "rev-parse", "HEAD").strip()
    link = repo.parent / f"plain{character}"
    link.symlink_to(outside / ".git" / "objects")
    (repo.parent / "plain").mkdir()
    listing = repo / ".git" / "objects" / "info" / "alternates"
    listing.write_text(f"{link}\n")
    assert "secret" in plain(repo, "show", secret), "plain git was expected to borrow it"
    assert "borrows from" in await refusal(client, "git_show", repo=str(repo), revision=secret)
    listing.write_text("#\n" * 600_000 + f"{outside}/.git/objects\n")
    assert "alternates" in await refusal(client, "git_show", repo=str(repo), revision=secret)
    listing.unlink()
    shared = repository(repo.parent / "other")
    shared.rename(repo.parent / "shared")
    (repo.parent / f"shared{character}").symlink_to(outside / ".git")
    (repo / ".git" / "commondir").write_text(f"{repo.parent}/shared{character}\n")
    assert "refused" in await refusal(client, "git_show", repo=str(repo), revision=secret)


async def test_a_git_directory_in_a_git_directory(client: Client, repo: Path, outside: Path) -> None:
    """git, asked to clone ``x/.git``, tries ``x/.git/.git`` first."""
    (repo / ".git" / ".git").write_text(f"gitdir: {outside}/.git\n")
    plain(repo.parent, "clone", "--quiet", f"file://{repo}/.git", "plain")
    assert (repo.parent / "plain" / "secret.txt").exists(), "plain git was expected to take it from there"
    assert "of its own" in await refusal(client, "git_clone", url=str(repo), into="clone")


async def test_a_bare_repository_with_a_work_tree_elsewhere(client: Client, repo: Path, outside: Path) -> None:
    evil = repo.parent / "evil.git"
    (repo / ".git").rename(evil)
    plain(evil, "config", "core.worktree", str(outside))
    shown = plain(evil, f"--git-dir={evil}", "status", "--porcelain")
    assert "secret.txt" in shown, "plain git was expected to follow it"
    for tool, more in (
        ("git_status", {}), ("git_add", {"everything": True}), ("git_reset_hard", {}), ("git_grep", {"pattern": "x"})
    ):  # fmt: skip
        assert "core.worktree" in await refusal(client, tool, repo=str(evil), **more)
    assert (outside / "secret.txt").exists()
    plain(repo.parent, "init", "--quiet", "--bare", "bare")
    assert (await call(client, "git_list_branches", repo="bare"))["branches"] == []


async def test_a_merge_reads_no_message_from_elsewhere(client: Client, repo: Path, outside: Path) -> None:
    plain(repo, "switch", "--quiet", "--create", "topic", "HEAD~1")
    plain(repo, "commit", "--quiet", "--allow-empty", "-m", "topic")
    plain(repo, "config", "branch.topic.mergeOptions", f"-F {outside}/secret.txt")
    await call(client, "git_merge", repo=str(repo), revision="main", strategy="merge")
    assert SECRET not in plain(repo, "log", "--format=%B")


# --- what is run ------------------------------------------------------------------------------------------------------


SUBMODULE_CALLS: dict[str, tuple[str, dict[str, object]]] = {
    "status": ("git_status", {}),
    "diff": ("git_diff", {"compare": "all"}),
    "nothing to commit": ("git_commit", {"message": "x"}),
    "add all": ("git_add", {"everything": True}),
    "add": ("git_add", {"paths": ["sub"]}),
    "switch": ("git_switch", {"name": "same"}),
    "stash": ("git_stash", {}),
    "unstash": ("git_unstash", {}),
    "rebase": ("git_rebase", {"onto": "other"}),
    "merge": ("git_merge", {"revision": "other", "strategy": "merge"}),
    "merge of changes": ("git_merge", {"revision": "other", "strategy": "merge"}),
    "reset": ("git_reset", {}),
    "restore": ("git_restore", {"paths": ["b.txt"]}),
    "worktree": ("git_add_worktree", {"path": "tree", "revision": "other"}),
}


@pytest.mark.parametrize("tried", SUBMODULE_CALLS)
@pytest.mark.parametrize("depth", [1, 2])
async def test_a_submodule_runs_nothing(client: Client, repo: Path, marker: Path, tried: str, depth: int) -> None:
    """It has a configuration of its own, with names that the repository around it does not know."""
    inner, quiet = repo, ("-c", "advice.addEmbeddedRepo=false")
    plain(repo, "branch", "other", "HEAD~1")
    for _ in range(depth):
        inner = repository(inner / "sub")
    for around in (inner.parent, inner.parent.parent)[:depth]:
        plain(around, *quiet, "add", "sub")
        plain(around, "commit", "--quiet", "-m", "sub")
    plain(repo, "branch", "same")
    if tried == "unstash":
        (repo / "b.txt").write_text("stashed\n")
        plain(repo, "stash", "push", "--quiet")
    if tried in ("rebase", "merge", "merge of changes"):
        plain(repo, "config", "merge.autoStash", "true")
        plain(repo, "config", "rebase.autoStash", "true")
        plain(repo, "commit", "--quiet", "--allow-empty", "-m", "more")
        plain(repo, "switch", "--quiet", "other")
        (repo / "c.txt").write_text("c\n")
        plain(repo, "add", "c.txt")
        plain(repo, "commit", "--quiet", "-m", "c")
        plain(repo, "switch", "--quiet", "main")
    filtered(inner, inner / ".git" / "config")
    (inner / "a.txt").write_text("two\none\n")
    if tried in ("add all", "stash", "status", "merge of changes"):
        (repo / "b.txt").write_text("changed\n")
    tool, more = SUBMODULE_CALLS[tried]
    result = await client.call_tool(tool, {"repo": str(repo), **more})
    assert not ran(marker)
    assert not result.is_error or tried == "nothing to commit", said(result)
    plain(repo, "status")
    assert ran(marker), "plain git was expected to run it: this test could not fail"


async def test_a_submodule_whose_repository_lies_outside(client: Client, repo: Path, outside: Path) -> None:
    repository(repo / "sub")
    plain(repo, "-c", "advice.addEmbeddedRepo=false", "add", "sub")
    shutil.rmtree(repo / "sub" / ".git")
    (repo / "sub" / ".git").write_text(f"gitdir: {outside}/.git\n")
    assert "refused" in await refusal(client, "git_add", repo=str(repo), everything=True)
    shutil.rmtree(repo / "sub")
    await call(client, "git_add", repo=str(repo), everything=True)


@pytest.mark.parametrize("condition", ["onbranch:topic", "gitdir:**/worktrees/**"])
async def test_an_include_that_comes_later(client: Client, repo: Path, marker: Path, condition: str) -> None:
    """The configuration is looked at before git runs; it must not be another by the time that git has switched."""
    plain(repo, "branch", "topic")
    filtered(repo, repo / ".git" / "later")
    plain(repo, "config", f"includeIf.{condition}.path", "later")
    words = await refusal(client, "git_add_worktree", repo=str(repo), path="tree", revision="topic")
    assert "includes files on a condition" in words
    assert "on a condition" in await refusal(client, "git_switch", repo=str(repo), name="topic")
    assert not ran(marker)
    plain(repo, "worktree", "add", "--quiet", "../tree", "topic", check=False)
    assert ran(marker), "plain git was expected to run it: this test could not fail"


async def test_a_worktree_with_a_configuration_of_its_own(client: Client, repo: Path, marker: Path) -> None:
    name = str(repo)
    await call(client, "git_add_worktree", repo=name, path="tree", revision="HEAD", new_branch="topic")
    plain(repo, "config", "extensions.worktreeConfig", "true")
    filtered(repo, repo / ".git" / "worktrees" / "tree" / "config.worktree")
    (repo.parent / "tree" / "a.txt").write_text("two\none\n")
    assert "modified" in await refusal(client, "git_remove_worktree", repo=name, path="tree")
    assert not ran(marker)
    plain(repo, "worktree", "remove", "../tree", check=False)
    assert ran(marker), "plain git was expected to run it: this test could not fail"
    await call(client, "git_remove_worktree", repo=name, path="tree", force=True)


HOOKS = ("pre-receive", "update", "post-receive", "post-update", "reference-transaction", "push-to-checkout")


@pytest.mark.parametrize("way", ["hooks", "hooksPath", "alternateRefs", "updateInstead"])
async def test_the_other_end_of_a_push_runs_nothing(client: Client, repo: Path, marker: Path, way: str) -> None:
    """git clears what it was told for its own repository before it works in another."""
    target, run = repository(repo.parent / "target"), marker.with_name("run")
    plain(repo, "remote", "add", "origin", str(target))
    plain(repo, "commit", "--quiet", "--allow-empty", "-m", "more")
    hooks = target / (".git/hooks" if way == "hooks" else "own")
    hooks.mkdir(exist_ok=True)
    if way in ("hooks", "hooksPath"):
        for hook in HOOKS:
            os.link(run, hooks / hook)
    if way == "hooksPath":
        plain(target, "config", "core.hooksPath", str(hooks))
    if way == "alternateRefs":
        plain(target, "config", "core.alternateRefsCommand", str(run))
        repository(repo.parent / "lender")
        (target / ".git/objects/info/alternates").write_text(f"{repo.parent}/lender/.git/objects\n")
    branch = "main" if way == "updateInstead" else "topic"
    if way == "updateInstead":
        plain(target, "config", "receive.denyCurrentBranch", "updateInstead")
        (repo / "a.txt").write_text("pushed\n")
        plain(repo, "commit", "--quiet", "-am", "pushed")
        plain(repo, "fetch", "--quiet", "origin")
        plain(repo, "rebase", "--quiet", "origin/main", check=False)
        filtered(target, target / ".git" / "config")
    else:
        plain(repo, "branch", "topic")
        await call(client, "git_push", repo=str(repo), branch="topic")
    pushed = await client.call_tool("git_push", {"repo": str(repo), "branch": branch})
    assert not ran(marker), said(pushed)
    plain(repo, "push", "--quiet", "origin", f"{branch}:{branch}", f"{branch}:refs/heads/new", check=False)
    assert ran(marker), "plain git was expected to run it: this test could not fail"


REACH: dict[str, Callable[[Path], tuple[str, str]]] = {
    "proxy": lambda _: ("http.proxy", "http://127.0.0.1:1"),
    "one host's proxy": lambda _: ("http.https://example.org/.proxy", "http://127.0.0.1:1"),
    "no TLS": lambda _: ("http.sslVerify", "false"),
    "another's authority": lambda outside: ("http.sslCAInfo", f"{outside}/secret.txt"),
    "cookies read": lambda outside: ("http.cookieFile", f"{outside}/secret.txt"),
    "cookies written": lambda _: ("http.saveCookies", "true"),
    "another address": lambda _: ("http.curloptResolve", "example.org:443:127.0.0.1"),
    "a remote named as a URL": lambda _: ("remote.https://example.org/x.url", "https://127.0.0.1:1/"),
    "a bundle": lambda outside: ("fetch.bundleURI", f"file://{outside}/secret.txt"),
}


@pytest.mark.parametrize("setting", REACH)
async def test_no_setting_bends_a_transfer(client: Client, repo: Path, outside: Path, setting: str) -> None:
    plain(repo, "remote", "add", "origin", "https://example.org/x")
    plain(repo, "config", *REACH[setting](outside))
    for tool, more in (("git_fetch", {}), ("git_push", {"branch": "main"}), ("git_pull", {})):
        assert "sends transfers elsewhere" in await refusal(client, tool, repo=str(repo), **more)
