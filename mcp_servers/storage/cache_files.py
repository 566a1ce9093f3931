"""The files of a cache directory: objects, index entries, leftovers. All of it blocks; `cache` calls it in threads."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mcp_servers.storage.copying import digest_file
from mcp_servers.storage.leases import try_lock
from mcp_servers.storage.threads import Stop

_INDEXED = re.compile(r"(sha256:[0-9a-f]{64}) ([0-9]{1,19})\n")


@dataclass(frozen=True, slots=True)
class CachedObject:
    """A read-only file with the content of `digest` (``sha256:<hex>``); not to be written, moved or removed."""

    path: Path
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Aged:
    """An object, when it was last leased (nanoseconds since the epoch), and its size."""

    used: int
    size: int
    path: Path


class CacheFiles:
    """Names and states of the files below a cache's root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.leases = root / "leases"
        self.gate = root / "gate"
        self._objects = root / "objects"
        self._index = root / "index"
        self._fetching = root / "fetching"
        self._verified: dict[str, tuple[int, int, int]] = {}
        for directory in (self.leases, self._objects, self._index, self._fetching):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def lookup(self, key: str) -> tuple[str, int] | None:
        """The digest and size recorded for a key."""
        try:
            match = _INDEXED.fullmatch(self._entry(key).read_text("ascii", "replace"))
        except FileNotFoundError:
            return None
        return (match[1], int(match[2])) if match else None

    def record(self, key: str, digest: str, size: int) -> None:
        """A torn entry does not parse, and counts as none."""
        path = self._entry(key)
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{digest} {size}\n", "ascii")

    def verified(self, digest: str, size: int | None, stop: Stop) -> CachedObject | None:
        """The object if it is there and whole, marked as used now. Its digest is computed when this process first meets
        it, and again when the file is another one or was modified."""
        path = self._object(digest)
        try:
            status = path.stat(follow_symlinks=False)
            stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
            if not stat.S_ISREG(status.st_mode) or (size is not None and status.st_size != size):
                return None
            if self._verified.get(digest) != stamp and digest_file(path, stop)[0] != digest:
                return None
            os.utime(path, ns=(time.time_ns(), status.st_mtime_ns))
        except FileNotFoundError:
            return None
        self._verified[digest] = stamp
        return CachedObject(path, digest, status.st_size)

    def insert(self, part: Path, digest: str) -> CachedObject:
        """Make a complete download the object; one that is there already, perhaps damaged, is replaced."""
        path = self._object(digest)
        path.parent.mkdir(exist_ok=True)
        part.chmod(0o444)
        part.replace(path)
        status = path.stat()
        self._verified[digest] = (status.st_ino, status.st_mtime_ns, status.st_size)
        return CachedObject(path, digest, status.st_size)

    def fetching(self, key: str) -> tuple[Path, Path]:
        """The lock and the unfinished file of one download."""
        name = hashlib.sha256(key.encode()).hexdigest()
        return self._fetching / f"{name}.lock", self._fetching / f"{name}.part"

    def discard(self, *paths: Path) -> None:
        """Remove files of a download whose lock is held, the lock last."""
        for path in paths:
            path.unlink(missing_ok=True)

    def by_age(self, stop: Stop) -> list[Aged]:
        """All objects, the longest unused first."""
        found: list[Aged] = []
        for path in self._files(self._objects):
            stop.check()
            with suppress(FileNotFoundError):
                status = path.stat()
                found.append(Aged(status.st_atime_ns, status.st_size, path))
        return sorted(found, key=lambda aged: aged.used)

    def remove(self, aged: Sequence[Aged], held: set[str], enough: int) -> int:
        """Remove objects that no lease lists until `enough` bytes are free; returns how many are. Behind the shut
        gate."""
        freed = 0
        for each in aged:
            digest = f"sha256:{each.path.name}"
            if freed < enough and digest not in held:
                each.path.unlink(missing_ok=True)
                self._verified.pop(digest, None)
                freed += each.size
        return freed

    def sweep(self, stop: Stop) -> None:
        """Remove what the dead left, and index entries whose object is gone."""
        for lock in {path.with_suffix(".lock") for path in self._fetching.iterdir()}:
            descriptor = try_lock(lock)
            if descriptor is not None:
                lock.with_suffix(".part").unlink(missing_ok=True)
                lock.unlink(missing_ok=True)
                os.close(descriptor)
        for path in self._files(self._index):
            stop.check()
            with suppress(FileNotFoundError):
                match = _INDEXED.fullmatch(path.read_text("ascii", "replace"))
                if match is None or not self._object(match[1]).exists():
                    path.unlink()

    def _object(self, digest: str) -> Path:
        name = digest.removeprefix("sha256:")
        return self._objects / name[:2] / name

    def _entry(self, key: str) -> Path:
        name = hashlib.sha256(key.encode()).hexdigest()
        return self._index / name[:2] / name

    @staticmethod
    def _files(directory: Path) -> Iterator[Path]:
        for below in directory.iterdir():
            yield from below.iterdir()
