"""What dead workers left on this host: containers, scratch directories, too much cache. Removed now and then."""

from __future__ import annotations

import asyncio
import fcntl
import os
import tempfile
import time
from collections.abc import Collection, Generator
from contextlib import contextmanager
from pathlib import Path

from mcp_servers.storage.cache import Cache
from orchestrator.executors.workplace import remove_directory
from orchestrator.sandboxes import Sandboxes
from state.ports import Census

_EVERY_SECONDS = 30.0


def host_scratch(boot: str) -> Path:
    """Where this worker's host commands have HOME and TMPDIR. Short: sockets are made below it, and their names have
    room for a hundred characters."""
    return Path(tempfile.gettempdir()) / f"atlas-{boot[-12:]}"


@contextmanager
def kept(directory: Path) -> Generator[None]:
    """A worker's directory, as long as its process lives: then nobody takes it for an orphan."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def _abandoned(directory: Path) -> bool:
    """Whether no process keeps it."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


async def surviving(census: Census, boots: Collection[str]) -> set[str]:
    """Those of them that are not dead."""
    return {boot for boot, verdict in (await census.verdicts(boots)).items() if verdict != "dead"}


class Orphans:
    """A chore for the sweeper of the worker `boot`: directories each time, the engine and the cache at once, then twice
    a minute."""

    def __init__(
        self, work: Path, boot: str, census: Census, sandboxes: Sandboxes, cache: Cache, cache_bytes: int
    ) -> None:
        self._work = work
        self._boot = boot
        self._census = census
        self._sandboxes = sandboxes
        self._cache = cache
        self._cache_bytes = cache_bytes
        self._next = 0.0

    async def remove(self) -> None:
        """Remove what belongs to nobody alive."""
        await self._directories()
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _EVERY_SECONDS
        await self._sandboxes.reap(lambda boots: surviving(self._census, boots))
        await self._cache.evict(self._cache_bytes)

    async def remove_own(self) -> None:
        """At a clean end: this worker's own scratch directories, and once more those of the dead: a command that had
        little to do may never have swept."""
        await self._directories()
        await asyncio.to_thread(self._remove, self._boot)

    async def _directories(self) -> None:
        boots = await asyncio.to_thread(os.listdir, self._work)
        verdicts = await self._census.verdicts(boots)
        dead = {boot for boot in boots if verdicts[boot] == "dead"} - {self._boot}
        # Of those whose lease ran out nobody can tell whether they live, once the database has been restarted. Here the
        # kernel can.
        expired = {boot for boot in boots if verdicts[boot] == "expired"} - {self._boot}
        dead |= {boot for boot in expired if await asyncio.to_thread(_abandoned, self._work / boot)}
        for boot in dead:
            await asyncio.to_thread(self._remove, boot)
        await self._census.forget(dead)

    def _remove(self, boot: str) -> None:
        """The directory in our home last: it is what tells that there may be another."""
        remove_directory(host_scratch(boot))
        remove_directory(self._work / boot)
