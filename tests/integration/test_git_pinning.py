"""Pin a repository, check it out elsewhere: nothing hostile in it runs, and nothing in it is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from mcp_servers.git.checkouts import Checkouts
from mcp_servers.git.pinning import pin
from mcp_servers.git.program import GitError
from mcp_servers.storage.artifacts import Artifacts
from mcp_servers.storage.trees import digest_tree
from state.errors import InputError
from tests.integration.pinned_repositories import ODD_NAMES, content, git


async def test_a_checkout_is_what_was_committed(
    tmp_path: Path, repository: Path, artifacts: Artifacts, checkouts: Checkouts
) -> None:
    pinned = await pin(str(repository), None, artifacts)
    assert pinned.oid == git(repository, "rev-parse", "HEAD")
    assert pinned.tree == git(repository, "rev-parse", "HEAD^{tree}")
    assert (pinned.base, pinned.dirty, pinned.submodules) == ("main", 0, ())
    (tmp_path / "into").mkdir()
    for into in (tmp_path / "into", tmp_path / "new" / "place"):
        await checkouts.fresh(pinned.oid, pinned.digest, into)
        assert not (into / ".git").exists()
        assert await digest_tree(into) == await content(repository)
        assert (into / "outside").readlink() == Path("/etc/passwd")


async def test_the_repository_is_not_needed_again(
    tmp_path: Path, repository: Path, artifacts: Artifacts, checkouts: Checkouts
) -> None:
    (repository / "second").write_text("2")
    git(repository, "add", "second")
    git(repository, "commit", "--quiet", "--message=second")
    expected = await content(repository)
    pinned = await pin(str(repository), None, artifacts)
    shutil.rmtree(repository)
    await checkouts.fresh(pinned.oid, pinned.digest, tmp_path / "into")
    assert await digest_tree(tmp_path / "into") == expected


async def test_ways_to_name_it(repository: Path, artifacts: Artifacts) -> None:
    first = git(repository, "rev-parse", "HEAD")
    git(repository, "tag", "--annotate", "--message=v1", "v1")
    git(repository, "checkout", "--quiet", "-b", "topic/x")
    git(repository, "commit", "--quiet", "--allow-empty", "--message=second")
    second = git(repository, "rev-parse", "HEAD")
    bare = repository.with_name("bare.git")
    git(repository, "clone", "--quiet", "--bare", str(repository), str(bare))
    worktree = repository.with_name("worktree")
    git(repository, "worktree", "add", "--quiet", str(worktree), "main")
    for repo, ref, oid, base in (
        (repository, None, second, "topic/x"),
        (repository / "src" / "deep", None, second, "topic/x"),
        (repository / ".git", None, second, "topic/x"),
        (bare, None, second, "topic/x"),
        (worktree, None, first, "main"),
        (f"file://{repository}", "main", first, "main"),
        (repository, "v1", first, "v1"),
        (repository, first, first, ""),
        (repository, first[:8], first, ""),
        (repository, "HEAD~1", first, ""),
    ):
        pinned = await pin(str(repo), ref, artifacts)
        assert (pinned.oid, pinned.base, pinned.dirty) == (oid, base, 0), (repo, ref)


async def test_uncommitted_changes_are_counted_and_left_alone(repository: Path, artifacts: Artifacts) -> None:
    (repository / "untracked").mkdir()
    (repository / "untracked" / "a").write_text("a")
    (repository / "untracked" / "b").write_text("b")
    (repository / "crlf.txt").write_text("changed")
    (repository / "run.sh").unlink()
    (repository / "staged").write_text("staged")
    git(repository, "add", "staged")
    (repository / ".git" / "info" / "exclude").write_text("*.log\n")
    (repository / "some.log").write_text("ignored")
    index = (repository / ".git" / "index").read_bytes()
    for path in (repository, repository / "src"):
        assert (await pin(str(path), None, artifacts)).dirty == 4
    assert (repository / ".git" / "index").read_bytes() == index
    assert git(repository, "for-each-ref", "--format=%(refname)") == "refs/heads/main"


def booby_trap(repository: Path, fired: Path) -> None:
    """Everything in a repository that git may run for it."""
    command = f"sh -c 'echo >> {fired}; cat'"
    hooks = repository / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-checkout", "post-index-change", "reference-transaction", "pre-auto-gc", "fsmonitor-watchman"):
        (hooks / name).write_text(f"#!/bin/sh\necho >> {fired}\n")
        (hooks / name).chmod(0o755)
    for key, value in (
        ("core.fsmonitor", command),
        ("core.hooksPath", str(hooks)),
        ("core.alternateRefsCommand", command),
        ("core.pager", command),
        ("core.editor", command),
        ("core.sshCommand", command),
        ("core.gitProxy", command),
        ("core.askPass", command),
        ("core.repositoryFormatVersion", "1"),
        ("credential.helper", f"!{command}"),
        ("diff.external", command),
        ("diff.evil.textconv", command),
        ("filter.evil.clean", command),
        ("filter.evil.smudge", command),
        ("filter.evil.process", command),
        ("filter.evil.required", "true"),
        ("merge.evil.driver", command),
        ("gpg.program", command),
        ("log.showSignature", "true"),
        ("uploadpack.packObjectsHook", command),
        ("protocol.allow", "always"),
        ("protocol.ext.allow", "always"),
        ("remote.evil.url", f"ext::{command}"),
        ("remote.evil.promisor", "true"),
        ("extensions.partialClone", "evil"),
        ("status.submoduleSummary", "true"),
        *((f"alias.{name}", f"!{command}") for name in ("status", "rev-parse", "rev-list", "ls-tree", "pack-objects")),
    ):
        git(repository, "config", key, value)


async def test_a_hostile_repository_runs_nothing_and_loses_nothing(
    tmp_path: Path, repository: Path, artifacts: Artifacts, checkouts: Checkouts
) -> None:
    attributes = (
        "* filter=evil diff=evil merge=evil text eol=crlf ident working-tree-encoding=UTF-16\n"
        "*.py export-ignore\n*.txt export-subst\n"
    )
    (repository / "subst.txt").write_text("$Format:%H$\n")
    git(repository, "add", "--all")
    (repository / ".gitattributes").write_text(attributes)
    blob = git(repository, "hash-object", "-w", "--no-filters", ".gitattributes")
    git(repository, "update-index", "--add", "--cacheinfo", f"100644,{blob},.gitattributes")
    git(repository, "commit", "--quiet", "--message=hostile")
    inner = repository / "inner"
    inner.mkdir()
    git(inner, "init", "--quiet")
    git(inner, "commit", "--quiet", "--allow-empty", "--message=inner")
    git(repository, "update-index", "--add", "--cacheinfo", f"160000,{git(inner, 'rev-parse', 'HEAD')},inner")
    git(repository, "commit", "--quiet", "--message=gitlink")
    oid = git(repository, "rev-parse", "HEAD")
    fired = tmp_path / "fired"
    booby_trap(inner, fired)
    booby_trap(repository, fired)
    (repository / "src" / "deep" / "x.py").write_text("changed, so that it is looked at\n")
    (inner / "new").write_text("x")

    pinned = await pin(str(repository), None, artifacts)
    await checkouts.fresh(pinned.oid, pinned.digest, tmp_path / "into")

    assert pinned.dirty == 1
    git(repository, "config", "core.worktree", "/")
    assert (await pin(str(repository), None, artifacts)).tree == pinned.tree
    assert not fired.exists()
    with suppress(subprocess.CalledProcessError):
        git(repository, "-c", f"core.worktree={repository}", "status")
    assert fired.exists(), "the trap was none"
    assert pinned.oid == oid
    assert pinned.submodules == ("inner",)
    assert (tmp_path / "into" / "src" / "deep" / "x.py").read_text() == "print('x')\n"
    assert (tmp_path / "into" / "crlf.txt").read_bytes() == b"one\r\ntwo\r\n$Id$\r\n"
    assert (tmp_path / "into" / "subst.txt").read_text() == "$Format:%H$\n"
    assert (tmp_path / "into" / ".gitattributes").read_text() == attributes
    for name in ODD_NAMES:
        assert (tmp_path / "into" / os.fsdecode(name)).read_bytes() == name


async def test_a_promisor_remote_is_not_asked(tmp_path: Path, repository: Path, artifacts: Artifacts) -> None:
    blob = git(repository, "rev-parse", "HEAD:crlf.txt")
    fired = tmp_path / "fired"
    booby_trap(repository, fired)
    (repository / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(GitError, match="partial clone"):
        await pin(str(repository), None, artifacts)
    assert not fired.exists()


async def test_replaced_and_grafted_history_is_not_believed(
    tmp_path: Path, repository: Path, artifacts: Artifacts, checkouts: Checkouts
) -> None:
    expected = await content(repository)
    oid = git(repository, "rev-parse", "HEAD")
    (repository / "crlf.txt").write_text("replaced")
    git(repository, "commit", "--quiet", "--all", "--message=other")
    git(repository, "replace", oid, "HEAD")
    pinned = await pin(str(repository), oid, artifacts)
    await checkouts.fresh(pinned.oid, pinned.digest, tmp_path / "into")
    assert await digest_tree(tmp_path / "into") == expected


async def test_a_shallow_clone_and_borrowed_objects(
    tmp_path: Path, repository: Path, artifacts: Artifacts, checkouts: Checkouts
) -> None:
    git(repository, "commit", "--quiet", "--allow-empty", "--message=second")
    expected = await content(repository)
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{repository}", "shallow")
    git(tmp_path, "clone", "--quiet", "--shared", str(repository), 'bor"rowed\nobjects')
    for name in ("shallow", 'bor"rowed\nobjects'):
        pinned = await pin(str(tmp_path / name), None, artifacts)
        assert pinned.dirty == 0
        await checkouts.fresh(pinned.oid, pinned.digest, tmp_path / f"into {name}")
        assert await digest_tree(tmp_path / f"into {name}") == expected


async def test_sha256_repositories(tmp_path: Path, artifacts: Artifacts, checkouts: Checkouts) -> None:
    root = tmp_path / "sha256"
    root.mkdir()
    git(root, "init", "--quiet", "--object-format=sha256", "--initial-branch=main")
    (root / "x").write_text("x")
    git(root, "add", "x")
    git(root, "commit", "--quiet", "--message=x")
    pinned = await pin(str(root), None, artifacts)
    assert len(pinned.oid) == 64
    await checkouts.fresh(pinned.oid, pinned.digest, tmp_path / "into")
    assert (tmp_path / "into" / "x").read_text() == "x"


async def test_what_can_not_be_pinned(tmp_path: Path, repository: Path, artifacts: Artifacts) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "empty").mkdir()
    git(tmp_path / "empty", "init", "--quiet")
    git(repository, "checkout", "--quiet", "--orphan", "unborn")
    tree = git(repository, "rev-parse", "main^{tree}")
    for repo, ref, why in (
        (tmp_path / "absent", None, "is not a directory"),
        (tmp_path / "plain", None, "not in a git repository"),
        (tmp_path / "empty", None, "has no commits yet"),
        (tmp_path / "empty", "main", "has no commits yet"),
        (repository, None, "what is checked out"),
        (repository, "no-such-branch", "has no commit no-such-branch"),
        (repository, tree, "has no commit"),
        (repository, "--all", "not a name of a commit"),
        (repository, "", "not a name of a commit"),
        (repository, "a\nb", "not a name of a commit"),
        ("", None, "not a repository"),
    ):
        with pytest.raises(InputError, match=why):
            await pin(str(repo), ref, artifacts)


@pytest.mark.parametrize(
    "repo",
    [
        "http://host/x",
        "git://host/x",
        "ext::sh -c id",
        "ftp://host/x",
        "--upload-pack=id",
        "transport::https://x",
        "fd::17",
    ],
)
async def test_protocols_that_are_not_used(artifacts: Artifacts, repo: str) -> None:
    with pytest.raises(InputError, match=r"https and ssh only|not a repository"):
        await pin(repo, None, artifacts)


async def test_a_host_that_does_not_answer(artifacts: Artifacts) -> None:
    for repo in ("https://127.0.0.1:9/x.git", "ssh://nobody@127.0.0.1:9/x.git"):
        with pytest.raises(GitError, match="Can this user read"):
            await pin(repo, "main", artifacts)


async def test_without_git(repository: Path, artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository))
    with pytest.raises(GitError, match="not installed"):
        await pin(str(repository), None, artifacts)
