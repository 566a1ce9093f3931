"""A private index: what git knows of one working tree, kept outside of it.

Paths are always given, never found by git, and what may have changed is taken out before it is put in again: git's own
idea of what is unchanged, by times in whole seconds, has no say.
"""

from __future__ import annotations

import mmap
import os
import uuid
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from mcp_servers.git.program import Git
from mcp_servers.storage.threads import Stop, in_thread

_ARGUMENTS = 60_000
"""Bytes of paths that are given as arguments, which saves a call."""
_MANY = 30
"""Paths for which it is quicker to have the disk write all of their objects at once."""
_AT_ONCE = "core.fsyncMethod=batch"
_SUBMODULE = (0o160000).to_bytes(4, "big")
"""How an index says that an entry is one."""
_LISTED = b"160000 "

Mark = tuple[int, int, int]
"""inode, ctime and size: another when the file is."""


class Index:
    """A new file in `directory`, with `git` calls for a work tree. `reading` a tree begins it."""

    def __init__(self, git: Git, directory: Path) -> None:
        self.path = directory / f"index-{uuid.uuid4().hex}"
        self.git = replace(git, index=self.path)
        self._at_once = replace(self.git, settings=(*self.git.settings, _AT_ONCE))
        self._writing = self.git
        self._unmet = False
        """git has not seen any of the files: nothing need be taken out to be looked at."""
        self._listing = directory / f"listing-{uuid.uuid4().hex}"

    async def read(self, commit: str) -> None:
        """Make it the tree of this commit; every file is then taken for changed."""
        await self.git.run("read-tree", commit)
        self._unmet = True

    async def check_out(self, commit: str) -> None:
        """And make the work tree, which is empty, the same."""
        await self.git.run("read-tree", "--reset", "-u", commit)

    async def update(self, gone: Collection[bytes], changed: Collection[bytes]) -> None:
        """Take out `gone`, and look anew into `changed`, which are files and links."""
        self._writing = self._at_once if len(gone) + len(changed) > _MANY else self.git
        out = list(gone) if self._unmet else [*gone, *changed]
        self._unmet = False
        arguments: list[str] = []
        if sum(map(len, out)) + 4 * len(out) <= _ARGUMENTS:
            arguments = ["--force-remove", *(os.fsdecode(b"./" + path) for path in out), "--no-force-remove"]
        else:
            paths = b"".join(path + b"\0" for path in out)
            await self.git.run("update-index", "--force-remove", "-z", "--stdin", stdin=paths)
        paths = b"".join(path + b"\0" for path in sorted(changed))
        await self._writing.run("update-index", "--add", "--replace", *arguments, "-z", "--stdin", stdin=paths)

    async def write_tree(self) -> str:
        """The tree that it holds, stored."""
        return await self._writing.text("write-tree")

    async def paths(self) -> set[bytes]:
        """All that it holds, submodules too."""
        return {entry.partition(b"\t")[2] for entry in await self.entries()}

    async def entries(self) -> list[bytes]:
        """``<mode> <object> <stage>\\t<path>`` for all that it holds."""
        try:
            await self.git.run("ls-files", "--stage", "-z", "--full-name", stdout=self._listing)
            return await in_thread(lambda stop: self._listing.read_bytes().split(b"\0")[:-1])
        finally:
            self._listing.unlink(missing_ok=True)

    async def submodules(self) -> set[bytes]:
        """The paths of submodules in it."""
        if not await in_thread(lambda stop: _may_have_some(self.path)):
            return set()
        return {entry.partition(b"\t")[2] for entry in await self.entries() if entry.startswith(_LISTED)}

    def mark(self) -> Mark | None:
        """Changes with the file; None if there is none."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_ctime_ns, status.st_size

    def remove(self, stop: Stop | None = None) -> None:
        """The file, and what a git that was killed left beside it."""
        self.path.unlink(missing_ok=True)
        self.path.with_name(f"{self.path.name}.lock").unlink(missing_ok=True)


def _may_have_some(path: Path) -> bool:
    """Quicker to see than all entries are to list."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(_SUBMODULE) >= 0
