"""Fresh checkouts of pinned commits: plain directories, with no git metadata in them.

The worker processes of a host share one bare repository per object format. A commit's pack enters it once, from the
artifact store, under a lock; git makes a pack visible in one step, so a process that dies leaves at most a temporary
file, which the next one removes.
"""

from __future__ import annotations

import re
import shutil
import time
import uuid
from contextlib import suppress
from pathlib import Path

from mcp_servers.git.bare import make_bare, object_format
from mcp_servers.git.packs import declare_shallow, remove_pack
from mcp_servers.git.program import Git, GitError
from mcp_servers.storage.leases import locked
from mcp_servers.storage.threads import completed, in_thread
from state.errors import InputError
from state.ports import ArtifactStore

_OID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_PACK = _OID
_INCOMING = "incoming.pack"
_INDEX = "index-"
_UNMARKED = "unfinished"
_ABANDONED_SECONDS = 24 * 3600.0


class Checkouts:
    """Checkouts of commits that `pin` stored in `artifacts`; their packs are kept below `directory`."""

    def __init__(self, directory: Path, artifacts: ArtifactStore) -> None:
        self._directory = directory
        self._artifacts = artifacts

    async def fresh(self, oid: str, digest: str, into: Path) -> None:
        """Make `into`, which must be absent or empty, exactly the tree of the commit `oid` from the pack `digest`.

        Files are as they were committed: no filter, line-ending or export attribute has an effect. Modes are 644 and
        755 less the umask; symbolic links are kept. After an error or a cancellation nothing is left in `into`.
        """
        if not _OID.fullmatch(oid):
            raise InputError(f"{oid[:100]!r} is not the id of a commit", "Use the id that pinning gave.")
        repository = self._directory / f"{object_format(oid)}.git"
        await in_thread(lambda stop: check_empty(into))
        try:
            await self._ensure(repository, oid, digest)
            try:
                await self._check_out(repository, oid, into)
            except GitError:
                # Perhaps the pack was damaged after it was marked, as by a power loss. Once more, from the store.
                await self._forget(repository, oid)
                await in_thread(lambda stop: _clear(into))
                await self._ensure(repository, oid, digest)
                await self._check_out(repository, oid, into)
        except BaseException:
            await completed(in_thread(lambda stop: _clear(into)))
            raise

    async def _check_out(self, repository: Path, oid: str, into: Path) -> None:
        index = self._directory / f"{_INDEX}{uuid.uuid4().hex}"
        try:
            await Git(repository, into, index, cwd=into).run("read-tree", "--reset", "-u", oid)
        finally:
            index.unlink(missing_ok=True)
            index.with_name(f"{index.name}.lock").unlink(missing_ok=True)

    async def _ensure(self, repository: Path, oid: str, digest: str) -> None:
        marker = _marker(repository, oid)
        if await in_thread(lambda stop: marker.exists()):
            return
        await in_thread(lambda stop: self._directory.mkdir(parents=True, exist_ok=True))
        async with locked(self._directory / "lock"):
            if await in_thread(lambda stop: marker.exists()):
                return
            await in_thread(lambda stop: _sweep(repository, self._directory))
            git = await make_bare(repository, object_format=object_format(oid))
            await in_thread(lambda stop: declare_shallow(repository, oid))
            await self._receive(git, oid, digest, marker)

    async def _receive(self, git: Git, oid: str, digest: str, marker: Path) -> None:
        pack = self._directory / _INCOMING
        await self._artifacts.fetch(digest, pack)
        name = (await git.run("index-pack", "--stdin", stdin=pack)).decode().strip().rpartition("\t")[2]
        try:
            await git.run("rev-parse", "--verify", "--quiet", f"{oid}^{{tree}}")
        except GitError as error:
            raise GitError(f"the pack {digest} does not hold the commit {oid}", "Submit the plan again.") from error
        await in_thread(lambda stop: _mark(marker, name, pack))

    async def _forget(self, repository: Path, oid: str) -> None:
        async with locked(self._directory / "lock"):
            await in_thread(lambda stop: _remove_pack(repository, _marker(repository, oid)))


def _marker(repository: Path, oid: str) -> Path:
    """Says that the commit's pack is here; holds the pack's name."""
    return repository / "pinned" / oid


def _mark(marker: Path, name: str, pack: Path) -> None:
    marker.parent.mkdir(exist_ok=True)
    unfinished = marker.with_name(_UNMARKED)
    unfinished.write_text(name, "ascii")
    unfinished.replace(marker)
    pack.unlink(missing_ok=True)


def _remove_pack(repository: Path, marker: Path) -> None:
    if marker.exists() and _PACK.fullmatch(name := marker.read_text("ascii")):
        remove_pack(repository, name)
    marker.unlink(missing_ok=True)


def _sweep(repository: Path, directory: Path) -> None:
    """What the dead left. Nobody else writes to the repository while the lock is held."""
    for left in (*repository.glob("objects/pack/tmp_*"), *repository.glob("*.lock"), directory / _INCOMING):
        left.unlink(missing_ok=True)
    for index in directory.glob(f"{_INDEX}*"):
        with suppress(FileNotFoundError):
            if index.stat().st_mtime < time.time() - _ABANDONED_SECONDS:
                index.unlink()


def check_empty(into: Path) -> None:
    """Make the directory `into` if it is not there; `InputError` if something is in it. Blocks."""
    into.mkdir(parents=True, exist_ok=True)
    if next(into.iterdir(), None) is not None:
        raise InputError(f"{into} is not empty", "Check out into a new directory.")


def _clear(into: Path) -> None:
    for entry in into.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
