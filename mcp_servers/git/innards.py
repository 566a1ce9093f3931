"""Symbolic links inside git directories. git follows them, to read and to write: a reflog or a message that is one
would be written where it leads, and objects would be read from there.

Every call looks anew, but lists only the directories in which a name has changed since.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass

from mcp_servers.git.program import GitError

_NOT_GITS = frozenset(("hooks", "modules", "lfs", "annex", "svn", "jj"))
"""At the top: hooks never run, and the others git does not read as part of this repository. People share these."""
_DIRECTORIES = 100_000
_KEPT = 200_000
_SETTLED_NS = 2_000_000_000
"""A directory that changed less long ago could change again without its time telling."""


_Stamp = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a directory held when its `stamp` was this."""

    stamp: _Stamp
    directories: list[str]


class Innards:
    """Remembers what it has seen; may be asked from several threads."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}
        self._sound: dict[str, list[tuple[str, _Stamp]]] = {}
        """Git directories without a link, and each directory in them with its stamp."""

    def links(self, directory: str) -> Iterator[str]:
        """All symbolic links in and below a git directory (a real path), and in directories inside that they lead to.
        `GitError`: there are too many directories to tell."""
        if (sound := self._sound.get(directory)) and all(_stamp(path) == stamp for path, stamp in sound):
            return
        waiting, stamps = [directory], dict[str, _Stamp | None]()
        while waiting:
            path = waiting.pop()
            directories, links, stamps[path] = self._look(path)
            if len(stamps) > _DIRECTORIES:
                raise GitError(f"{directory} has more than {_DIRECTORIES:,} directories", "Pack its refs.")
            skipped = _NOT_GITS if path == directory else frozenset[str]()
            yield from (f"{path}/{name}" for name in links if name not in skipped)
            waiting += [f"{path}/{name}" for name in directories if name not in skipped]
        sound = [(path, stamp) for path, stamp in stamps.items() if stamp]
        if len(sound) == len(stamps):
            self._sound[directory] = sound

    def _look(self, path: str) -> tuple[list[str], list[str], _Stamp | None]:
        """(directories in it, links in it, its stamp if that tells of every change)"""
        try:
            status = os.lstat(path)
            stamp = (status.st_ino, status.st_ctime_ns)  # no program can set a ctime
            if (seen := self._seen.get(path)) and seen.stamp == stamp:
                return seen.directories, [], stamp
            directories, links = _listed(path)
        except (FileNotFoundError, NotADirectoryError):  # git took it away meanwhile
            return [], [], None
        except OSError as error:
            raise GitError(f"{path} can't be read: {error.strerror}", "") from error
        if links or not stat.S_ISDIR(status.st_mode) or time.time_ns() - status.st_ctime_ns <= _SETTLED_NS:
            return directories, links, None
        if len(self._seen) >= _KEPT:
            self._seen.clear()
            self._sound.clear()
        self._seen[path] = _Seen(stamp, directories)
        return directories, [], stamp


def _stamp(path: str) -> _Stamp | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_ino, status.st_ctime_ns


def _listed(path: str) -> tuple[list[str], list[str]]:
    directories: list[str] = []
    links: list[str] = []
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.is_symlink():
                links.append(entry.name)
            elif entry.is_dir(follow_symlinks=False):
                directories.append(entry.name)
    return directories, links
