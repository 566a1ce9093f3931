"""Names in an index. git verifies them when they are made, never when they are read: one that another program wrote may
be ``../x`` or ``/etc/x``, and is then compared, shown and checked out like any other."""

from __future__ import annotations

import os
import re
import tempfile
import time
from pathlib import Path

from mcp_servers.git.program import Git, GitError
from mcp_servers.storage.threads import in_thread

_LEADS_OUT = re.compile(rb"(?:^|\0)(/[^\0]*|(?:[^\0]*/)?\.\.(?:/[^\0]*)?)(?:\0|$)")
_KEPT = 1_000
SETTLED_NS = 50_000_000
"""A file that changed less long ago could change again without its time telling."""

IndexStamp = tuple[tuple[int, int, int], ...]


class Entries:
    """Judges the index of each working tree once, until it is another."""

    def __init__(self) -> None:
        self._sound: dict[Path, IndexStamp] = {}

    async def check(self, git: Git, directory: Path, stamp: IndexStamp) -> None:
        """`GitError` if the index in this git directory, which `git` works with, has a name that leads out. `stamp`:
        of that index just now."""
        if not stamp or self._sound.get(directory) == stamp:
            return
        with tempfile.TemporaryDirectory(prefix="atlas-git-") as temporary:
            listing = Path(temporary) / "listing"
            await git.run("ls-files", "-z", "--full-name", stdout=listing)
            found = await in_thread(lambda stop: _leading_out(listing.read_bytes()))
        if found is not None:
            raise GitError(
                f"refused: the index of {directory} has the name {found[:200]!r}, which leads out",
                "Remove the index and reset: it was not written by git.",
            )
        if time.time_ns() - max(changed for _, changed, _ in stamp) > SETTLED_NS:
            if len(self._sound) >= _KEPT:
                self._sound.clear()
            self._sound[directory] = stamp


def index_stamp(directory: Path) -> IndexStamp:
    """Changes with the index of a git directory; empty without one."""
    stamps: list[tuple[int, int, int]] = []
    names = ["index", *sorted(name for name in os.listdir(directory) if name.startswith("sharedindex."))]  # noqa: PTH208
    for name in names:
        try:
            status = os.stat(f"{directory}/{name}")  # noqa: PTH116  this is asked with every call
        except FileNotFoundError:
            continue
        stamps.append((status.st_ino, status.st_ctime_ns, status.st_size))  # no program can set a ctime
    return tuple(stamps)


def _leading_out(names: bytes) -> str | None:
    suspicious = names.startswith(b"/") or b"\0/" in names or b".." in names
    if not suspicious or (match := _LEADS_OUT.search(names)) is None:
        return None
    return match[1].decode("utf-8", "replace")
