"""A worker that is killed, or a call that is cancelled, at any step: what was told durable is there, and the next one
goes on."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

import pytest

from mcp_servers.git.workspace.results import Packed
from mcp_servers.git.workspace.worktree import Worktree
from tests.integration.workspace_ground import Ground, ground_at, inside, listing, truth, write

ROOT = Path(__file__).resolve().parents[2]
FILES = {f"d{number % 5}/f{number}": f"{number}\n" * 20 for number in range(200)}


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncGenerator[Ground]:
    async with ground_at(tmp_path) as ground:
        await ground.pin(FILES)
        yield ground


class Trap:
    """A git that says when it starts `verb`, after `before` as a shell does it in the repository, and then hangs."""

    def __init__(self, place: Path, verb: str, before: str = "") -> None:
        self.directory = place / "bin"
        self.started = place / "started"
        self.directory.mkdir()
        program = self.directory / "git"
        program.write_text(
            f'#!/bin/sh\ncase " $* " in *\' {verb} \'*)\n  cd "$GIT_DIR" && {before or ":"}\n'
            f"  echo $$ > {self.started}.new; mv {self.started}.new {self.started}; exec sleep 1000;;\n"
            f'esac\nexec {shutil.which("git")} "$@"\n'
        )
        program.chmod(0o755)

    @property
    def path(self) -> str:
        return f"{self.directory}:{os.environ['PATH']}"

    async def reached(self) -> None:
        async with asyncio.timeout(60):
            while not self.started.exists():  # noqa: ASYNC110  another process makes it
                await asyncio.sleep(0.01)

    def kill(self) -> None:
        """What it left running."""
        os.kill(int(self.started.read_text()), signal.SIGKILL)


HALF_OBJECT = "mkdir -p objects/aa; echo half > objects/aa/tmp_obj_half; mkdir objects/tmp_objdir-half"
HALF_PACK = "mkdir -p objects/pack; echo half > objects/pack/tmp_pack_half"
VERBS = ["update-index", "write-tree", "pack-objects", "diff-tree"]


async def work(path: str, oid: str, digest: str, act: str, *rows: str) -> None:
    """In a process of its own, to be killed."""
    async with ground_at(Path(path)) as ground:
        ground.oid, ground.digest = oid, digest
        repository = await ground.repository()
        if act == "bring":
            await repository.bring([Packed(oid, base, digest, 1) for oid, base, digest in map(str.split, rows)])
        elif act == "checkout":
            await repository.checkout(oid, ground.path / "killed")
        else:
            tree = await Worktree.create(repository, oid, ground.path / "killed")
            write(tree.directory, {"new": "n", "d1/f1": "changed"})
            await tree.snapshot()


async def child(ground: Ground, path: str, act: str, *rows: str, **more: str) -> asyncio.subprocess.Process:
    arguments = (str(ground.path), ground.oid, ground.digest, act, *rows)
    environment = {**os.environ, "PATH": path, **more}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", __name__, *arguments), cwd=ROOT, env=environment
    )


async def killed(ground: Ground, trap: Trap, act: str, *rows: str) -> None:
    process = await child(ground, trap.path, act, *rows)
    await trap.reached()
    process.send_signal(signal.SIGKILL)
    await process.wait()
    trap.kill()


async def _goes_on(ground: Ground, name: str, files: Mapping[str, str] = FILES) -> None:
    """All that a worker does, on the same disk."""
    repository = await ground.repository()
    tree = await ground.worktree(repository, name)
    assert listing(tree.directory) == {path.encode(): ("file", text.encode()) for path, text in files.items()}
    write(tree.directory, {"new": "n", "d1/f1": "changed", "d2/f2": "changed"})
    snapshot = await tree.snapshot()
    assert snapshot.tree == truth(tree.directory)
    assert snapshot.packed is not None
    inside(repository, "fsck", "--full", "--strict", snapshot.commit)
    other = await ground.repository(f"worker {name}")
    await other.bring([snapshot.packed])
    await other.checkout(snapshot.commit, ground.path / f"restored {name}")
    assert listing(ground.path / f"restored {name}") == listing(tree.directory)


@pytest.mark.parametrize("verb", VERBS)
async def test_killed_while_it_made_a_snapshot(ground: Ground, verb: str) -> None:
    await killed(ground, Trap(ground.path, verb, HALF_OBJECT), "snapshot")
    await _goes_on(ground, "after")


@pytest.mark.parametrize("hit", range(1, 7))
async def test_killed_while_it_stored_what_few_files_change(tmp_path: Path, hit: int) -> None:
    """Each object of the snapshot: two files, the directory of one, the whole, the commit; there is no sixth."""
    files = dict(list(FILES.items())[:20])
    async with ground_at(tmp_path) as ground:
        await ground.pin(files)
        process = await child(ground, os.environ["PATH"], "snapshot", ATLAS_FAILPOINTS=f"snapshot.object=kill@{hit}")
        assert await process.wait() == (-signal.SIGKILL if hit < 6 else 0)
        await _goes_on(ground, "after", files)


@pytest.mark.parametrize("verb", ["init", "index-pack", "read-tree"])
async def test_killed_while_it_opened_and_checked_out(ground: Ground, verb: str) -> None:
    await killed(ground, Trap(ground.path, verb, HALF_PACK if verb == "index-pack" else ""), "checkout")
    await _goes_on(ground, "after")
    assert not list((await ground.repository()).cache.repository.glob("objects/pack/tmp_*"))


@pytest.mark.parametrize("verb", ["index-pack", "rev-list"])
async def test_killed_while_it_brought_packs(ground: Ground, verb: str) -> None:
    maker = await ground.worktree(await ground.repository("maker"), "made")
    rows: list[Packed] = []
    for number in range(3):
        write(maker.directory, {"new": f"{number}"})
        packed = (await maker.snapshot()).packed
        assert packed is not None
        rows.append(packed)
    await ground.repository()  # so that only the packs are brought
    lines = [f"{row.oid} {row.base} {row.digest}" for row in rows]
    await killed(ground, Trap(ground.path, verb, HALF_PACK), "bring", *lines)
    repository = await ground.repository()
    await repository.bring(rows)
    await repository.checkout(rows[-1].oid, ground.path / "into")
    assert listing(ground.path / "into") == listing(maker.directory)


@pytest.mark.chaos
async def test_killed_at_any_moment(ground: Ground) -> None:
    """Workers in a row on the same disk, each killed a little later."""
    start = time.monotonic()
    assert await (await child(ground, os.environ["PATH"], "snapshot")).wait() == 0
    whole = time.monotonic() - start
    for number in range(10):
        shutil.rmtree(ground.path / "killed")
        if number % 2:
            shutil.rmtree(ground.path / "run", ignore_errors=True)
        process = await child(ground, os.environ["PATH"], "snapshot")
        try:
            await asyncio.wait_for(process.wait(), whole * (0.5 + 0.05 * number))
        except TimeoutError:
            process.send_signal(signal.SIGKILL)
            await process.wait()
        (ground.path / "killed").mkdir(exist_ok=True)
    shutil.rmtree(ground.path / "killed")
    await _goes_on(ground, "after")


@pytest.mark.parametrize("verb", VERBS)
async def test_a_cancelled_snapshot_and_the_next(ground: Ground, verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = await ground.repository()
    tree = await ground.worktree(repository)
    write(tree.directory, {"new": "n", "d1/f1": "changed"})
    (tree.directory / "d2" / "f2").unlink()
    # git's lock on the index, as it is left by one that is killed
    trap = Trap(ground.path, verb, 'test -z "$GIT_INDEX_FILE" || touch "$GIT_INDEX_FILE.lock"')
    with monkeypatch.context() as patched:
        patched.setenv("PATH", trap.path)
        task = asyncio.create_task(tree.snapshot())
        await trap.reached()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert tree.commit == ground.oid
    snapshot = await tree.snapshot()
    assert snapshot.tree == truth(tree.directory)
    assert snapshot.changed == 3
    assert snapshot.packed is not None
    assert snapshot.packed.base == ground.oid
    await tree.remove()
    assert list(repository.cache.scratch.iterdir()) == []


async def test_a_cancelled_reset_and_the_next(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = await ground.worktree()
    before = listing(tree.directory)
    write(tree.directory, {"new": "n"})
    snapshot = await tree.snapshot()
    trap = Trap(ground.path, "read-tree")
    with monkeypatch.context() as patched:
        patched.setenv("PATH", trap.path)
        task = asyncio.create_task(tree.reset(ground.oid))
        await trap.reached()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    with pytest.raises(Exception, match="is not a whole tree"):
        await tree.snapshot()
    assert tree.commit == snapshot.commit
    await tree.reset(ground.oid)
    assert (listing(tree.directory), tree.commit) == (before, ground.oid)


async def test_a_cancelled_checkout_leaves_nothing(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = await ground.repository()
    trap = Trap(ground.path, "read-tree", 'echo half > "$GIT_WORK_TREE/half"; touch "$GIT_INDEX_FILE.lock"')
    for made, call in (
        ("checkout", repository.checkout(ground.oid, ground.path / "checkout")),
        ("tree", Worktree.create(repository, ground.oid, ground.path / "tree")),
    ):
        with monkeypatch.context() as patched:
            patched.setenv("PATH", trap.path)
            task = asyncio.ensure_future(call)
            await trap.reached()
            assert (ground.path / made / "half").exists()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        trap.started.unlink()
    assert list((ground.path / "checkout").iterdir()) == []
    assert not (ground.path / "tree").exists()
    assert list(repository.cache.scratch.iterdir()) == []
    await _goes_on(ground, "after")


if __name__ == "__main__":
    asyncio.run(work(*sys.argv[1:]))
