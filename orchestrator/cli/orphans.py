"""What dead workers left on this host: containers, scratch directories, too much cache. Removed now and then."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import Collection
from functools import partial
from pathlib import Path

from mcp_servers.storage.cache import Cache
from mcp_servers.storage.clearing import discard
from orchestrator.cli.belongings import abandoned, of_processes, remove_abandoned
from orchestrator.sandboxes import Sandboxes
from state.ports import Census

_EVERY_SECONDS = 30.0


def host_scratch(boot: str) -> Path:
    """Where this worker's host commands have HOME and TMPDIR. Short: sockets are made below it, and their names have
    room for a hundred characters."""
    return Path(tempfile.gettempdir()) / f"atlas-{boot[-12:]}"


async def surviving(census: Census, contained: Path, boots: Collection[str]) -> set[str]:
    """Those of them that are not dead. By the kernel's word, if they have a directory in `contained`: the database's is
    uncertain of who died before it was restarted, and others here may use another database."""
    marked = await asyncio.to_thread(of_processes, contained)
    dead = {boot for boot in marked if await asyncio.to_thread(abandoned, contained / boot)}
    asked = {*boots} - {*marked}
    there = {boot for boot, verdict in (await census.verdicts(asked)).items() if verdict != "dead"}
    return {*boots} & ({*marked} - dead | there)


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
        self._stubborn: set[str] = set()
        """Those whose directory can't be removed."""
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
        boots = await asyncio.to_thread(of_processes, self._work)
        verdicts = await self._census.verdicts(boots)
        silent = {boot for boot in boots if verdicts[boot] != "alive"} - {self._boot}
        # The database's word is about its sessions and leases: who has lost them may live. Here the kernel can tell.
        dead = {boot for boot in silent if await asyncio.to_thread(abandoned, self._work / boot)}
        for boot in dead - self._stubborn:
            await asyncio.to_thread(self._remove, boot)
            self._next = 0.0
        await self._census.forget(dead)
        self._stubborn |= {boot for boot in dead if (self._work / boot).exists()}
        await asyncio.to_thread(remove_abandoned, self._scratch)

    async def _containers(self) -> None:
        """Of the dead. The engine may still be at making what one asked for before it died: a directory goes once it
        has been looked at again, half a minute later."""
        marked = await asyncio.to_thread(of_processes, self._contained)
        dead = {boot for boot in marked if await asyncio.to_thread(abandoned, self._contained / boot)}
        alive = partial(surviving, self._census, self._contained)
        if not await self._sandboxes.reap(alive, look=bool(dead)):
            return
        now = time.monotonic()
        for boot in dead:
            if now - self._reaped.setdefault(boot, now) >= _EVERY_SECONDS:
                del self._reaped[boot]
                await asyncio.to_thread(discard, self._contained / boot)

    def _remove(self, boot: str) -> None:
        """The directory in our home last: it is what tells that there may be another."""
        scratch = host_scratch(boot)
        with contextlib.suppress(OSError):
            if scratch.lstat().st_uid == os.geteuid():  # after a reboot somebody else may have one of this name
                discard(scratch)
        discard(self._work / boot)
