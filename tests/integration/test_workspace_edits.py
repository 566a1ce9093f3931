"""Any edits: every snapshot is what plain git would have stored, and is restored on a worker that shares nothing but
the artifact store."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from mcp_servers.git.workspace.chains import chain_to
from mcp_servers.git.workspace.results import Packed
from tests.integration.workspace_ground import Ground, ground_at, listing, rewrite, truth

NAMES = [f"{directory}{name}" for directory in ("", "d/", "d/e/", "\udcff/") for name in "pqrs"]


class Edits:
    """Random changes of the tree `top`."""

    def __init__(self, top: Path, chance: random.Random) -> None:
        self.top = top
        self.chance = chance

    def one(self) -> None:
        edits = (self.write, self.link, self.remove, self.rewrite, self.move, self.chmod, self.empty)
        self.chance.choices(edits, weights=(6, 2, 2, 3, 2, 2, 1))[0]()

    def write(self) -> None:
        self._free().write_bytes(bytes(self.chance.choices(b"01\n", k=self.chance.randrange(40))))

    def link(self) -> None:
        self._free().symlink_to(self.chance.choice(["/etc/passwd", "p", "d", ".."]))

    def remove(self) -> None:
        self._clear(self._place())

    def rewrite(self) -> None:
        if (path := self._file()) is not None:
            rewrite(path, "".join(self.chance.choices("01", k=path.stat().st_size)))

    def chmod(self) -> None:
        if (path := self._file()) is not None:
            path.chmod(self.chance.choice([0o644, 0o755]))

    def move(self) -> None:
        source, target = self._place(), self.top / f"moved{self.chance.randrange(3)}"
        if os.path.lexists(source):
            self._clear(target)
            source.rename(target)

    def empty(self) -> None:
        self._free().mkdir()

    def _place(self) -> Path:
        """A name whose parents, if they are there, are no links."""
        while True:
            path = self.top / self.chance.choice(NAMES)
            if not any(parent.is_symlink() for parent in path.relative_to(self.top).parents if parent != Path()):
                return path if path.parent.is_dir() else self.top / path.name

    def _file(self) -> Path | None:
        path = self._place()
        return path if path.is_file() and not path.is_symlink() else None

    def _free(self) -> Path:
        path = self.top / self.chance.choice(NAMES)
        above = [self.top / parent for parent in path.relative_to(self.top).parents if parent != Path()]
        for parent in reversed(above):
            if parent.is_symlink() or parent.is_file():
                parent.unlink()
        self._clear(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    @staticmethod
    def _clear(path: Path) -> None:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncGenerator[Ground]:
    async with ground_at(tmp_path) as ground:
        await ground.pin({"p": "p", "d/q": "q", "d/e/r": "r", "run*": "run"})
        yield ground


@pytest.mark.parametrize("seed", range(8))
async def test_any_edits_any_snapshot_restored_elsewhere(ground: Ground, seed: int) -> None:
    chance = random.Random(seed)
    tree = await ground.worktree()
    edits = Edits(tree.directory, chance)
    rows: list[Packed] = []
    states = {ground.oid: listing(tree.directory)}
    for _ in range(15):
        for _ in range(chance.randrange(1, 6)):
            edits.one()
        before = tree.tree
        snapshot = await tree.snapshot(thorough=chance.random() < 0.2)
        assert snapshot.tree == truth(tree.directory)
        assert (snapshot.packed is None) == (snapshot.tree == before)
        rows += [snapshot.packed] if snapshot.packed else []
        states[snapshot.commit] = listing(tree.directory)
        if chance.random() < 0.15:
            commit = chance.choice(list(states))
            await tree.reset(commit)
            assert listing(tree.directory) == states[commit]
    assert len(states) > 5
    for number, (commit, state) in enumerate(states.items()):
        other = await ground.repository(f"worker {number}")
        await other.bring(chain_to(commit, rows, {ground.oid}))
        await other.checkout(commit, ground.path / f"restored {number}")
        assert listing(ground.path / f"restored {number}") == state
