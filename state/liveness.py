"""Who is alive, for workers on one host: a lock file each, beside the database (design §4).

The file's lock dies with the process, however it dies. Its content is the end of the lease on the monotonic clock,
which all processes of a host share and which no clock step moves; the heartbeat never waits for the database.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from state.limits import LEASE_SECONDS
from state.ports import Verdict
from state.records import new_id

_LEASE = struct.Struct("<d")


class FileLiveness:
    """`state.ports.Liveness` in a directory. Making one is being alive; `close` is a clean end."""

    def __init__(self, directory: Path, *, lease: float = LEASE_SECONDS) -> None:
        self._lease = lease
        self._boot = new_id()
        directory.mkdir(parents=True, exist_ok=True)
        self._path = directory / self._boot
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._until = 0.0
        self.renew()

    @property
    def boot(self) -> str:
        return self._boot

    @property
    def until(self) -> float:
        """When the lease ends, on the monotonic clock."""
        return self._until

    def renew(self) -> bool:
        now = time.monotonic()
        held = now < self._until or self._until == 0.0
        until = now + self._lease
        os.pwrite(self._file, _LEASE.pack(until), 0)
        self._until = until
        return held

    def intact(self) -> bool:
        return True  # nothing but the end of the process takes it away

    def close(self) -> None:
        self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            os.close(self._file)


class FileCensus:
    """`state.ports.Census` in the same directory. A look takes microseconds, and so no thread."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def verdicts(self, boots: Collection[str]) -> Mapping[str, Verdict]:
        return {boot: _verdict(self._directory / boot) for boot in boots}

    async def forget(self, boots: Collection[str]) -> None:
        for boot in boots:
            with contextlib.suppress(FileNotFoundError, PermissionError):
                os.unlink(self._directory / boot)  # noqa: PTH108  takes microseconds, and so no thread


def _verdict(path: Path) -> Verdict:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return "dead"
    except PermissionError:  # another user's: nothing tells
        return "expired"
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        content = os.pread(file, _LEASE.size, 0)
        if len(content) < _LEASE.size:
            return "alive"  # it is just being made
        return "alive" if time.monotonic() < _LEASE.unpack(content)[0] else "expired"
    finally:
        os.close(file)
    return "dead"
