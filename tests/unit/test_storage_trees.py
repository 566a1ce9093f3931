"""Digests and copies of directories."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from mcp_servers.storage import listings
from mcp_servers.storage.trees import copy_tree, digest_tree
from state.errors import InputError, LimitExceeded


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "a" / "empty").mkdir(parents=True)
    (root / "a" / "x.txt").write_bytes(b"x")
    (root / "run").write_bytes(b"#!/bin/sh\n")
    (root / "run").chmod(0o755)
    (root / "out").symlink_to("/etc/passwd")
    (root / "dir").symlink_to("a")
    (root / "dangling").symlink_to("no/such")
    (root / os.fsdecode(b"\xff\n-rf")).write_bytes(b"odd")
    return root


async def test_a_copy_has_the_same_digest_and_shares_nothing(tree: Path, tmp_path: Path) -> None:
    before = await digest_tree(tree)
    assert await copy_tree(tree, tmp_path / "copy") == ()
    assert await digest_tree(tmp_path / "copy") == before
    assert (tmp_path / "copy" / "out").readlink() == Path("/etc/passwd")
    for path in (tmp_path / "copy").rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.write_bytes(b"overwritten")
    assert await digest_tree(tree) == before


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda root: (root / "a" / "x.txt").write_bytes(b"y"),
    "executable": lambda root: (root / "a" / "x.txt").chmod(0o755),
    "name": lambda root: (root / "a" / "x.txt").rename(root / "a" / "y.txt"),
    "no directory": lambda root: (root / "a" / "empty").rmdir(),
    "new file": lambda root: (root / "a" / "new").write_bytes(b""),
    "link": lambda root: ((root / "dir").unlink(), (root / "dir").symlink_to("b")),
    "kind": lambda root: ((root / "dir").unlink(), (root / "dir").write_bytes(b"a")),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_every_change_shows(tree: Path, change: str) -> None:
    before = await digest_tree(tree)
    CHANGES[change](tree)
    assert await digest_tree(tree) != before


async def test_what_is_not_content_does_not_show(tree: Path) -> None:
    before = await digest_tree(tree)
    os.utime(tree / "run", (1, 1))
    (tree / "a" / "x.txt").chmod(0o600)
    os.mkfifo(tree / "fifo")
    assert await digest_tree(tree) == before


async def test_special_files_are_left_out_and_named(tree: Path, tmp_path: Path) -> None:
    os.mkfifo(tree / "a" / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tree / "socket"))
        assert sorted(await copy_tree(tree, tmp_path / "copy")) == ["a/fifo", "socket"]
    assert not (tmp_path / "copy" / "socket").exists()
    assert await digest_tree(tmp_path / "copy") == await digest_tree(tree)


async def test_modes_and_times_are_kept(tree: Path, tmp_path: Path) -> None:
    (tree / "a").chmod(0o555)
    (tree / "run").chmod(0o4750)
    os.utime(tree / "run", ns=(1_000_000_001, 2_000_000_002))
    os.utime(tree / "a", ns=(3, 4))
    await copy_tree(tree, tmp_path / "copy")
    assert (tmp_path / "copy" / "a").stat().st_mode & 0o7777 == 0o555
    assert (tmp_path / "copy" / "run").stat().st_mode & 0o7777 == 0o750
    assert (tmp_path / "copy" / "run").stat().st_mtime_ns == 2_000_000_002
    assert (tmp_path / "copy" / "a").stat().st_mtime_ns == 4
    for directory in (tree, tmp_path / "copy"):
        (directory / "a").chmod(0o755)


async def test_holes_stay_holes(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    with (tmp_path / "tree" / "sparse").open("wb") as file:
        file.truncate(1 << 40)
        file.seek(1 << 39)
        file.write(b"in the middle")
    await copy_tree(tmp_path / "tree", tmp_path / "copy")
    copied = tmp_path / "copy" / "sparse"
    assert copied.stat().st_size == 1 << 40
    assert copied.stat().st_blocks * 512 < 1 << 20
    with copied.open("rb") as file:
        file.seek(1 << 39)
        assert file.read(13) == b"in the middle"


async def test_a_cancelled_copy_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    for number in range(20_000):
        (tmp_path / "tree" / str(number)).write_bytes(b"x")
    task = asyncio.create_task(copy_tree(tmp_path / "tree", tmp_path / "copy"))
    async with asyncio.timeout(60):
        while True:
            if (tmp_path / "copy" / "0").exists():
                break
            await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not (tmp_path / "copy").exists()


async def test_the_target_must_be_new(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine").write_bytes(b"mine")
    with pytest.raises(InputError, match="taken"):
        await copy_tree(tree, tmp_path / "taken")
    assert (tmp_path / "taken" / "mine").read_bytes() == b"mine"
    with pytest.raises(InputError, match="absent"):
        await digest_tree(tmp_path / "absent")


def test_the_number_of_files_is_bounded() -> None:
    listings.check_count(listings.TREE_FILES, "x")
    with pytest.raises(LimitExceeded, match="TREE_FILES"):
        listings.check_count(listings.TREE_FILES + 1, "x")


@pytest.mark.parametrize("paths", [["a", "a/b"], ["x/y/z", "x"], ["../a"], ["/a"], ["a//b"], ["a/./b"], [""]])
def test_what_is_no_tree(paths: list[str]) -> None:
    with pytest.raises(InputError):
        listings.check_tree(paths, "here")


@pytest.mark.parametrize("listing", ["", "{}", "[1]", '[{"path": "a"}]', '[{"path":"../a","digest":"x","size":1}]'])
def test_a_damaged_listing(listing: str) -> None:
    with pytest.raises(InputError):
        listings.parse(listing)
