"""Cached content at a path of its own, for a command to read."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from mcp_servers.storage import beneath, failures
from mcp_servers.storage.cache import CachedTree
from mcp_servers.storage.cache_files import CachedObject
from mcp_servers.storage.copying import copy_content, opened
from mcp_servers.storage.threads import Stop, in_thread
from state.errors import InputError

_CANNOT_LINK = frozenset((errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP))


async def place(leased: CachedObject | CachedTree, target: Path, *, within: Path, link: bool = False) -> None:
    """Make `target`, which must not exist, a file or directory with what is leased.

    `within` is the directory that it must not leave: below it nothing is trusted, and a symbolic link on the way to
    `target` is refused. A tree's directories come out with mode 0755. Files are private copies, mode 0444, sharing
    blocks where the file system can; with `link` they are the cache's own, hard-linked where possible: only for mounts
    that are read-only to whoever reads them.
    """
    await in_thread(lambda stop: _place(leased, target, within, link, stop))


def _place(leased: CachedObject | CachedTree, target: Path, within: Path, link: bool, stop: Stop) -> None:
    try:
        *above, name = target.relative_to(within).parts
    except ValueError:
        raise InputError(f"{target} is not inside {within}", "Choose a path inside it.") from None
    if ".." in (*above, name):
        raise InputError(f"{target} has '..' in it", "Write the path without it.")
    with failures.told(str(target), "writing"), beneath.directory(within, above, create=True) as parent:
        if isinstance(leased, CachedObject):
            _place_file(leased, parent, name, link, stop)
        else:
            os.mkdir(name, dir_fd=parent)
            _place_tree(leased, target, link, stop)


def _place_tree(tree: CachedTree, target: Path, link: bool, stop: Stop) -> None:
    try:
        for relative, one in tree.files:
            stop.check()
            *above, name = relative.split("/")
            with beneath.directory(target, above, create=True) as parent:
                _place_file(one, parent, name, link, stop)
        _open_to_readers(tree, target, stop)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise


def _open_to_readers(tree: CachedTree, target: Path, stop: Stop) -> None:
    """Whoever reads the files need not be this process's user, and its umask may have closed their directories."""
    found: set[tuple[str, ...]] = {()}
    for relative, _ in tree.files:
        *above, _ = relative.split("/")
        found.update(tuple(above[:count]) for count in range(1, len(above) + 1))
    for parts in found:
        stop.check()
        with beneath.directory(target, parts) as descriptor:
            os.fchmod(descriptor, 0o755)


def _place_file(one: CachedObject, parent: int, name: str, link: bool, stop: Stop) -> None:
    if link:
        try:
            os.link(one.path, name, dst_dir_fd=parent)
            return
        except OSError as error:
            if error.errno not in _CANNOT_LINK:
                raise
    target = os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=parent)
    try:
        with opened(one.path) as source:
            copy_content(source, target, stop)
        os.fchmod(target, 0o444)
    except BaseException:
        os.unlink(name, dir_fd=parent)
        raise
    finally:
        os.close(target)
