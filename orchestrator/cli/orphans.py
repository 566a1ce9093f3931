"""What dead workers left on this host: containers, scratch directories, too much cache. Removed now and then."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from mcp_servers.storage.cache import Cache
from orchestrator.executors.workplace import remove_directory
from orchestrator.sandboxes import Sandboxes
from state.liveness import FileLiveness

_EVERY_SECONDS = 30.0


def host_scratch(boot: str) -> Path:
    """Where this worker's host commands have HOME and TMPDIR. Short: sockets are made below it, and their names have
    room for a hundred characters."""
    return Path(tempfile.gettempdir()) / f"atlas-{boot[-12:]}"


class Orphans:
    """A chore for the sweeper: directories each time, the engine and the cache at once, then twice a minute."""

    def __init__(
        self, work: Path, liveness: FileLiveness, sandboxes: Sandboxes, cache: Cache, cache_bytes: int
    ) -> None:
        self._work = work
        self._liveness = liveness
        self._sandboxes = sandboxes
        self._cache = cache
        self._cache_bytes = cache_bytes
        self._next = 0.0

    async def remove(self) -> None:
        """Remove what belongs to nobody alive."""
        await asyncio.to_thread(self._directories)
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _EVERY_SECONDS
        await self._sandboxes.reap(lambda boot: self._liveness.verdict(boot) != "dead")
        await self._cache.evict(self._cache_bytes)

    async def remove_own(self) -> None:
        """At a clean end: this worker's own scratch directories, and once more those of the dead: a command that had
        little to do may never have swept."""
        await asyncio.to_thread(self._directories)
        await asyncio.to_thread(self._remove, self._liveness.boot)

    def _directories(self) -> None:
        for directory in self._work.iterdir():
            if self._liveness.verdict(directory.name) == "dead":
                self._remove(directory.name)
                self._liveness.forget(directory.name)

    def _remove(self, boot: str) -> None:
        """The directory in our home last: it is what tells that there may be another."""
        remove_directory(host_scratch(boot))
        remove_directory(self._work / boot)
