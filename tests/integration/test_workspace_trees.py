"""Trees that are changed in memory are git's, and what may be another matter is left to git."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from mcp_servers.git.workspace.repository import RunRepository
from mcp_servers.git.workspace.scanning import Stamp, stamp_of
from mcp_servers.git.workspace.trees import NotSimple
from mcp_servers.git.workspace.worktree import FEW
from state.errors import AtlasError
from tests.integration.git_repositories import ENVIRONMENT, plain
from tests.integration.workspace_ground import Ground, ground_at, inside, listing, truth, write

FILES = {"a": "a\n", "a.b": "b\n", "a0": "0\n", "d/e/f": "f\n", "d/g": "g\n", "run*": "#!/bin/sh\n"}


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncGenerator[Ground]:
    async with ground_at(tmp_path) as ground:
        await ground.pin(FILES)
        yield ground


def _stamps(top: Path, *paths: str) -> dict[bytes, Stamp]:
    return {os.fsencode(path): stamp_of((top / path).lstat()) for path in paths}


def _index_files(repository: RunRepository) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in repository.cache.scratch.glob("index-*")}


def _loose(repository: RunRepository) -> list[Path]:
    return list((repository.cache.repository / "objects").glob("[0-9a-f][0-9a-f]/*"))


async def test_a_tree_and_all_in_it_is_as_git_makes_it(ground: Ground) -> None:
    """Also the order, in which a directory has a slash at its end."""
    repository = await ground.repository()
    top = (await ground.worktree(repository)).directory
    trees, before = await repository.trees(ground.oid), await repository.tree_of(ground.oid)
    assert trees.change(before, top, [], _stamps(top, "a", "d/g", "run")) == before
    assert not _loose(repository)
    (top / "a").unlink()
    write(top, {"a/x": "x", "a/y/z*": "z", "d/g": "", "new/b/c": "c"})
    (top / "d" / "e" / "f").unlink()
    (top / "d" / "e").rmdir()
    (top / "d" / "e").symlink_to("g")
    (top / "run").chmod(0o644)
    changed = _stamps(top, "a/x", "a/y/z", "d/g", "d/e", "new/b/c", "run")
    assert trees.change(before, top, [b"a", b"d/e/f"], changed) == truth(top)
    plain(repository.cache.repository, "--git-dir=.", "fsck", "--strict", "--full", "--no-dangling", truth(top))
    for path in ("a/x", "a/y/z", "new/b/c"):
        (top / path).unlink()
    assert trees.change(before, top, [b"a/x", b"a/y/z", b"new/b/c"], {}) == truth(top)
    rest = [os.fsencode(path.relative_to(top)) for path in top.rglob("*") if path.is_symlink() or path.is_file()]
    assert trees.change(before, top, rest, {}) == plain(top, "hash-object", "-t", "tree", "/dev/null").strip()


async def test_few_changes_leave_gits_index_alone_and_many_bring_it_up_to_date(ground: Ground) -> None:
    repository = await ground.repository()
    tree = await ground.worktree(repository)
    top = tree.directory
    before = _index_files(repository)
    for number in range(3):
        write(top, {"d/g": f"{number}\n", f"new/{number}": "new\n"})
        assert (await tree.snapshot()).tree == truth(top)
    assert _index_files(repository) == before
    write(top, {f"many/{number}": f"{number}\n" for number in range(FEW + 1)})
    (top / "new" / "1").unlink()
    assert (await tree.snapshot()).tree == truth(top)
    assert len(_index_files(repository)) == 1
    assert _index_files(repository) != before
    for path in ("many/7", "new/2"):
        (top / path).unlink()
    snapshot = await tree.snapshot({b"many/7", b"new/2"})
    assert snapshot.tree == truth(top)
    assert (await tree.snapshot(thorough=True)).tree == snapshot.tree
    assert inside(repository, "fsck", "--strict", "--no-dangling", snapshot.commit) == ""


async def test_old_modes_become_those_of_today_as_in_gits_index(ground: Ground) -> None:
    source, blob = ground.source, _in_source(ground, "hash-object", "-w", "--", "a")
    made = [f"100664 blob {blob}\told\n", f"100775 blob {blob}\tprogram\n"]
    below = _in_source(ground, "mktree", stdin="".join(made))
    root = _in_source(ground, "mktree", stdin=f"040000 tree {below}\td\n100664 blob {blob}\ttop\n")
    commit = _in_source(ground, "commit-tree", root, "-m", "old")
    plain(source, "update-ref", "HEAD", commit)
    await ground.pin_again()
    tree = await ground.worktree(await ground.repository())
    write(tree.directory, {"d/new": "new\n"})
    assert (await tree.snapshot()).tree == truth(tree.directory)


def _replaced(top: Path) -> None:
    (top / "d" / "g").write_text("other")


def _removed(top: Path) -> None:
    (top / "d" / "g").unlink()


def _behind_a_link(top: Path) -> None:
    (top / "d").rename(top / "elsewhere")
    (top / "d").symlink_to("elsewhere")


def _a_link(top: Path) -> None:
    (top / "d" / "g").unlink()
    (top / "d" / "g").symlink_to("/etc/passwd")


def _a_pipe(top: Path) -> None:
    (top / "d" / "g").unlink()
    os.mkfifo(top / "d" / "g")


@pytest.mark.parametrize("happens", [_replaced, _removed, _behind_a_link, _a_link, _a_pipe])
async def test_what_is_not_as_it_was_seen_is_not_stored(ground: Ground, happens: Callable[[Path], None]) -> None:
    repository = await ground.repository()
    top = (await ground.worktree(repository)).directory
    seen = _stamps(top, "d/g")
    happens(top)
    trees = await repository.trees(ground.oid)
    with pytest.raises((NotSimple, OSError)):
        trees.change("", top, [], seen)


@pytest.mark.parametrize(
    "path", [".git/x", "d/.GIT/x", "GIT~1/x", "d/../x", "./x", "d//x", ".g\u200cit/x", "link.d/.git"]
)
async def test_names_that_no_tree_may_have_are_not_stored(ground: Ground, path: str) -> None:
    repository = await ground.repository()
    top = (await ground.worktree(repository)).directory
    (top / path).parent.mkdir(parents=True, exist_ok=True)
    (top / path).write_text("x")
    with pytest.raises(NotSimple):
        (await repository.trees(ground.oid)).change("", top, [], _stamps(top, path) or {b"": (0, 0, 0, 0, 0)})


async def test_a_link_is_not_stored_as_gitmodules(ground: Ground) -> None:
    repository = await ground.repository()
    top = (await ground.worktree(repository)).directory
    (top / ".gitmodules").symlink_to("a")
    with pytest.raises(NotSimple):
        (await repository.trees(ground.oid)).change("", top, [], _stamps(top, ".gitmodules"))


async def test_a_tool_that_names_a_file_behind_a_link_gets_nothing_from_outside(ground: Ground) -> None:
    repository = await ground.repository()
    tree = await ground.worktree(repository)
    outside = ground.path / "outside"
    write(outside, {"secret": "secret\n"})
    (tree.directory / "link").symlink_to(outside)
    assert (await tree.snapshot()).tree == truth(tree.directory)
    try:
        snapshot = await tree.snapshot({b"link/secret"})
    except AtlasError:
        snapshot = await tree.snapshot()
    assert snapshot.tree == truth(tree.directory)
    assert "secret" not in inside(repository, "ls-tree", "-r", "--name-only", snapshot.commit)


async def test_packs_that_are_lost_meanwhile_are_brought_again(ground: Ground) -> None:
    repository = await ground.repository()
    tree = await ground.worktree(repository)
    write(tree.directory, {"d/g": "one\n"})
    await tree.snapshot()
    for pack in (repository.cache.repository / "objects" / "pack").iterdir():
        pack.unlink()
    write(tree.directory, {"d/g": "two\n", "d/e/f": "other\n"})
    snapshot = await tree.snapshot()
    assert snapshot.tree == truth(tree.directory)
    await repository.checkout(snapshot.commit, ground.path / "restored")
    assert listing(ground.path / "restored") == listing(tree.directory)
    assert inside(repository, "fsck", "--strict", "--no-dangling", snapshot.commit) == ""


def _in_source(ground: Ground, *arguments: str, stdin: str = "") -> str:
    """Plain git in the source."""
    done = subprocess.run(
        ["git", *arguments], cwd=ground.source, env=ENVIRONMENT, input=stdin, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
