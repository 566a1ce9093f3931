"""What dead workers left on this host: containers, scratch directories, too much cache. Removed now and then."""

from __future__ import annotations

import asyncio
import contextlib
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
    a minute and when somebody has died. `contained` is where each worker that uses containers has a directory `marked`
    as its own: for the dead among them the engine is looked for, though this worker has no use for it."""

    def __init__(
        self, work: Path, scratch: Path, contained: Path, boot: str, census: Census, sandboxes: Sandboxes, cache: Cache,
        cache_bytes: int,
    ) -> None:  # fmt: skip
        self._work = work
        self._scratch = scratch
        self._contained = contained
        self._boot = boot
        self._census = census
        self._sandboxes = sandboxes
        self._cache = cache
        self._cache_bytes = cache_bytes
        self._next = 0.0
        self._reaped: dict[str, float] = {}
        """When the engine was first asked to remove what is theirs."""

    async def remove(self) -> None:
        """Remove what belongs to nobody alive."""
        await self._directories()
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _EVERY_SECONDS
        await self._containers()
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
        if dead:
            self._next = 0.0

    async def _containers(self) -> None:
        """Of the dead. The engine may still be at making what one asked for before it died: a directory goes once it
        has been looked at again, half a minute later."""
        dead = await asyncio.to_thread(self._dead)

        async def alive(boots: Collection[str]) -> set[str]:
            return await surviving(self._census, {*boots} - dead)

        if not await self._sandboxes.reap(alive, look=bool(dead)):
            return
        now = time.monotonic()
        for boot in dead:
            if now - self._reaped.setdefault(boot, now) >= _EVERY_SECONDS:
                del self._reaped[boot]
                with contextlib.suppress(OSError):  # somebody else has done it
                    (self._contained / boot).rmdir()

    def _dead(self) -> set[str]:
        """By the kernel's word: the database's is uncertain of who died before it was restarted."""
        if not self._contained.exists():
            return set()
        return {path.name for path in self._contained.iterdir() if abandoned(path)}

    def _remove(self, boot: str) -> None:
        """The directory in our home last: it is what tells that there may be another."""
        remove_directory(host_scratch(boot))
        remove_directory(self._work / boot)
