"""Remote objects on this host, by their content, shared by all worker processes.

``objects/`` holds content under its digest, read-only; ``index/`` says which digest a URL had at an etag; ``leases/``
and ``gate`` say what is in use (`leases`); ``fetching/`` holds downloads under way, each behind a lock of its own, so
that two who want the same object fetch it once.

Nothing here is precious. A process that dies leaves a free lock and at most a file in ``fetching/``; what a power loss
tore is found by its size, or by its digest when a process first uses it, and fetched again.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mcp_servers.storage import failures, listings, locations
from mcp_servers.storage.cache_files import CachedObject, CacheFiles
from mcp_servers.storage.copying import digest_file
from mcp_servers.storage.leases import Lease, Leases, locked
from mcp_servers.storage.threads import Stop, in_thread, spread
from state.errors import RemoteMissing, RemoteUnavailable
from state.ports import ObjectInfo, ObjectStore

T = TypeVar("T")

_WIDTH = 16
_TRIES = 3
_EVICTED_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class CachedTree:
    """The files of a remote directory, by their path relative to it."""

    files: tuple[tuple[str, CachedObject], ...]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Either the version `etag` of a URL, or the content `digest`, to be had at that URL."""

    url: str
    etag: str | None = None
    digest: str | None = None
    size: int | None = None

    @property
    def key(self) -> str:
        return self.digest or f"{self.url}\0{self.etag}"


class Cache:
    """Leases on remote content. What is leased stays as it is until the lease ends; all else may be evicted.

    Errors: those of the stores, and `LimitExceeded` for a directory with too many files.
    """

    def __init__(self, root: Path, stores: ObjectStore) -> None:
        self._files = CacheFiles(root)
        self._leases = Leases(self._files.leases, self._files.gate)
        self._stores = stores
        self._pool = ThreadPoolExecutor(_WIDTH, thread_name_prefix="atlas-cache")

    @asynccontextmanager
    async def lease(self, url: str) -> AsyncGenerator[CachedObject]:
        """The object at `url`, as it is now."""
        locations.object_location(url)
        async with self._leases.new() as lease:
            yield await self._current(lease, url)

    @asynccontextmanager
    async def lease_tree(self, url: str) -> AsyncGenerator[CachedTree]:
        """All objects below `url`, as they are now; `RemoteMissing` if there are none. Staged outputs don't count."""
        locations.directory_location(url)
        async with self._leases.new() as lease:
            yield await self._current_tree(lease, url)

    @asynccontextmanager
    async def lease_digest(self, url: str, digest: str, size: int | None = None) -> AsyncGenerator[CachedObject]:
        """The content `digest`; from `url` if it is not here. `RemoteMissing` if that holds something else by now."""
        wanted = _Wanted(url, digest=listings.check_digest(digest), size=size)
        async with self._leases.new() as lease:
            yield (await self._obtain(lease, [wanted]))[0]

    @asynccontextmanager
    async def lease_listing(self, url: str, listing: str) -> AsyncGenerator[CachedTree]:
        """The files of a tree output, by its listing; `url` is where it was staged. May be empty."""
        entries = listings.parse(listing)
        wanted = [_Wanted(locations.join(url, entry.path), digest=entry.digest, size=entry.size) for entry in entries]
        async with self._leases.new() as lease:
            found = await self._obtain(lease, wanted)
            yield CachedTree(tuple(zip((entry.path for entry in entries), found, strict=True)))

    async def evict(self, max_bytes: int) -> int:
        """Remove the longest unused objects that nobody leases until the rest is within `max_bytes`, or nothing else
        can be removed; returns the bytes freed. Also removes what dead processes left."""
        aged = await self._run(self._files.by_age)
        excess = sum(each.size for each in aged) - max_bytes
        freed = 0
        for start in range(0, len(aged), _EVICTED_AT_ONCE):
            if freed >= excess:
                break
            batch = aged[start : start + _EVICTED_AT_ONCE]
            enough = excess - freed
            async with self._leases.shut_gate():
                freed += await self._run(
                    lambda stop, batch=batch, enough=enough: self._files.remove(batch, self._leases.held(), enough)
                )
        await self._run(self._files.sweep)
        return freed

    async def _run(self, work: Callable[[Stop], T]) -> T:
        return await in_thread(work, self._pool)

    async def _current(self, lease: Lease, url: str) -> CachedObject:
        for _ in range(_TRIES):
            info = await self._stores.stat(url)
            if info is None:
                raise failures.missing(url)
            try:
                return (await self._obtain(lease, [_at_version(info)]))[0]
            except RemoteMissing:
                continue  # replaced since we looked
        raise _restless(url)

    async def _current_tree(self, lease: Lease, url: str) -> CachedTree:
        for _ in range(_TRIES):
            found = await self._list(url)
            names = [locations.relative(url, info.url) for info in found]
            listings.check_tree(names, url)
            try:
                objects = await self._obtain(lease, [_at_version(info) for info in found])
            except RemoteMissing:
                continue
            return CachedTree(tuple(zip(names, objects, strict=True)))
        raise _restless(url)

    async def _list(self, url: str) -> list[ObjectInfo]:
        found: list[ObjectInfo] = []
        async for info in self._stores.list(url):
            if f"/{locations.STAGING}/" not in info.url[len(url) - 1 :]:
                found.append(info)
                listings.check_count(len(found), url)
        if not found:
            raise failures.missing(url)
        return found

    async def _obtain(self, lease: Lease, wanted: Sequence[_Wanted]) -> list[CachedObject]:
        """All of `wanted`, leased; what is not here is fetched, several at a time."""
        found = await self._present(lease, wanted)
        absent = [number for number, one in enumerate(found) if one is None]
        fetched = await spread(absent, lambda number: self._fetch(lease, wanted[number]), _WIDTH)
        objects = {number: one for number, one in enumerate(found) if one is not None}
        objects.update(zip(absent, fetched, strict=True))
        return [objects[number] for number in range(len(wanted))]

    async def _present(self, lease: Lease, wanted: Sequence[_Wanted]) -> list[CachedObject | None]:
        """Lease first, then look: what is there behind the gate stays."""

        def lookup(stop: Stop) -> list[tuple[str, int | None] | None]:
            return [(one.digest, one.size) if one.digest else self._files.lookup(one.key) for one in wanted]

        known = await self._run(lookup)
        async with self._leases.open_gate():
            lease.add({one[0] for one in known if one})

        def verify(stop: Stop) -> list[CachedObject | None]:
            return [self._files.verified(*one, stop) if one else None for one in known]

        return await self._run(verify)

    async def _fetch(self, lease: Lease, wanted: _Wanted) -> CachedObject:
        lock, part = self._files.fetching(wanted.key)
        async with locked(lock):
            try:
                found = (await self._present(lease, [wanted]))[0]
                return found or await self._download(lease, wanted, part)
            finally:
                self._files.discard(part, lock)

    async def _download(self, lease: Lease, wanted: _Wanted, part: Path) -> CachedObject:
        self._files.discard(part)
        await self._stores.download(wanted.url, part, etag=wanted.etag)
        digest, size = await self._run(lambda stop: digest_file(part, stop))
        if wanted.digest not in (None, digest):
            raise RemoteMissing(
                f"{wanted.url} no longer holds what was recorded ({wanted.digest})", "Run the TODO that made it again."
            )
        async with self._leases.open_gate():
            lease.add((digest,))
            found = self._files.insert(part, digest)
        if wanted.digest is None:
            self._files.record(wanted.key, digest, size)
        return found


def _at_version(info: ObjectInfo) -> _Wanted:
    return _Wanted(info.url, etag=info.etag, size=info.size)


def _restless(url: str) -> RemoteUnavailable:
    return RemoteUnavailable(f"{url} changed each time it was read", "Let its writer finish, then try again.")
