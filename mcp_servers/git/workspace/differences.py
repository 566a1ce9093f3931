"""What is different between two commits, as text: no program of the repository's choosing makes it, no rename hides a
path, and it is bounded."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace

from mcp_servers.git.program import Git
from mcp_servers.git.workspace.results import ChangedFile, Diff, shown
from mcp_servers.git.workspace.together import both
from state.limits import DIFF_FILES, MB

_OPTIONS = ("-r", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color", "--ignore-submodules=none")
_PATCH = ("--patch", "--src-prefix=a/", "--dst-prefix=b/", "--unified=3", "--diff-algorithm=myers")
_LISTING_BYTES = 8 * MB
_ALL_BYTES = 64 * MB
_BIG = "core.bigFileThreshold=4m"
"""Larger files are binary, to a diff."""
_SECONDS = 120.0


async def compare(git: Git, old: str, new: str, limit: int) -> Diff:
    """What changed from `old` to `new`; at most `limit` bytes of text."""
    (text, cut), (files, more) = await both(patch(git, old, new, limit), changed_files(git, old, new))
    return Diff(text, cut or more, tuple(files[:DIFF_FILES]))


async def patch(git: Git, old: str, new: str, limit: int, paths: Sequence[bytes] = ()) -> tuple[str, bool]:
    """(at most `limit` bytes of the patch, whether there is more); of `paths` only, if there are any."""
    some = ("--", *map(os.fsdecode, paths)) if paths else ()
    stretch = await _judging(git).page("diff-tree", *_OPTIONS, *_PATCH, old, new, *some, start=0, size=limit)
    text = stretch.data.decode("utf-8", "ignore" if stretch.more else "backslashreplace")
    return text, stretch.more


async def changed_files(git: Git, old: str, new: str) -> tuple[list[ChangedFile], bool]:
    """(the files that differ, whether there are more)"""
    options = (*_OPTIONS, "--raw", "--numstat", "-z")
    stretch = await _judging(git).page("diff-tree", *options, old, new, start=0, size=_LISTING_BYTES)
    fields = stretch.data.split(b"\0")[:-1]
    status, lines = dict[bytes, str](), dict[bytes, tuple[int | None, int | None]]()
    for path, value in _records(fields):
        if isinstance(value, str):
            status[path] = value
        else:
            lines[path] = value
    files = [ChangedFile(shown(path), kind, *lines.get(path, (None, None))) for path, kind in status.items()]
    return files, stretch.more or len(files) > DIFF_FILES


async def changed_paths(git: Git, old: str, new: str) -> tuple[list[str], bool]:
    """(every path that differs, whether even this is not all)"""
    listing = await _judging(git).page("diff-tree", *_OPTIONS, "--name-only", "-z", old, new, start=0, size=_ALL_BYTES)
    return [shown(path) for path in listing.data.split(b"\0")[:-1]], listing.more


async def count(git: Git, old: str, new: str) -> int:
    """How many paths differ."""
    listing = await _judging(git).page(
        "diff-tree", "-r", "--name-only", "-z", old, new, start=0, size=4 * _LISTING_BYTES
    )
    return listing.data.count(b"\0")


def _judging(git: Git) -> Git:
    return replace(git, settings=(*git.settings, _BIG), timeout=_SECONDS)


def _records(fields: Sequence[bytes]) -> Iterator[tuple[bytes, str | tuple[int | None, int | None]]]:
    """(path, its status or its lines added and removed)"""
    each = iter(fields)
    for head in each:
        if head.startswith(b":"):
            path = next(each, None)
            if path is not None:
                yield path, head.rpartition(b" ")[2].decode("ascii")
        else:
            added, removed, path = head.split(b"\t", 2)
            yield path, (_number(added), _number(removed))


def _number(text: bytes) -> int | None:
    return int(text) if text.isdigit() else None
