"""What dead workers left on this host: containers, scratch directories, too much cache. Removed now and then."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Collection
from pathlib import Path

from mcp_servers.storage.cache import Cache
from orchestrator.cli.belongings import abandoned, remove_abandoned
from orchestrator.executors.workplace import remove_directory
from orchestrator.sandboxes import Sandboxes
from state.ports import Census

_EVERY_SECONDS = 30.0


def host_scratch(boot: str) -> Path:
    """Where this worker's host commands have HOME and TMPDIR. Short: sockets are made below it, and their names have
    room for a hundred characters."""
    return Path(tempfile.gettempdir()) / f"atlas-{boot[-12:]}"


async def surviving(census: Census, boots: Collection[str]) -> set[str]:
    """Those of them that are not dead."""
    return {boot for boot, verdict in (await census.verdicts(boots)).items() if verdict != "dead"}


class Orphans:
    """A chore for the sweeper of the worker `boot`: directories each time, the engine and the cache at once, then twice
    a minute."""

    def __init__(
        self, work: Path, scratch: Path, boot: str, census: Census, sandboxes: Sandboxes, cache: Cache, cache_bytes: int
    ) -> None:
        self._work = work
        self._scratch = scratch
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
        silent = {boot for boot in boots if verdicts[boot] != "alive"} - {self._boot}
        # The database's word is about its sessions and leases: who has lost them may live. Here the kernel can tell.
        dead = {boot for boot in silent if await asyncio.to_thread(abandoned, self._work / boot)}
        for boot in dead:
            await asyncio.to_thread(self._remove, boot)
        await self._census.forget(dead)
        await asyncio.to_thread(remove_abandoned, self._scratch)

    def _remove(self, boot: str) -> None:
        """The directory in our home last: it is what tells that there may be another."""
        remove_directory(host_scratch(boot))
        remove_directory(self._work / boot)
