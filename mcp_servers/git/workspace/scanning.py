"""A look at a working tree that nobody trusts: bounded, and no link is followed.

What has changed is told by inode, size, mode and times. No program can set a file's ctime, but it only moves with the
kernel's clock: what changed shortly before a look is taken for changed in the next one too. A process that writes
through a mapping which it keeps does not always move it: a thorough snapshot looks into every file.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mcp_servers.git.workspace.names import kept_by_git, kept_from_links
from mcp_servers.git.workspace.results import Skipped, shown
from mcp_servers.storage.threads import Stop
from state.errors import LimitExceeded
from state.limits import MB, SNAPSHOT_BYTES, SNAPSHOT_ENTRIES, SNAPSHOT_FILE_BYTES, SNAPSHOT_SKIPPED

_SETTLED_NS = 2_000_000_000
"""What changed less long before a look could have changed after it without its time telling, on any file system."""

Stamp = tuple[int, int, int, int, int]
"""ctime, mtime, size, inode, mode"""
_UNKNOWN: Stamp = (0, 0, 0, 0, 0)


def stamp_of(status: os.stat_result) -> Stamp:
    """By which a file is known again."""
    return status.st_ctime_ns, status.st_mtime_ns, status.st_size, status.st_ino, status.st_mode


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of one working tree; the defaults are those of `state.limits`."""

    entries: int = SNAPSHOT_ENTRIES
    file_bytes: int = SNAPSHOT_FILE_BYTES
    total_bytes: int = SNAPSHOT_BYTES


@dataclass(frozen=True, slots=True)
class Known:
    """From earlier looks. `submodules`: paths whose directories are stored as the commits that they were. `large`:
    files that exceed the bound, and are stored as they are if they have these stamps. `files`: with these stamps they
    have been judged."""

    submodules: Collection[bytes] = ()
    large: Mapping[bytes, Stamp] = field(default_factory=dict[bytes, Stamp])
    files: Mapping[bytes, Stamp] = field(default_factory=dict[bytes, Stamp])


@dataclass(slots=True)
class Scan:
    """What was found by a look that began at `began` (nanoseconds since the epoch).

    `unseen` are paths, and directories with a slash at their end, that could not be looked into: in a snapshot they
    stay as they were. `large` are those that exceed the bound of one file, `links` the submodules whose directories are
    there. `skipped` tells what is not in a snapshot as it is here.
    """

    began: int
    files: dict[bytes, Stamp] = field(default_factory=dict[bytes, Stamp])
    unseen: list[bytes] = field(default_factory=list[bytes])
    large: dict[bytes, Stamp] = field(default_factory=dict[bytes, Stamp])
    links: set[bytes] = field(default_factory=set[bytes])
    skipped: list[Skipped] = field(default_factory=list[Skipped])

    def changed_since(self, before: Scan) -> list[bytes]:
        """Paths that are new or different, or may be."""
        known, limit = before.files, before.began - _SETTLED_NS
        return [path for path, stamp in self.files.items() if stamp[0] >= limit or known.get(path) != stamp]

    def gone(self, paths: Collection[bytes]) -> list[bytes]:
        """Those of `paths` (files) that are no more. What can't be looked into is still there."""
        gone = [path for path in paths if path not in self.files]
        if self.unseen and gone:
            directories = tuple(path for path in self.unseen if path.endswith(b"/"))
            files = set(self.unseen)
            gone = [path for path in gone if path not in files and not path.startswith(directories)]
        return gone

    def keep(self, paths: Collection[bytes]) -> None:
        """Those of `paths` (stored files) that can't be looked into are still stored; once they can be, they have
        changed."""
        if self.unseen:
            gone = set(self.gone(paths))
            self.files |= {path: _UNKNOWN for path in paths if path not in self.files and path not in gone}

    def skip(self, path: bytes, why: str) -> None:
        """Leave it out."""
        if len(self.skipped) < SNAPSHOT_SKIPPED:
            self.skipped.append(Skipped(shown(path), why))


def look_again(
    root: Path, seen: Scan, paths: Collection[bytes], known: Known, bounds: Bounds, stop: Stop
) -> tuple[Scan, list[bytes], list[bytes]] | None:
    """After an earlier look, when nothing but these paths can have changed: (the whole, those that are there, those
    that are gone). None: it is not as simple as that; `scan`. Blocks."""
    if seen.unseen or seen.large or seen.links or seen.skipped:
        return None
    fresh = Scan(seen.began)
    for below in {path[: path.rfind(b"/") + 1] for path in paths}:
        stop.check()
        for entry in _directory(root, below, fresh):
            if (path := below + entry.name) in paths:
                if entry.is_dir(follow_symlinks=False):
                    return None
                _file(path, entry, known, bounds, fresh)
    if fresh.unseen or fresh.skipped:
        return None
    gone = [path for path in paths if path in seen.files and path not in fresh.files]
    files = seen.files | fresh.files
    for path in gone:
        del files[path]
    if len(files) > bounds.entries or sum(stamp[2] for stamp in files.values()) > bounds.total_bytes:
        return None
    return Scan(seen.began, files), list(fresh.files), gone


def scan(root: Path, known: Known, bounds: Bounds, stop: Stop) -> Scan:
    """Look at all below `root`; blocks. `LimitExceeded`, named."""
    found = Scan(time.time_ns())
    waiting = [b""]
    entries = total = 0
    while waiting:
        below = waiting.pop()
        stop.check()
        for entry in _directory(root, below, found):
            entries += 1
            if entries > bounds.entries:
                raise _over("SNAPSHOT_ENTRIES", f"more than {bounds.entries:,} files and directories")
            path = below + entry.name
            try:
                if not entry.is_dir(follow_symlinks=False):
                    total += _file(path, entry, known, bounds, found)
                elif _enters(path, entry, known, found):
                    waiting.append(path + b"/")
            except FileNotFoundError:
                continue
            except OSError as error:  # a path longer than the system takes
                found.unseen.append(path)
                found.skip(path, f"can't be read: {error.strerror}")
            if total > bounds.total_bytes:
                raise _over("SNAPSHOT_BYTES", f"files of more than {bounds.total_bytes:,} bytes")
    return found


def _directory(root: Path, below: bytes, found: Scan) -> Iterator[os.DirEntry[bytes]]:
    try:
        with os.scandir(b"%s/%s" % (os.fsencode(root), below)) as entries:
            yield from entries
    except FileNotFoundError:
        if not below:
            raise
    except OSError as error:
        if not below:
            raise
        found.unseen.append(below)
        found.skip(below, f"can't be read: {error.strerror}")


def _enters(path: bytes, entry: os.DirEntry[bytes], known: Known, found: Scan) -> bool:
    """Whether what is in this directory is stored."""
    if kept_by_git(entry.name):
        found.skip(path, "git keeps this name for itself")
        return False
    if path in known.submodules:
        _submodule(path, entry, found)
        return False
    return True


def _file(path: bytes, entry: os.DirEntry[bytes], known: Known, bounds: Bounds, found: Scan) -> int:
    """Its size, if a snapshot can have it."""
    status = entry.stat(follow_symlinks=False)
    stamp = stamp_of(status)
    if known.files.get(path) != stamp:
        link = stat.S_ISLNK(status.st_mode)
        if kept_by_git(entry.name) or (link and kept_from_links(path)):
            found.skip(path, "git keeps this name for itself")
            return 0
        if not link and not stat.S_ISREG(status.st_mode):
            found.skip(path, "is neither a file nor a link nor a directory")
            return 0
        if status.st_size > bounds.file_bytes:
            found.unseen.append(path)
            found.large[path] = stamp
            if known.large.get(path) != stamp:
                found.skip(path, f"is larger than {bounds.file_bytes / MB:g} MB (SNAPSHOT_FILE_BYTES)")
            return 0
        if not link and not _readable(entry, status):
            found.unseen.append(path)
            found.skip(path, "can't be read: Permission denied")
            return 0
    found.files[path] = stamp
    return status.st_size


def _readable(entry: os.DirEntry[bytes], status: os.stat_result) -> bool:
    if status.st_uid == os.geteuid() and (status.st_mode & stat.S_IRUSR):
        return True
    return os.access(entry.path, os.R_OK, effective_ids=True)


def _submodule(path: bytes, entry: os.DirEntry[bytes], found: Scan) -> None:
    found.links.add(path)
    try:
        with os.scandir(entry.path) as entries:
            filled = next(entries, None) is not None
    except OSError:
        filled = True
    if filled:
        found.skip(path + b"/", "is a submodule: what is in it is not stored")


def _over(name: str, what: str) -> LimitExceeded:
    return LimitExceeded(f"the working tree has {what} ({name})", "Remove what is not needed.")
