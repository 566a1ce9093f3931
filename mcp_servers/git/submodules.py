"""The submodules of a repository that git would enter, with nothing to stop it: to stage, stash or merge it asks each
whether it is changed, by a git of its own that obeys the submodule's configuration."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mcp_servers.git.confinement import Repository, Roots
from mcp_servers.git.neutral import Neutral
from mcp_servers.storage.threads import in_thread

_MODE = (0o160000).to_bytes(4, "big")
"""How an index, of whichever version, says that an entry is a submodule."""
_LISTED = b"160000 "


async def entered(repository: Repository, roots: Roots, neutral: Neutral) -> list[Repository]:
    """Those that are checked out, and theirs, each judged. `InputError`: one is not inside the roots."""
    found: list[Repository] = []
    waiting = [repository]
    while waiting:
        inner = await _direct(waiting.pop(), roots, neutral)
        found += inner
        waiting += inner
    return found


async def _direct(repository: Repository, roots: Roots, neutral: Neutral) -> list[Repository]:
    top = repository.work_tree
    if top is None or not await in_thread(lambda stop: _may_have_some(repository.directory)):
        return []
    git = await neutral.git(repository)
    with tempfile.TemporaryDirectory(prefix="atlas-git-") as directory:
        listing = Path(directory) / "listing"
        await git.run("ls-files", "--stage", "-z", stdout=listing)
        return await in_thread(lambda stop: [roots.repository(path) for path in _checked_out(listing, top)])


def _may_have_some(directory: Path) -> bool:
    """Whether the index has the bytes of such an entry: quicker to see than all entries are to list."""
    return any(_holds(path, _MODE) for path in (directory / "index", *directory.glob("sharedindex.*")))


def _holds(path: Path, sought: bytes) -> bool:
    if not path.is_file() or not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(sought) >= 0


def _checked_out(listing: Path, top: Path) -> Iterator[str]:
    for entry in listing.read_bytes().split(b"\0"):
        if entry.startswith(_LISTED):
            path = os.path.join(top, os.fsdecode(entry.partition(b"\t")[2]))  # noqa: PTH118  any byte may be in it
            if os.path.lexists(f"{path}/.git") and not os.path.islink(path):  # noqa: PTH114
                yield path
