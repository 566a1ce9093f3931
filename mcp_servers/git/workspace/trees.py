"""A commit's tree in memory, and what few files change in it: the objects that git would make, without starting it.

To change git's index by one file, git reads all of it and writes it twice. Here only what is new is written. What is
not as simple as it seems is `NotSimple`, and git's own to judge: names that it keeps, links on the way to a file, and
files that are not what a look has just found. So is a repository that has lost a pack.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mcp_servers.git.workspace.loose import put_object
from mcp_servers.git.workspace.names import kept_by_git, kept_from_links
from mcp_servers.git.workspace.scanning import Stamp, stamp_of

_TREE, _LINK, _PROGRAM, _FILE = b"40000", b"120000", b"100755", b"100644"
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NO_NAMES = frozenset((b"", b".", b".."))
Entry = tuple[bytes, str]
"""mode and id"""


class NotSimple(Exception):
    """Leave it to git. What was changed here until then is of no use."""


class Trees:
    """`listing` is what ``git ls-tree -r -t -z`` says of a commit. Everything blocks."""

    def __init__(self, objects: Path, object_format: str, listing: bytes) -> None:
        self._objects = objects
        self._packs = self._packed()
        self._format = object_format
        self._directories: dict[bytes, dict[bytes, Entry]] = {b"": {}}
        """By path, with a slash at its end but for the root; those that are not empty."""
        for line in listing.split(b"\0")[:-1]:
            about, _, path = line.partition(b"\t")
            mode, kind, oid = about.split(b" ")
            above, name = _split(path)
            self._directories[above][name] = (_mode(mode, kind), oid.decode("ascii"))
            if kind == b"tree":
                self._directories[path + b"/"] = {}

    def change(self, tree: str, root: Path, gone: Collection[bytes], changed: Mapping[bytes, Stamp]) -> str:
        """Take out of `tree`, which is the whole, what is `gone`, and have `changed` as they are below `root`, if they
        still have these stamps; the id of the new whole, whose objects are durable. `NotSimple`, `OSError`."""
        if not self._packed() >= self._packs:
            raise NotSimple("packs are gone, and with them what does not change here")
        stale: set[bytes] = set()
        for path in gone:
            self._remove(path, stale)
        for path, stamp in changed.items():
            above, name = _split(path)
            known = self._directories.get(above, {}).get(name)
            entry = self._stored(root, path, stamp, known and known[1])
            if entry != known:
                self._put(path, entry, stale)
        for directory in sorted(stale, key=len, reverse=True):  # what is below comes before what is above
            if directory:
                above, name = _split(directory[:-1])
                self._directories[above][name] = (_TREE, self._written(directory))
        return self._written(b"") if stale else tree

    def _packed(self) -> set[str]:
        return {name for name in os.listdir(self._objects / "pack") if name.endswith(".pack")}  # noqa: PTH208

    def _remove(self, path: bytes, stale: set[bytes]) -> None:
        above, name = _split(path)
        if self._directories.get(above, {}).pop(name, None) is None:
            raise NotSimple(path)
        while above and not self._directories[above]:
            del self._directories[above]
            stale.discard(above)
            above, name = _split(above[:-1])
            del self._directories[above][name]
        _and_above(above, stale)

    def _put(self, path: bytes, entry: Entry, stale: set[bytes]) -> None:
        above, name = _split(path)
        if path + b"/" in self._directories:
            raise NotSimple(path)
        at = b""
        for part in above.split(b"/")[:-1]:
            if at + part + b"/" not in self._directories:
                if part in self._directories[at]:  # a file, that is not said to be gone
                    raise NotSimple(path)
                self._directories[at + part + b"/"] = {}
            at += part + b"/"
        self._directories[above][name] = entry
        _and_above(above, stale)

    def _written(self, directory: bytes) -> str:
        entries = self._directories[directory].items()
        ordered = sorted(entries, key=lambda entry: entry[0] + b"/" if entry[1][0] == _TREE else entry[0])
        content = b"".join(b"%s %s\0%s" % (mode, name, bytes.fromhex(oid)) for name, (mode, oid) in ordered)
        return put_object(self._objects, self._format, b"tree", content)

    def _stored(self, root: Path, path: bytes, stamp: Stamp, known: str | None) -> Entry:
        link = stat.S_ISLNK(stamp[-1])
        if (link and kept_from_links(path)) or any(name in _NO_NAMES or kept_by_git(name) for name in path.split(b"/")):
            raise NotSimple(path)
        with _directory(root, path) as (directory, name):
            if link:
                content = os.readlink(name, dir_fd=directory)
                same = stamp_of(os.stat(name, dir_fd=directory, follow_symlinks=False)) == stamp
            else:
                with os.fdopen(os.open(name, _OPEN, dir_fd=directory), "rb") as file:
                    same = stamp_of(os.fstat(file.fileno())) == stamp
                    content = file.read(stamp[2] + 1) if same else b""
            if not same or len(content) != stamp[2]:
                raise NotSimple(path)
        mode = _LINK if link else _PROGRAM if stamp[-1] & stat.S_IXUSR else _FILE
        return mode, put_object(self._objects, self._format, b"blob", content, known=known)


def _mode(said: bytes, kind: bytes) -> bytes:
    """As git writes it today; old commits have others, too."""
    if kind == b"tree":
        return _TREE
    return said if kind == b"commit" or said == _LINK else _PROGRAM if int(said, 8) & stat.S_IXUSR else _FILE


def _split(path: bytes) -> tuple[bytes, bytes]:
    """(the directory that it is in, its name there)"""
    end = path.rfind(b"/") + 1
    return path[:end], path[end:]


def _and_above(directory: bytes, stale: set[bytes]) -> None:
    while directory not in stale:
        stale.add(directory)
        directory = _split(directory[:-1])[0]


@contextmanager
def _directory(root: Path, path: bytes) -> Generator[tuple[int, bytes]]:
    """A descriptor of the directory that this is in, and its name there; no link is followed on the way."""
    *above, name = path.split(b"/")
    descriptor = os.open(root, os.O_DIRECTORY | os.O_RDONLY | os.O_CLOEXEC)
    try:
        for part in above:
            below = os.open(part, os.O_DIRECTORY | _OPEN, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        yield descriptor, name
    finally:
        os.close(descriptor)
