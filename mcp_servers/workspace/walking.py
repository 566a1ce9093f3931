"""What is below a directory of a working tree, by name, without following links and within bounds.

Imported by the search program too: nothing here may be slow to load.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

from mcp_servers.storage import beneath
from mcp_servers.workspace.naming import is_git

Kind = Literal["file", "directory", "link", "other"]
DEEPEST = 100
BULK = frozenset(
    ("node_modules", "__pycache__", ".venv", ".tox", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache")
)
"""Directories of things that programs made, thousands of them: not entered unless they are named."""


class Found(NamedTuple):
    """Something with a name. `skipped`: a directory that is not entered on purpose."""

    path: str
    kind: Kind
    size: int
    skipped: bool = False


class Walk:
    """Goes through the directory `parts` below `root`, by name: each directory is followed by what is in it, down to
    `depth` levels. `left_out`: so far, something could not be looked at, was too deep or more than `most`.
    `everything`: git directories and bulk too. Raises `OSError` if the directory itself can't be read."""

    def __init__(
        self, root: Path, parts: Sequence[str], *, depth: int | None, most: int, everything: bool = False
    ) -> None:
        self._root = root
        self._top = tuple(parts)
        self._deepest = min(depth or DEEPEST, DEEPEST)
        self._told = depth
        self._left = most
        self._everything = everything
        self.left_out = False

    def __iter__(self) -> Iterator[Found]:
        with beneath.directory(self._root, self._top) as descriptor:
            waiting = [iter(self._entries(descriptor, self._top))]
        while waiting:
            found = next(waiting[-1], None)
            if found is None:
                waiting.pop()
                continue
            if found.kind != "directory":
                yield found
            elif not self._everything and _is_passed_over(found.path):
                yield found._replace(skipped=True)
            else:
                if below := self._below(found.path, len(waiting)):
                    waiting.append(iter(below))
                yield found

    def _below(self, path: str, level: int) -> list[Found]:
        """What is in a directory at this level, if the walk goes so deep."""
        if level >= self._deepest:
            self.left_out = self.left_out or self._told is None
            return []
        parts = path.split("/")
        try:
            with beneath.directory(self._root, parts) as descriptor:
                return self._entries(descriptor, parts)
        except OSError:
            self.left_out = True
            return []

    def _entries(self, descriptor: int, parts: Sequence[str]) -> list[Found]:
        prefix = "".join(f"{part}/" for part in parts)
        with os.scandir(descriptor) as entries:
            some = list(islice(entries, self._left + 1))
        if len(some) > self._left:
            self.left_out = True
            some.pop()
        self._left -= len(some)
        return [self._found(entry, prefix) for entry in sorted(some, key=lambda entry: entry.name)]

    def _found(self, entry: os.DirEntry[str], prefix: str) -> Found:
        path = f"{prefix}{entry.name}"
        if entry.is_symlink():
            return Found(path, "link", 0)
        if entry.is_dir(follow_symlinks=False):
            return Found(path, "directory", 0)
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError:
            self.left_out = True
            return Found(path, "other", 0)
        return Found(path, "file" if stat.S_ISREG(status.st_mode) else "other", status.st_size)


def _is_passed_over(path: str) -> bool:
    name = path.rpartition("/")[2]
    return name in BULK or is_git(name)
