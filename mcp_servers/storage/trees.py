"""Whole directories: their digest, and private copies of them to verify on.

Symbolic links are what they say, never where they lead. FIFOs, sockets and devices are left out: they have no content.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from mcp_servers.storage import listings
from mcp_servers.storage.copying import copy_content, digest_content, opened
from mcp_servers.storage.threads import Stop, in_thread
from state.errors import InputError

_MODE = 0o777
"""What a copy keeps of a mode: set-user-id and its like belong to no copy."""


async def digest_tree(path: Path) -> str:
    """``sha256:<hex>`` over all below `path`, in order: kind, whether executable, path, and the digest of a file's
    content or a link's target. A copy by `copy_tree` has the same. `LimitExceeded` over `limits.TREE_FILES`."""
    return await in_thread(lambda stop: _digest(path, stop))


async def copy_tree(source: Path, target: Path) -> tuple[str, ...]:
    """Make `target`, which must not exist, a copy of `source` that shares nothing with it; returns the paths of what
    was left out. Modes and times are kept, and owners where that is allowed; blocks are shared where the file system
    copies them on writing. `LimitExceeded` over `limits.TREE_FILES`. Nothing is left of a failed copy."""
    return await in_thread(lambda stop: _copy(source, target, stop))


def _digest(root: Path, stop: Stop) -> str:
    whole = hashlib.sha256()
    for path, status in _walk(root, stop):
        try:
            value = _content(root / path, status.st_mode, stop)
        except OSError as error:
            raise _unable(error, root / path) from error
        if value is not None:
            # No path has a NUL in it, so nothing can be written to look like two entries.
            whole.update(b"%s %s\0%s\0" % (value[0], os.fsencode(path), value[1]))
    return f"sha256:{whole.hexdigest()}"


def _content(path: Path, mode: int, stop: Stop) -> tuple[bytes, bytes] | None:
    """Kind and content; None for what has none."""
    if stat.S_ISREG(mode):
        with opened(path, follow=False) as descriptor:
            digest, _ = digest_content(descriptor, stop)
        return b"x" if mode & stat.S_IXUSR else b"f", digest.encode()
    if stat.S_ISLNK(mode):
        return b"l", os.fsencode(path.readlink())
    return (b"d", b"") if stat.S_ISDIR(mode) else None


def _copy(source: Path, target: Path, stop: Stop) -> tuple[str, ...]:
    try:
        target.mkdir(mode=0o700)
    except OSError as error:
        raise _unable(error, target) from error
    try:
        return _copy_into(source, target, stop)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise


def _copy_into(source: Path, target: Path, stop: Stop) -> tuple[str, ...]:
    skipped: list[str] = []
    directories: list[tuple[Path, os.stat_result]] = [(target, source.stat())]
    for path, status in _walk(source, stop):
        start, end = source / path, target / path
        try:
            if stat.S_ISDIR(status.st_mode):
                end.mkdir(mode=0o700)
                directories.append((end, status))
                continue
            if stat.S_ISLNK(status.st_mode):
                end.symlink_to(start.readlink())
            elif stat.S_ISREG(status.st_mode):
                _copy_file(start, end, stop)
            else:
                skipped.append(path)
                continue
            _dress(end, status)
        except OSError as error:
            raise _unable(error, start) from error
    # Last and from the leaves up: a directory may be read-only, and what is put in it changes its time.
    for directory, status in reversed(directories):
        _dress(directory, status)
    return tuple(skipped)


def _copy_file(source: Path, target: Path, stop: Stop) -> None:
    written = os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with opened(source, follow=False) as content:
            copy_content(content, written, stop)
    finally:
        os.close(written)


def _dress(path: Path, status: os.stat_result) -> None:
    """Owner, mode and times of the original."""
    if os.geteuid() == 0 and (status.st_uid or status.st_gid):
        os.chown(path, status.st_uid, status.st_gid, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        path.chmod(status.st_mode & _MODE)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)


def _walk(root: Path, stop: Stop) -> Iterator[tuple[str, os.stat_result]]:
    """Everything below, a directory before what is in it, names in the order of their bytes."""
    waiting = [_names(root, "")]
    count = 0
    while waiting:
        stop.check()
        entry = waiting[-1].pop() if waiting[-1] else None
        if entry is None:
            waiting.pop()
            continue
        path, status = entry
        if stat.S_ISDIR(status.st_mode):
            waiting.append(_names(root, path + "/"))
        count += 1
        listings.check_count(count, str(root))
        yield path, status


def _names(root: Path, below: str) -> list[tuple[str, os.stat_result]]:
    """One directory, last name first."""
    try:
        with os.scandir(root / below) as entries:
            found = [(below + entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
    except OSError as error:
        raise _unable(error, root / below) from error
    return sorted(found, key=lambda entry: os.fsencode(entry[0]), reverse=True)


def _unable(error: OSError, path: Path) -> InputError:
    hint = "Make room on that disk." if error.errno in (errno.ENOSPC, errno.EDQUOT) else "Look at its permissions."
    return InputError(f"{error.filename or path}: {error.strerror}", hint)
