"""One attempt's working tree: a plain directory that sandboxed commands change, and snapshots of it as commits.

git's index of it and all objects lie elsewhere. Nothing in the directory is believed: a snapshot looks at all of it,
and gives git the paths of files and links only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from mcp_servers.git.program import GitError
from mcp_servers.git.workspace import differences
from mcp_servers.git.workspace.index import Index, Mark
from mcp_servers.git.workspace.repository import RunRepository
from mcp_servers.git.workspace.results import Packed, Snapshot
from mcp_servers.git.workspace.scanning import Bounds, Known, Scan, Stamp, look_again, scan
from mcp_servers.git.workspace.together import both
from mcp_servers.git.workspace.trees import NotSimple, Trees
from mcp_servers.storage.clearing import clear, remove
from mcp_servers.storage.threads import completed, in_thread
from state.errors import InputError

CONSOLIDATED = 32
"""After so many snapshots, a pack is made against the commit that the worktree began from: it stands for all."""
REBUILT = 5_000
"""With more changed files, a new index is quicker than the old one changed."""
FEW, FEW_BYTES, MANY = 100, 8 << 20, 20_000
"""Up to so many changed files, of so many bytes together, in a tree of so many, are stored without starting git."""
_MESSAGE = "Snapshot"


class Worktree:
    """`commit` is the newest snapshot, or what the tree began from, and `tree` its tree. No process may change the
    directory while a method runs."""

    def __init__(self, repository: RunRepository, directory: Path, origin: str, bounds: Bounds) -> None:
        """Use `create`."""
        self.directory = directory
        self.commit: str = ""
        self.tree: str = ""
        self._repository = repository
        self._bounds = bounds
        self._origin = origin
        self._packs = 0
        self._turn = asyncio.Lock()
        self._index: Index | None = None
        self._mark: Mark | None = None
        self._seen: Scan | None = None
        """What `commit` agrees with; None: nobody knows."""
        self._trees: Trees | None = None
        """What is in `commit`; None: it has not been read."""
        self._behind = False
        """The index is of an earlier commit than `commit`."""
        self._submodules: set[bytes] = set()
        self._large: dict[bytes, Stamp] = {}
        """Files over the bound that the commit which the tree began from has."""

    @classmethod
    async def create(
        cls,
        repository: RunRepository,
        commit: str,
        directory: Path,
        *,
        origin: str | None = None,
        bounds: Bounds | None = None,
    ) -> Worktree:
        """Check `commit` out into `directory`, which must not exist. `origin` is an ancestor of it (default: itself)
        that the repository of whoever carries on has anyway, as the head of the run: packs that stand for many
        snapshots are made against it, the first one when it is another commit."""
        worktree = cls(repository, directory, origin or commit, bounds or Bounds())
        worktree._packs = CONSOLIDATED - 1 if origin not in (None, commit) else 0
        try:
            await in_thread(lambda stop: directory.mkdir(parents=True))
        except FileExistsError as error:
            raise InputError(f"{directory} exists", "Make a worktree in a new directory.") from error
        try:
            await worktree._put(commit)
        except BaseException:
            await completed(worktree.remove())
            raise
        return worktree

    async def snapshot(self, only: Collection[bytes] | None = None, *, thorough: bool = False) -> Snapshot:
        """Store the tree as it is, as a commit whose parent is the snapshot before; when this returns it is durable, in
        the repository and in the artifact store. `only` these paths (of no directories) can have changed since then;
        None: any can. `thorough` looks into every file, whatever its times say.

        Everything is stored, ignored or not; lost are empty directories, and modes but for whether a file is
        executable. What can't be stored is in `skipped`; what of that is too large or can't be read stays as it was in
        the snapshot before.
        `LimitExceeded` (`SNAPSHOT_ENTRIES`, `SNAPSHOT_BYTES`): there is too much.
        """
        async with self._turn:
            if thorough:
                self._seen = None

            async def work() -> Snapshot:
                try:
                    return await self._snapshot(only)
                except BaseException:
                    self._seen = self._trees = None
                    raise

            return await self._repository.cache.sound(work)

    async def reset(self, commit: str) -> None:
        """Make the directory exactly the tree of this commit, from which later snapshots go on. If this fails, the
        directory is of no use until it has succeeded."""
        async with self._turn:
            await self._forget_index()
            await in_thread(lambda stop: clear(self.directory, stop))
            await self._put(commit)

    async def deliverable(self, base: str, message: str = "Deliverable") -> str:
        """A commit, whose parent is `base`, of the newest snapshot without what is ignored: see
        `RunRepository.deliverable`."""
        return await self._repository.deliverable(self.commit, base, message)

    async def remove(self) -> None:
        """The directory, and the index."""
        async with self._turn:
            await self._forget_index()
            await in_thread(lambda stop: remove(self.directory, stop))

    async def _put(self, commit: str) -> None:
        tree = await self._repository.tree_of(commit)
        index = await self._repository.check_out(commit, self.directory)
        await self._use(index)
        self._submodules = await index.submodules()
        self._large = {}
        self._seen = await self._scan()
        self._large = self._seen.large
        if self._seen.unseen:
            self._seen.keep(await index.paths() - self._submodules)
        self.commit, self.tree = commit, tree

    async def _use(self, index: Index) -> None:
        await self._forget_index()
        self._index, self._behind = index, False
        self._mark = await in_thread(lambda stop: index.mark())

    async def _forget_index(self) -> None:
        if index := self._index:
            self._index = self._seen = self._trees = None
            await completed(in_thread(index.remove))

    async def _scan(self, seen: Scan | None = None) -> Scan:
        known = Known(self._submodules, self._large, seen.files if seen else {})
        return await in_thread(lambda stop: scan(self.directory, known, self._bounds, stop))

    async def _look_again(
        self, seen: Scan | None, only: Collection[bytes] | None
    ) -> tuple[Scan, list[bytes], list[bytes]] | None:
        if seen is None or only is None or self._submodules:
            return None
        known = Known(files=seen.files)
        return await in_thread(lambda stop: look_again(self.directory, seen, only, known, self._bounds, stop))

    async def _snapshot(self, only: Collection[bytes] | None) -> Snapshot:
        if self._index is None:
            raise GitError(f"{self.directory} is not a whole tree", "Reset it to a commit.")
        seen, index = self._seen, self._index
        if self._mark != await in_thread(lambda stop: index.mark()):
            seen = None
        if again := await self._look_again(seen, only):
            found, changed, gone = again
        else:
            found, changed, gone = await self._look(seen)
        tree = self.tree
        if changed or gone:
            simple = self._is_simple(found, changed, gone) if seen else None
            made = await self._changed(simple, gone) if simple is not None else None
            tree = made or await self._indexed(changed, gone)
        snapshot = await self._store(tree, found, {*changed, *gone})
        self._submodules &= found.links
        index = self._index or index
        self._seen, self._mark = found, await in_thread(lambda stop: index.mark())
        return snapshot

    def _is_simple(self, found: Scan, changed: Sequence[bytes], gone: Sequence[bytes]) -> dict[bytes, Stamp] | None:
        """The stamps of what has changed, if that is little, and nothing here is special."""
        stamps = {path: found.files[path] for path in changed if path in found.files}
        if len(changed) + len(gone) > FEW or len(stamps) < len(changed) or len(found.files) > MANY:
            return None
        special = self._submodules or found.unseen or sum(stamp[2] for stamp in stamps.values()) > FEW_BYTES
        return None if special else stamps

    async def _changed(self, changed: Mapping[bytes, Stamp], gone: Sequence[bytes]) -> str | None:
        """The tree, by way of the one in memory; None: git has to judge."""
        trees = self._trees or await self._repository.trees(self.commit)
        self._trees = None
        try:
            tree = await in_thread(lambda stop: trees.change(self.tree, self.directory, gone, changed))
        except (NotSimple, OSError):
            return None
        self._trees, self._behind = trees, self._behind or tree != self.tree
        return tree

    async def _indexed(self, changed: Collection[bytes], gone: Collection[bytes]) -> str:
        """The tree, by way of git's index."""
        index = await self._read_index() if self._behind or not self._index else self._index
        self._trees = None
        await index.update(gone, changed)
        return await index.write_tree()

    async def _read_index(self) -> Index:
        """A new one, of `commit`."""
        index = Index(self._repository.cache.in_tree(self.directory), self._repository.cache.scratch)
        await self._use(index)
        await index.read(self.commit)
        return index

    async def _look(self, seen: Scan | None) -> tuple[Scan, list[bytes], list[bytes]]:
        """(all there is, what may have changed, what is gone), to bring the index up to date."""
        found = await self._scan(seen)
        known: Collection[bytes] = seen.files if seen else ()
        changed = found.changed_since(seen) if seen else []
        if not seen or len(changed) > REBUILT:
            index = await self._read_index()
            known, changed = await index.paths() - self._submodules, list(found.files)
        gone = [*found.gone(known), *(self._submodules - found.links)]
        found.keep(known)
        return found, changed, gone

    async def _store(self, tree: str, found: Scan, looked: Collection[bytes]) -> Snapshot:
        skipped = tuple(found.skipped)
        if tree == self.tree:
            return Snapshot(self.commit, tree, 0, skipped, None)
        commit = await self._repository.commit(tree, [self.commit], _MESSAGE)
        changed, packed = await both(self._count(tree, looked), self._pack(commit))
        self.commit, self.tree = commit, tree
        self._packs = 0 if packed.base == self._origin else self._packs + 1
        return Snapshot(commit, tree, changed, skipped, packed)

    async def _count(self, tree: str, looked: Collection[bytes]) -> int:
        """How many paths differ, of those that were looked at."""
        if len(looked) == 1:
            return 1
        return await differences.count(self._repository.cache.git, self.tree, tree)

    async def _pack(self, commit: str) -> Packed:
        consolidated = self._packs >= CONSOLIDATED - 1
        return await self._repository.pack(commit, self._origin if consolidated else self.commit)
