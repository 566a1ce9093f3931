"""The bare repository of one run on this worker's disk, and how it is made good again from the artifact store.

Several processes use it at once. Packs come in under a lock; git makes a pack or an object visible in one step, so a
process that dies leaves at most temporary files, which are swept. A journal tells which artifacts are, or could be,
here: when something turns out to be missing or damaged, what is damaged is removed, and they are brought again.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TypeVar

from mcp_servers.git.bare import make_bare, object_format
from mcp_servers.git.packs import declare_shallow, remove_pack
from mcp_servers.git.program import AS_IT_IS, Git, GitError
from mcp_servers.git.workspace.loose import remove_damaged
from mcp_servers.storage.leases import locked
from mcp_servers.storage.threads import Stop, in_thread
from state.errors import RemoteMissing
from state.ports import ArtifactStore

T = TypeVar("T")

_SETTINGS = (
    *AS_IT_IS,
    "core.bare=true",
    "core.protectNTFS=true",
    "core.protectHFS=true",
    "core.splitIndex=false",
    "core.looseCompression=1",
    "core.logAllRefUpdates=false",
    "pack.compression=1",
    "pack.threads=1",
    "merge.directoryRenames=false",
)
_ANY_CODE = range(-64, 256)
_NONE = "-"
_ABANDONED_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the journal: an artifact, the commits it leads from and to, and the name of the pack that it became
    here, if it did."""

    digest: str
    oid: str
    base: str
    name: str = _NONE


class Cache:
    """`root` is the pinned commit's pack. Nothing is there before `ensure`."""

    def __init__(self, directory: Path, root: Entry, artifacts: ArtifactStore) -> None:
        self.repository = directory / "repository.git"
        self.scratch = directory / "scratch"
        self.artifacts = artifacts
        self.git = Git(self.repository, cwd=self.repository, settings=_SETTINGS)
        self._root = root
        self._lock = directory / "lock"
        self._journal = self.repository / "journal"
        self._used: dict[str, Entry] = {root.digest: root}
        """By digest: what this process has brought or made, should the journal be lost too."""

    def in_tree(self, work_tree: Path) -> Git:
        """To call git with a working tree."""
        return Git(self.repository, work_tree, cwd=work_tree, settings=_SETTINGS)

    @asynccontextmanager
    async def temporary(self) -> AsyncGenerator[Path]:
        """A name in the scratch directory; whatever is there afterwards is removed."""
        path = self.scratch / f"file-{uuid.uuid4().hex}"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    async def ensure(self) -> None:
        """Be there, with the pinned commit in it."""
        await in_thread(lambda stop: self.scratch.mkdir(parents=True, exist_ok=True))
        async with locked(self._lock):
            await in_thread(self._sweep)
            try:
                await self.git.run("cat-file", "-e", f"{self._root.oid}^{{tree}}")
                sound = await in_thread(lambda stop: self._has(self._root, self._entries()))
            except GitError:
                sound = False
            if not sound:
                await self._mend()

    async def bring(self, entries: Sequence[Entry]) -> None:
        """Have these packs, in this order. `RemoteMissing`; `GitError` for one that is not what it should be."""
        self._used |= {entry.digest: entry for entry in entries if entry.digest not in self._used}
        if await in_thread(lambda stop: self._missing(entries)):
            async with locked(self._lock):
                for entry in await in_thread(lambda stop: self._missing(entries)):
                    await self._receive(entry)

    async def sound(self, work: Callable[[], Awaitable[T]]) -> T:
        """The result of `work`, which is tried again when it failed and something here was repaired."""
        try:
            return await work()
        except GitError:
            await self.mend()
            return await work()

    async def mend(self) -> None:
        """Remove what is damaged, and bring what is missing."""
        async with locked(self._lock):
            await self._mend()

    def record(self, entry: Entry) -> None:
        """Remember an artifact that was made here; blocks."""
        self._used.setdefault(entry.digest, entry)
        line = f"{entry.digest} {entry.oid} {entry.base} {entry.name}\n".encode("ascii")
        descriptor = os.open(self._journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)

    def _entries(self) -> dict[str, Entry]:
        """By digest, oldest first. A torn line is left out."""
        with suppress(FileNotFoundError):
            lines = self._journal.read_text("ascii", "replace").splitlines()
            entries = [Entry(*fields) for line in lines if len(fields := line.split(" ")) == 4]
            return {entry.digest: entry for entry in entries}
        return {}

    def _has(self, entry: Entry, known: dict[str, Entry]) -> bool:
        """What was made here came from objects that are here."""
        there = known.get(entry.digest)
        return there is not None and (there.name == _NONE or all(path.exists() for path in self._pack(there.name)))

    def _missing(self, entries: Iterable[Entry]) -> list[Entry]:
        known = self._entries()
        return [entry for entry in entries if not self._has(entry, known)]

    def _pack(self, name: str) -> tuple[Path, Path]:
        directory = self.repository / "objects" / "pack"
        return directory / f"pack-{name}.pack", directory / f"pack-{name}.idx"

    async def _receive(self, entry: Entry) -> None:
        async with self.temporary() as pack:
            await self.artifacts.fetch(entry.digest, pack)
            said = await self.git.run("index-pack", "--stdin", "--fix-thin", stdin=pack)
        name = said.decode("ascii").strip().rpartition("\t")[2]
        await in_thread(lambda stop: self.record(Entry(entry.digest, entry.oid, entry.base, name)))

    async def _mend(self) -> None:
        try:
            await make_bare(self.repository, object_format=object_format(self._root.oid))
        except GitError:
            await in_thread(lambda stop: shutil.rmtree(self.repository, ignore_errors=True))
            await make_bare(self.repository, object_format=object_format(self._root.oid))
        await in_thread(lambda stop: declare_shallow(self.repository, self._root.oid))
        await in_thread(lambda stop: remove_damaged(self.repository / "objects", object_format(self._root.oid), stop))
        await self._remove_damaged_packs()
        known = self._used | await in_thread(lambda stop: self._entries())
        await self._receive_all([each for each in known.values() if not self._indexed(each)])

    def _indexed(self, entry: Entry) -> bool:
        return entry.name != _NONE and all(path.exists() for path in self._pack(entry.name))

    async def _remove_damaged_packs(self) -> None:
        for path in await in_thread(lambda stop: sorted((self.repository / "objects" / "pack").glob("pack-*"))):
            if path.suffix in (".pack", ".idx"):
                said = await self.git.answer("verify-pack", str(path.with_suffix(".idx")), codes=_ANY_CODE)
                if said.code:
                    name = path.stem.removeprefix("pack-")
                    await in_thread(lambda stop, name=name: remove_pack(self.repository, name))

    async def _receive_all(self, entries: list[Entry]) -> None:
        """Each as soon as its base is there. What can't be had is left out: whoever needs it will say so. But for the
        pinned commit."""
        waiting = sorted(entries, key=lambda entry: entry.digest != self._root.digest)
        while waiting:
            left: list[Entry] = []
            for entry in waiting:
                try:
                    await self._receive(entry)
                except (GitError, RemoteMissing):
                    if entry.digest == self._root.digest:
                        raise
                    left.append(entry)
            if len(left) == len(waiting):
                return
            waiting = left

    def _sweep(self, stop: Stop) -> None:
        """What the dead left. Packs are written under the lock only, which is held."""
        for left in self.repository.glob("objects/pack/tmp_*"):
            left.unlink(missing_ok=True)
        old = time.time() - _ABANDONED_SECONDS
        places = (self.scratch.iterdir(), self.repository.glob("*.lock"))
        objects = (self.repository.glob("objects/??/tmp_*"), self.repository.glob("objects/tmp_objdir*"))
        for left in chain(*places, *objects):
            stop.check()
            with suppress(FileNotFoundError):
                if left.stat().st_mtime < old:
                    shutil.rmtree(left) if left.is_dir() else left.unlink()
