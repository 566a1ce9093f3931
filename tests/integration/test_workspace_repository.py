"""A run's repository is a cache: whatever happens to it, the artifact store brings it back."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from mcp_servers.git.program import GitError
from mcp_servers.git.workspace.chains import chain_to
from mcp_servers.git.workspace.repository import RunRepository
from mcp_servers.git.workspace.results import Merged, Packed
from mcp_servers.git.workspace.worktree import Worktree
from state.errors import InputError, RemoteMissing
from tests.integration.workspace_ground import Ground, Listing, ground_at, inside, listing, truth, write

ROOT = Path(__file__).resolve().parents[2]
FILES = {f"d{number % 3}/f{number}": f"{number}\n" * 50 for number in range(30)}


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncGenerator[Ground]:
    async with ground_at(tmp_path) as ground:
        await ground.pin(FILES)
        yield ground


async def snapshots(ground: Ground, count: int, name: str = "tree") -> tuple[list[Packed], Listing]:
    """(packs, what the tree is at the end), made by a worker that is then gone."""
    tree = await ground.worktree(await ground.repository(f"maker {name}"), name)
    rows: list[Packed] = []
    for number in range(count):
        write(tree.directory, {f"d1/f{number}": f"changed {number}\n", f"new{number}": f"{number}\n"})
        packed = (await tree.snapshot()).packed
        assert packed is not None
        rows.append(packed)
    found = listing(tree.directory)
    shutil.rmtree(ground.path / f"maker {name}")
    shutil.rmtree(tree.directory)
    return rows, found


async def checked_out(ground: Ground, repository: RunRepository, oid: str) -> Listing:
    into = ground.path / f"checkout{len(list(ground.path.iterdir()))}"
    await repository.checkout(oid, into)
    return listing(into)


def artifact(ground: Ground, digest: str) -> Path:
    name = digest.removeprefix("sha256:")
    return ground.path / "artifacts" / "sha256" / name[:2] / name


async def test_the_pinned_commit_is_there(ground: Ground) -> None:
    repository = await ground.repository()
    shutil.rmtree(ground.source)
    assert await checked_out(ground, repository, ground.oid) == {
        name.encode(): ("file", content.encode()) for name, content in FILES.items()
    }
    assert await checked_out(ground, await ground.repository(), ground.oid)


async def test_packs_are_downloaded_once(ground: Ground) -> None:
    rows, expected = await snapshots(ground, 3)
    repository = await ground.repository()
    await repository.bring(rows[:2])
    artifact(ground, rows[0].digest).unlink()
    artifact(ground, rows[1].digest).unlink()
    await repository.bring(rows)
    assert await checked_out(ground, await ground.repository(), rows[-1].oid) == expected
    await repository.bring([])


async def test_what_was_made_here_is_not_downloaded(ground: Ground) -> None:
    repository = await ground.repository()
    tree = await ground.worktree(repository)
    write(tree.directory, {"new": "n"})
    packed = (await tree.snapshot()).packed
    assert packed is not None
    artifact(ground, packed.digest).unlink()
    await repository.bring([packed])
    assert (await checked_out(ground, repository, packed.oid))[b"new"] == ("file", b"n")


async def test_what_is_gone_is_told(ground: Ground) -> None:
    rows, _ = await snapshots(ground, 2)
    repository = await ground.repository()
    artifact(ground, rows[0].digest).unlink()
    with pytest.raises(RemoteMissing):
        await repository.bring(rows)
    artifact(ground, ground.digest).unlink()
    with pytest.raises(RemoteMissing):
        await ground.repository("another worker")


async def test_a_pack_that_is_not_what_it_should_be(ground: Ground) -> None:
    rows, expected = await snapshots(ground, 2)
    repository = await ground.repository()
    with pytest.raises(GitError):
        await repository.bring(rows[1:])  # its base is missing
    claimed = Packed("1" * 40, ground.oid, rows[0].digest, rows[0].size)
    with pytest.raises(GitError, match=f"do not bring the commit {'1' * 40}"):
        await repository.bring([claimed])
    (ground.path / "junk").write_bytes(b"not a pack")
    junk = await ground.artifacts.put(ground.path / "junk")
    with pytest.raises(GitError):
        await repository.bring([Packed("2" * 40, ground.oid, junk.digest, junk.size)])
    await repository.bring(rows)
    assert await checked_out(ground, repository, rows[-1].oid) == expected
    with pytest.raises(InputError):
        await repository.bring([Packed("HEAD", ground.oid, rows[0].digest, 1)])


async def test_where_a_checkout_may_go(ground: Ground) -> None:
    repository = await ground.repository()
    (ground.path / "taken").mkdir()
    (ground.path / "taken" / "mine").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        await repository.checkout(ground.oid, ground.path / "taken")
    with pytest.raises(GitError):
        await repository.checkout("1" * 40, ground.path / "into")
    assert list((ground.path / "into").iterdir()) == []
    assert list(repository.cache.scratch.iterdir()) == []


def _files(repository: RunRepository, pattern: str) -> list[Path]:
    found = sorted(repository.cache.repository.glob(pattern))
    assert found, pattern
    return found


def _rewrite(path: Path, content: bytes) -> None:
    """git made it read-only."""
    path.chmod(0o644)
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[RunRepository], object]] = {
    "everything": lambda r: shutil.rmtree(r.cache.repository),
    "no packs": lambda r: [path.unlink() for path in _files(r, "objects/pack/*.pack")],
    "no pack indexes": lambda r: [path.unlink() for path in _files(r, "objects/pack/*.idx")],
    "truncated packs": lambda r: [os.truncate(p, p.stat().st_size // 2) for p in _files(r, "objects/pack/*.pack")],
    "empty packs": lambda r: [os.truncate(p, 0) for p in _files(r, "objects/pack/*.pack")],
    "packs of nonsense": lambda r: [
        _rewrite(p, p.read_bytes()[:50] + bytes(p.stat().st_size - 70) + p.read_bytes()[-20:])
        for p in _files(r, "objects/pack/*.pack")
    ],
    "pack indexes of nonsense": lambda r: [_rewrite(p, b"nonsense" * 200) for p in _files(r, "objects/pack/*.idx")],
    "no loose objects": lambda r: [path.unlink() for path in _files(r, "objects/??/*")],
    "empty loose objects": lambda r: [os.truncate(path, 0) for path in _files(r, "objects/??/*")],
    "truncated loose objects": lambda r: [os.truncate(p, p.stat().st_size - 5) for p in _files(r, "objects/??/*")],
    "loose objects of nonsense": lambda r: [_rewrite(p, b"nonsense") for p in _files(r, "objects/??/*")],
    "no HEAD": lambda r: (r.cache.repository / "HEAD").unlink(),
    "a torn configuration": lambda r: (r.cache.repository / "config").write_text("[core\n\tbar"),
    "no journal": lambda r: (r.cache.repository / "journal").unlink(),
    "a torn journal": lambda r: os.truncate(r.cache.repository / "journal", 90),
    "an empty shallow file": lambda r: (r.cache.repository / "shallow").write_text(""),
    "a shallow file of nonsense": lambda r: (r.cache.repository / "shallow").write_text("nonsense\n"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("again", [False, True], ids=["going on", "opened again"])
async def test_a_damaged_cache_is_made_good(ground: Ground, damage: str, again: bool) -> None:
    """Some commits came as packs, others were made here."""
    rows, _ = await snapshots(ground, 2)
    repository = await ground.repository()
    await repository.bring(rows)
    tree = await Worktree.create(repository, rows[-1].oid, ground.path / "tree")
    write(tree.directory, {"made": "here\n", "d1/f1": "here\n"})
    packed = (await tree.snapshot()).packed
    assert packed is not None
    expected = listing(tree.directory)
    DAMAGES[damage](repository)
    if again:
        repository = await ground.repository()
    chain = chain_to(packed.oid, [*rows, packed], {ground.oid})
    await repository.bring(chain)
    assert await checked_out(ground, repository, packed.oid) == expected
    assert await checked_out(ground, repository, rows[0].oid)
    # all of it, not only what was asked for
    inside(repository, "fsck", "--full", "--strict", packed.oid)
    if not again:
        write(tree.directory, {"made": "later\n"})
        snapshot = await tree.snapshot()
        assert snapshot.tree == truth(tree.directory)
        merged = await repository.merge(ground.oid, snapshot.commit, "m")
        assert isinstance(merged, Merged)
        assert (await repository.diff(ground.oid, merged.oid)).files


@pytest.mark.parametrize("damage", ["everything", "no packs", "truncated packs", "empty loose objects", "no HEAD"])
async def test_a_worktree_goes_on_over_a_damaged_cache(ground: Ground, damage: str) -> None:
    """Without anybody bringing anything."""
    repository = await ground.repository()
    tree = await ground.worktree(repository)
    write(tree.directory, {"new": "1\n"})
    await tree.snapshot()
    DAMAGES[damage](repository)
    write(tree.directory, {"new": "2\n", "d1/f1": "2\n"})
    snapshot = await tree.snapshot()
    assert snapshot.tree == truth(tree.directory)
    assert snapshot.packed is not None
    DAMAGES[damage](repository)
    await tree.reset(snapshot.commit)
    assert truth(tree.directory) == snapshot.tree
    merged = await repository.merge(ground.oid, await tree.deliverable(ground.oid), "m")
    assert isinstance(merged, Merged)
    assert merged.tree == snapshot.tree


async def test_an_index_that_is_gone_is_made_again(ground: Ground) -> None:
    repository = await ground.repository()
    tree = await ground.worktree(repository)
    for damage in (None, b"", b"DIRC nonsense"):
        [index] = repository.cache.scratch.glob("index-*")
        index.unlink()
        if damage is not None:
            index.write_bytes(damage)
        write(tree.directory, {"new": f"{damage}"})
        assert (await tree.snapshot()).tree == truth(tree.directory)


async def test_many_at_once_in_one_repository(ground: Ground) -> None:
    repository = await ground.repository()

    async def attempt(number: int) -> tuple[list[Packed], Listing]:
        mine = repository if number % 2 else await ground.repository()
        tree = await ground.worktree(mine, f"tree{number}")
        rows: list[Packed] = []
        for turn in range(5):
            write(tree.directory, {"same": f"{turn}", f"mine{number}": f"{turn}"})
            packed = (await tree.snapshot()).packed
            assert packed is not None
            assert tree.tree == truth(tree.directory)
            rows.append(packed)
        return rows, listing(tree.directory)

    done = await asyncio.gather(*(attempt(number) for number in range(6)))
    other = await ground.repository("another worker")
    await asyncio.gather(*(other.bring(rows) for rows, _ in done))
    for rows, expected in done:
        assert await checked_out(ground, other, rows[-1].oid) == expected


async def test_two_calls_on_one_worktree(ground: Ground) -> None:
    tree = await ground.worktree()
    write(tree.directory, {"new": "1"})
    first, second = await asyncio.gather(tree.snapshot(), tree.snapshot())
    assert first.commit == second.commit == tree.commit
    assert (first.packed is None) != (second.packed is None)


async def test_processes_that_open_at_the_same_time(ground: Ground) -> None:
    rows, expected = await snapshots(ground, 3)
    program = (
        "import asyncio, sys; from pathlib import Path\n"
        "from mcp_servers.git.workspace.results import Packed\n"
        "from tests.integration.workspace_ground import ground_at\n"
        "async def main(path, oid, digest, into, *rows):\n"
        "    async with ground_at(Path(path)) as ground:\n"
        "        ground.oid, ground.digest = oid, digest\n"
        "        repository = await ground.repository()\n"
        "        packs = [Packed(*row.split()[:3], int(row.split()[3])) for row in rows]\n"
        "        await repository.bring(packs)\n"
        "        await repository.checkout(packs[-1].oid, Path(into))\n"
        "asyncio.run(main(*sys.argv[1:]))\n"
    )
    packs = [f"{row.oid} {row.base} {row.digest} {row.size}" for row in rows]
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program, str(ground.path), ground.oid, ground.digest),
            *(str(ground.path / f"into{number}"), *packs),
            cwd=ROOT,
        )
        for number in range(4)
    ]
    assert [await process.wait() for process in processes] == [0] * 4
    for number in range(4):
        assert listing(ground.path / f"into{number}") == expected
    assert len(_files(await ground.repository(), "objects/pack/*.pack")) == 1 + len(rows)
