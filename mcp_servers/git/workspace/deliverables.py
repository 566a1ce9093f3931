"""The part of a snapshot that belongs on a branch: without what the repository's own ``.gitignore`` files ignore, as
build products and installed packages are, and without what tools leave behind that nobody means to keep; unless the
base has that path already.

The rules are read from the snapshot, not from a disk that may have changed since. Rules of the host have no say.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from mcp_servers.git.program import Git
from mcp_servers.git.workspace.cache import Cache
from mcp_servers.git.workspace.index import Index
from mcp_servers.storage.clearing import remove
from mcp_servers.storage.threads import completed, in_thread

_IGNORE = b".gitignore"
_FILE = b"100"
"""How the mode of a file begins; a link's is another, and no rules are read from those."""
LEFTOVERS = (
    "__pycache__/", "*.py[cod]", ".pytest_cache/", ".mypy_cache/", ".ruff_cache/", ".hypothesis/", ".coverage",
    ".venv/", "node_modules/", ".DS_Store", ".atlas-*",
)  # fmt: skip
"""What running a program or its tests leaves behind, whether the repository says so or not."""
_SECONDS = 120.0
"""For patterns that are made to take for ever."""


async def deliverable_tree(cache: Cache, commit: str, base: str) -> str:
    """The tree of `commit` less what it ignores and `base` has not."""
    async with _empty_tree(cache) as tree:
        index = Index(cache.in_tree(tree), cache.scratch)
        try:
            await index.read(commit)
            rules = [path for mode, path in map(_mode_and_path, await index.entries()) if _is_rule(mode, path)]
            ignored = await _ignored(index, rules, cache)
            kept = await _paths(cache.git, base, cache) if ignored else set[bytes]()
            if dropped := [path for path in ignored if path not in kept]:
                await index.update(dropped, ())
            return await index.write_tree()
        finally:
            await completed(in_thread(index.remove))


@asynccontextmanager
async def _empty_tree(cache: Cache) -> AsyncGenerator[Path]:
    """Where git looks for files and finds none."""
    async with cache.temporary() as name:
        path = name.with_suffix(".tree")
        await in_thread(lambda stop: path.mkdir())
        try:
            yield path
        finally:
            await completed(in_thread(lambda stop: remove(path, stop)))


async def _ignored(index: Index, rules: list[bytes], cache: Cache) -> list[bytes]:
    """What in the index matches the rules in it: git reads a ``.gitignore`` from there if its entry says that there is
    none on disk."""
    if rules:
        paths = b"".join(path + b"\0" for path in rules)
        await index.git.run("update-index", "--skip-worktree", "-z", "--stdin", stdin=paths)
    git = replace(index.git, timeout=_SECONDS)
    options = ("--cached", "--ignored", "--exclude-per-directory=.gitignore", "-z", "--full-name")
    options += tuple(f"--exclude={pattern}" for pattern in LEFTOVERS)
    async with cache.temporary() as listing:
        await git.run("ls-files", *options, stdout=listing)
        return await in_thread(lambda stop: listing.read_bytes().split(b"\0")[:-1])


async def _paths(git: Git, commit: str, cache: Cache) -> set[bytes]:
    async with cache.temporary() as listing:
        await git.run("ls-tree", "-r", "-z", "--name-only", "--full-tree", commit, stdout=listing)
        return await in_thread(lambda stop: set(listing.read_bytes().split(b"\0")[:-1]))


def _mode_and_path(entry: bytes) -> tuple[bytes, bytes]:
    head, _, path = entry.partition(b"\t")
    return head, path


def _is_rule(mode: bytes, path: bytes) -> bool:
    return mode.startswith(_FILE) and (path == _IGNORE or path.endswith(b"/" + _IGNORE))
