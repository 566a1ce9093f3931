"""Which cached objects are in use, by which living process: locks that die with their owner.

A lease is a file that lists digests, held under an exclusive ``flock`` by whoever leases them: one descriptor for a
tree of any size. Leases grow, and objects appear, under the shared gate; eviction holds the gate exclusively while it
reads the leases and removes what none of them lists. A lease file whose lock is free belongs to nobody any more.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import uuid
from collections.abc import AsyncGenerator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path

_FIRST_WAIT = 0.002
_LONGEST_WAIT = 0.1


@asynccontextmanager
async def locked(path: Path, *, shared: bool = False) -> AsyncGenerator[int]:
    """Hold a lock between processes, and between tasks of one. Its file may be removed by whoever holds it."""
    wait = _FIRST_WAIT
    while (descriptor := try_lock(path, shared=shared)) is None:
        await asyncio.sleep(wait)
        wait = min(wait * 2, _LONGEST_WAIT)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def try_lock(path: Path, *, shared: bool = False) -> int | None:
    """The open file, locked; None if another holds it, or removed it while we came."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        if path.stat().st_ino == os.fstat(descriptor).st_ino:
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


class Lease:
    """An open lease. `add` is for holders of the shared gate."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    def add(self, digests: Iterable[str]) -> None:
        """Nothing evicts these until the lease ends."""
        lines = "".join(f"{digest}\n" for digest in digests).encode()
        while lines:
            lines = lines[os.write(self._descriptor, lines) :]

    def end(self) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


class Leases:
    """The leases of one cache directory."""

    def __init__(self, directory: Path, gate: Path) -> None:
        self._directory = directory
        self._gate = gate

    @asynccontextmanager
    async def new(self) -> AsyncGenerator[Lease]:
        """A lease on nothing yet."""
        path = self._directory / uuid.uuid4().hex
        async with locked(self._gate, shared=True):
            descriptor = try_lock(path)
        if descriptor is None:
            raise FileExistsError(path)
        lease = Lease(path, descriptor)
        try:
            yield lease
        finally:
            lease.end()

    def open_gate(self) -> AbstractAsyncContextManager[int]:
        """Held while adding to a lease and checking that what was added is there."""
        return locked(self._gate, shared=True)

    def shut_gate(self) -> AbstractAsyncContextManager[int]:
        """Held while evicting."""
        return locked(self._gate)

    def held(self) -> set[str]:
        """All leased digests; removes the leases of the dead. Behind the shut gate."""
        found: set[str] = set()
        for path in self._directory.iterdir():
            descriptor = try_lock(path)
            if descriptor is None:
                # It may end at this moment: then it holds nothing.
                with suppress(FileNotFoundError):
                    found.update(path.read_text("utf-8").splitlines())
            else:
                path.unlink(missing_ok=True)
                os.close(descriptor)
        return found
