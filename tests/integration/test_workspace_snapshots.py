"""A snapshot is the tree as it is, and can be restored where nothing is shared but the artifact store."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from mcp_servers.git.workspace.chains import chain_to
from mcp_servers.git.workspace.results import Merged, Packed
from mcp_servers.git.workspace.scanning import Bounds
from mcp_servers.git.workspace.worktree import CONSOLIDATED, REBUILT, Worktree
from state.errors import InputError, LimitExceeded
from tests.integration.git_repositories import plain
from tests.integration.workspace_ground import Ground, ground_at, inside, listing, rewrite, truth, write

FILES = {
    "a.txt": "one\n",
    "src/x.py": "print()\n",
    "src/deep/y.py": "y\n",
    "run.sh*": "#!/bin/sh\n",
    "data.bin": b"\0\1",
}
ODD_NAMES = [b"a\nb", b"\xff\xfe", b"-rf", b"--force-remove", b" ", b'"q"', "ünï".encode(), b"tab\t", b"*", b":(top)x"]


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncGenerator[Ground]:
    async with ground_at(tmp_path) as ground:
        await ground.pin(FILES)
        yield ground


async def test_what_a_command_did_is_in_the_snapshot(ground: Ground) -> None:
    repository = await ground.repository()
    tree = await ground.worktree(repository)
    assert (tree.commit, tree.tree) == (ground.oid, await repository.tree_of(ground.oid))
    assert not (tree.directory / ".git").exists()
    write(tree.directory, {"a.txt": "two\n", "new/b.txt": "b\n", "tool*": "#!/bin/sh\n"})
    (tree.directory / "src" / "x.py").unlink()
    (tree.directory / "run.sh").chmod(0o644)
    (tree.directory / "link").symlink_to("/etc/passwd")
    (tree.directory / "dangling").symlink_to("nowhere")
    snapshot = await tree.snapshot()
    assert snapshot.tree == truth(tree.directory) == await repository.tree_of(snapshot.commit)
    assert (snapshot.changed, snapshot.skipped) == (7, ())
    assert (tree.commit, tree.tree) == (snapshot.commit, snapshot.tree)
    assert inside(repository, "rev-parse", f"{snapshot.commit}^@") == ground.oid
    assert snapshot.packed is not None
    assert (snapshot.packed.oid, snapshot.packed.base) == (snapshot.commit, ground.oid)

    other = await ground.repository("another worker")
    await other.bring([snapshot.packed])
    await other.checkout(snapshot.commit, ground.path / "restored")
    assert listing(ground.path / "restored") == listing(tree.directory)


async def test_nothing_changed_is_no_snapshot(ground: Ground) -> None:
    tree = await ground.worktree()
    for thorough in (False, True):
        snapshot = await tree.snapshot(thorough=thorough)
        assert (snapshot.commit, snapshot.changed, snapshot.packed) == (ground.oid, 0, None)
    write(tree.directory, {"a.txt": "one\n"})
    os.utime(tree.directory / "src" / "x.py")
    (tree.directory / "empty").mkdir()
    assert (await tree.snapshot()).commit == ground.oid


async def test_a_snapshot_follows_the_one_before(ground: Ground) -> None:
    repository = await ground.repository()
    tree = await ground.worktree(repository)
    commits = [ground.oid]
    for number in range(3):
        write(tree.directory, {"a.txt": f"{number}"})
        snapshot = await tree.snapshot()
        assert snapshot.packed is not None
        assert snapshot.packed.base == commits[-1]
        assert inside(repository, "rev-parse", f"{snapshot.commit}^@") == commits[-1]
        commits.append(snapshot.commit)


async def test_odd_names_are_stored(ground: Ground) -> None:
    tree = await ground.worktree()
    for content in (b"1", b"22"):
        for name in ODD_NAMES:
            (tree.directory / os.fsdecode(name)).write_bytes(content + name)
        snapshot = await tree.snapshot()
        assert (snapshot.tree, snapshot.changed) == (truth(tree.directory), len(ODD_NAMES))


async def test_a_rewrite_of_the_same_size_with_its_time_set_back_is_seen(ground: Ground) -> None:
    tree = await ground.worktree()
    for number in range(20):
        rewrite(tree.directory / "a.txt", f"{number:03}\n")
        snapshot = await tree.snapshot()
        assert (snapshot.tree, snapshot.changed) == (truth(tree.directory), 1)


async def test_files_become_directories_and_back(ground: Ground) -> None:
    tree = await ground.worktree()
    top = tree.directory

    def file_to_directory() -> None:
        (top / "a.txt").unlink()
        write(top, {"a.txt/inner/b": "b", "a.txt/c": "c"})

    def directory_to_link() -> None:
        shutil.rmtree(top / "src")
        (top / "src").symlink_to("a.txt")

    def directory_to_file() -> None:
        shutil.rmtree(top / "a.txt")
        write(top, {"a.txt": "again"})

    def link_to_directory() -> None:
        (top / "src").unlink()
        write(top, {"src/deep": "now a file"})

    def nothing_left() -> None:
        for path in top.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    for change in (file_to_directory, directory_to_link, directory_to_file, link_to_directory, nothing_left):
        change()
        assert (await tree.snapshot()).tree == truth(top), change.__name__


async def test_a_thousand_changes_in_one_go(ground: Ground) -> None:
    """More paths than fit into arguments."""
    tree = await ground.worktree()
    many = {f"many/{number:04}-{'x' * 100}": f"{number}" for number in range(1000)}
    write(tree.directory, many)
    first = await tree.snapshot()
    assert (first.tree, first.changed) == (truth(tree.directory), 1000)
    for name in list(many)[::2]:
        (tree.directory / name).unlink()
    write(tree.directory, dict.fromkeys(list(many)[1::2], "again"))
    second = await tree.snapshot()
    assert (second.tree, second.changed) == (truth(tree.directory), 1000)


async def test_long_chains_are_shortened(ground: Ground) -> None:
    tree = await ground.worktree()
    rows: list[Packed] = []
    for number in range(2 * CONSOLIDATED + 5):
        write(tree.directory, {f"f{number}": f"{number}", "a.txt": f"{number}"})
        snapshot = await tree.snapshot()
        assert snapshot.packed is not None
        rows.append(snapshot.packed)
        assert len(chain_to(tree.commit, rows, {ground.oid})) <= CONSOLIDATED
    chain = chain_to(tree.commit, rows, {ground.oid})
    assert len(chain) < 10
    other = await ground.repository("another worker")
    await other.bring(chain)
    await other.checkout(tree.commit, ground.path / "restored")
    assert listing(ground.path / "restored") == listing(tree.directory)
    # what the consolidated packs stand for can be had as well
    early = rows[3].oid
    await other.checkout(early, ground.path / "early")
    assert (ground.path / "early" / "a.txt").read_text() == "3"


async def test_who_takes_over_begins_with_one_pack_for_all(ground: Ground) -> None:
    tree = await ground.worktree()
    rows: list[Packed] = []
    for number in range(5):
        write(tree.directory, {"a.txt": f"{number}"})
        rows += [packed] if (packed := (await tree.snapshot()).packed) else []
    other = await ground.repository("another worker")
    await other.bring(chain_to(tree.commit, rows, {ground.oid}))
    taken = await Worktree.create(other, tree.commit, ground.path / "taken", origin=ground.oid)
    assert listing(taken.directory) == listing(tree.directory)
    write(taken.directory, {"a.txt": "taken over"})
    packed = (await taken.snapshot()).packed
    assert packed is not None
    assert packed.base == ground.oid
    write(taken.directory, {"a.txt": "and on"})
    following = (await taken.snapshot()).packed
    assert following is not None
    assert following.base == packed.oid
    third = await ground.repository("a third")
    await third.bring([packed, following])
    await third.checkout(taken.commit, ground.path / "third's")
    assert listing(ground.path / "third's") == listing(taken.directory)


async def test_reset_makes_exactly_that_tree(ground: Ground) -> None:
    tree = await ground.worktree()
    before, inode = listing(tree.directory), tree.directory.stat().st_ino
    write(tree.directory, {"a.txt": "two", "new/b": "b"})
    (tree.directory / "run.sh").unlink()
    snapshot = await tree.snapshot()
    after = listing(tree.directory)
    write(tree.directory, {"never": "stored", ".git/config": "x"})
    os.mkfifo(tree.directory / "fifo")
    await tree.reset(ground.oid)
    assert listing(tree.directory) == before
    assert sorted(path.name for path in tree.directory.iterdir()) == ["a.txt", "data.bin", "run.sh", "src"]
    assert tree.directory.stat().st_ino == inode, "it is mounted somewhere"
    await tree.reset(snapshot.commit)
    assert listing(tree.directory) == after
    write(tree.directory, {"a.txt": "three"})
    again = await tree.snapshot()
    assert again.tree == truth(tree.directory)
    assert again.packed is not None
    assert again.packed.base == snapshot.commit


async def test_the_bounds_have_names(ground: Ground) -> None:
    repository = await ground.repository()

    async def bounded(name: str, bounds: Bounds) -> Worktree:
        return await Worktree.create(repository, ground.oid, ground.path / name, bounds=bounds)

    few = await bounded("few", Bounds(entries=8))
    (few.directory / "eighth").mkdir()
    (few.directory / "ninth").mkdir()
    with pytest.raises(LimitExceeded, match=r"more than 8 files and directories \(SNAPSHOT_ENTRIES\)"):
        await few.snapshot()
    (few.directory / "ninth").rmdir()
    write(few.directory, {"a.txt": "within"})
    assert (await few.snapshot()).tree == truth(few.directory)

    small = await bounded("small", Bounds(total_bytes=1000))
    write(small.directory, {"x": b"x" * 1000})
    with pytest.raises(LimitExceeded, match=r"files of more than 1,000 bytes \(SNAPSHOT_BYTES\)"):
        await small.snapshot()


async def test_a_file_over_the_bound_stays_as_it_was_and_is_reported(ground: Ground) -> None:
    tree = await Worktree.create(
        await ground.repository(), ground.oid, ground.path / "tree", bounds=Bounds(file_bytes=100)
    )
    write(tree.directory, {"fits": "f" * 100, "over": "o" * 101, "a.txt": "a" * 101})
    snapshot = await tree.snapshot()
    assert sorted(skipped.path for skipped in snapshot.skipped) == ["a.txt", "over"]
    assert all("SNAPSHOT_FILE_BYTES" in skipped.why for skipped in snapshot.skipped)
    for thorough in (False, True):
        await tree.snapshot(thorough=thorough)
        await (await ground.repository()).checkout(tree.commit, ground.path / f"restored{thorough}")
        restored = listing(ground.path / f"restored{thorough}")
        assert (restored[b"a.txt"], restored[b"fits"]) == (("file", b"one\n"), ("file", b"f" * 100))
        assert b"over" not in restored
    (tree.directory / "a.txt").unlink()
    await tree.snapshot()
    await (await ground.repository()).checkout(tree.commit, ground.path / "without")
    assert b"a.txt" not in listing(ground.path / "without")


async def test_a_large_file_that_was_pinned_is_no_news(tmp_path: Path) -> None:
    async with ground_at(tmp_path / "here") as ground:
        (tmp_path / "here").mkdir()
        await ground.pin({"large": "l" * 200, "small": "s"})
        tree = await Worktree.create(
            await ground.repository(), ground.oid, tmp_path / "tree", bounds=Bounds(file_bytes=100)
        )
        for thorough in (False, True):
            write(tree.directory, {"small": f"{thorough}"})
            snapshot = await tree.snapshot(thorough=thorough)
            assert (snapshot.skipped, snapshot.tree) == ((), truth(tree.directory))
        write(tree.directory, {"large": "m" * 200})
        assert [skipped.path for skipped in (await tree.snapshot()).skipped] == ["large"]


async def test_where_a_worktree_may_be(ground: Ground) -> None:
    repository = await ground.repository()
    (ground.path / "there").mkdir()
    with pytest.raises(InputError, match="exists"):
        await Worktree.create(repository, ground.oid, ground.path / "there")
    with pytest.raises(InputError, match="not the id of a commit"):
        await Worktree.create(repository, "--all", ground.path / "new")
    assert not (ground.path / "new").exists()
    tree = await ground.worktree(repository)
    await tree.remove()
    assert not tree.directory.exists()
    assert list(repository.cache.scratch.iterdir()) == []


async def test_a_repository_of_the_other_format(tmp_path: Path) -> None:
    async with ground_at(tmp_path) as ground:
        ground.source.mkdir()
        plain(ground.source, "init", "--quiet", "--object-format=sha256", "--initial-branch=main")
        write(ground.source, FILES)
        plain(ground.source, "add", ".")
        plain(ground.source, "commit", "--quiet", "-m", "x")
        await ground.pin_again()
        tree = await ground.worktree()
        write(tree.directory, {f"{'x' * 100}{number}": "n" for number in range(1000)} | {".gitignore": "x*9\n"})
        first = await tree.snapshot()
        for number in range(0, 1000, 2):
            (tree.directory / f"{'x' * 100}{number}").unlink()
        second = await tree.snapshot(thorough=True)
        assert (len(second.commit), first.changed, second.changed) == (64, 1001, 500)
        assert first.packed
        assert second.packed
        other = await ground.repository("another worker")
        await other.bring([first.packed, second.packed])
        await other.checkout(second.commit, tmp_path / "restored")
        assert listing(tmp_path / "restored") == listing(tree.directory)
        merged = await other.merge(ground.oid, await other.deliverable(second.commit, ground.oid), "m")
        assert isinstance(merged, Merged)
        assert len((await other.diff(ground.oid, merged.oid)).files) == 401


async def test_more_changes_than_an_index_is_kept_for(ground: Ground) -> None:
    tree = await ground.worktree()
    names = [f"many/{number % 50}/{number}" for number in range(REBUILT + 1)]
    write(tree.directory, dict.fromkeys(names, "1"))
    assert (await tree.snapshot()).tree == truth(tree.directory)
    for name in names:
        rewrite(tree.directory / name, "2")
    (tree.directory / "a.txt").unlink()
    snapshot = await tree.snapshot()
    assert (snapshot.tree, snapshot.changed) == (truth(tree.directory), REBUILT + 2)
