"""A snapshot that looks only where a tool has changed something is the one that looks everywhere."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from mcp import Client

from mcp_servers.git.workspace.scanning import Bounds
from mcp_servers.git.workspace.worktree import Worktree
from mcp_servers.manners import Policy
from mcp_servers.workspace.changes import Changes
from mcp_servers.workspace.server import workspace_server
from state.errors import LimitExceeded
from tests.integration.git_repositories import connected
from tests.integration.workspace_ground import Ground, ground_at, truth
from tests.integration.workspace_workshop import host

FILES = {"a.txt": "one\n", "src/x.py": "x\n", "src/deep/y.py": "y\n", "run.sh*": "#!/bin/sh\n"}
PLACES = ["a.txt", "b", "src/x.py", "src/z", "src/deep/y.py", "new/very/deep", "new/other", "run.sh"]
COMMANDS = [
    "echo {} >> a.txt",
    "rm -rf src/deep",
    "mkdir -p new/very; echo {} > new/very/deep",
    "ln -sf {} link",
    "true",
]


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncGenerator[Ground]:
    async with ground_at(tmp_path) as ground:
        await ground.pin(FILES)
        yield ground


def index_below(path: Path) -> Path:
    return next(path.rglob("index-*"))


@asynccontextmanager
async def working(tree: Worktree, changes: Changes, scratch: Path) -> AsyncGenerator[Client]:
    async with (
        host(tree.directory, scratch) as run,
        connected(workspace_server(tree.directory, Policy(), run=run, changes=changes)) as client,
    ):
        yield client


async def anything(client: Client, chance: random.Random) -> None:
    """One call of a tool, which may well be refused."""
    path, target, text = chance.choice(PLACES), chance.choice(PLACES), f"{chance.random()}\n"
    which = chance.randrange(12)
    if which < 5:
        executable = chance.choice([None, True, False])
        await client.call_tool("workspace_write", {"path": path, "content": text, "executable": executable})
    elif which < 7:
        await client.call_tool("workspace_edit", {"path": path, "old": "\n", "new": text, "everywhere": True})
    elif which < 9:
        path = chance.choice([path, "src", "new", "src/deep"])
        await client.call_tool("workspace_delete", {"path": path, "recursive": chance.random() < 0.7})
    elif which < 11:
        path = chance.choice([path, "src", "new/very"])
        arguments = {"path": path, "target": chance.choice([target, "moved"]), "overwrite": chance.random() < 0.5}
        await client.call_tool("workspace_move", arguments)
    else:
        await client.call_tool("workspace_run", {"command": chance.choice(COMMANDS).format(text.strip())})


@pytest.mark.parametrize("seed", range(4))
async def test_it_is_the_tree_whatever_the_tools_did(ground: Ground, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    tree, changes = await ground.worktree(), Changes()
    async with working(tree, changes, tmp_path) as client:
        for number in range(60):
            for _ in range(chance.randint(1, 3)):
                await anything(client, chance)
            snapshot = await tree.snapshot(changes.take())
            assert snapshot.tree == truth(tree.directory), number
            if not chance.randrange(8):
                again = await tree.snapshot(thorough=chance.random() < 0.5)
                assert (again.tree, again.changed) == (snapshot.tree, 0)


async def test_only_what_is_named_is_looked_at(ground: Ground) -> None:
    tree = await ground.worktree()
    (tree.directory / "a.txt").write_text("two\n")
    (tree.directory / "src" / "x.py").write_text("unseen\n")
    (tree.directory / "src" / "new.py").write_text("unseen\n")
    snapshot = await tree.snapshot({b"a.txt", b"not/there"})
    assert snapshot.changed == 1
    assert (await tree.snapshot(())).changed == 0
    everything = await tree.snapshot()
    assert everything.changed == 2
    assert everything.tree == truth(tree.directory)


async def test_what_is_not_as_simple_is_looked_at_as_a_whole(ground: Ground) -> None:
    tree = await ground.worktree()
    (tree.directory / "src" / "x.py").write_text("seen\n")
    (tree.directory / "a.txt").unlink()
    (tree.directory / "a.txt").mkdir()
    (tree.directory / "a.txt" / "b").write_text("in a directory\n")
    assert (await tree.snapshot({b"a.txt"})).tree == truth(tree.directory)
    os.mkfifo(tree.directory / "fifo")
    assert [each.path for each in (await tree.snapshot({b"fifo"})).skipped] == ["fifo"]
    (tree.directory / "src" / "x.py").write_text("seen again\n")
    assert [each.path for each in (await tree.snapshot({b"src/x.py"})).skipped] == ["fifo"], "told each time"


async def test_a_change_by_the_same_size_at_the_same_moment_is_seen_later(ground: Ground) -> None:
    """What was looked at alone has not settled for the next look at all."""
    tree = await ground.worktree()
    file = tree.directory / "a.txt"
    file.write_text("two\n")
    times = file.stat()
    await tree.snapshot({b"a.txt"})
    file.write_text("six\n")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert (await tree.snapshot()).tree == truth(tree.directory)


async def test_the_bounds_hold(ground: Ground, tmp_path: Path) -> None:
    repository = await ground.repository()
    tree = await Worktree.create(repository, ground.oid, tmp_path / "small", bounds=Bounds(total_bytes=1_000))
    (tree.directory / "a.txt").write_text("x" * 1_001)
    with pytest.raises(LimitExceeded):
        await tree.snapshot({b"a.txt"})
    (tree.directory / "a.txt").write_text("x" * 900)
    assert (await tree.snapshot({b"a.txt"})).tree == truth(tree.directory)


async def test_nothing_is_forgotten_when_a_snapshot_fails(ground: Ground, tmp_path: Path) -> None:
    tree, changes = await ground.worktree(), Changes()
    assert changes.take() is None, "nothing is known at first"
    changes.of(("src", "x.py"), ("a.txt",))
    changes.of(("a.txt",))
    assert changes.take() == {b"src/x.py", b"a.txt"}
    assert changes.take() == set()
    changes.anywhere()
    changes.of(("a.txt",))
    assert changes.take() is None
    (tree.directory / "a.txt").write_text("two\n")
    (tree.directory / "src" / "x.py").write_text("two\n")
    index = index_below(tmp_path)
    index.write_bytes(b"not an index")
    assert (await tree.snapshot({b"a.txt"})).tree == truth(tree.directory), "an index that another changed is made anew"
