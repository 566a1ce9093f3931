"""Content from one open file to another, and its digest: shared blocks where the file system can, else in the kernel,
else through one small buffer. Holes stay holes: a sparse file costs what it holds, not what it claims."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from mcp_servers.storage.threads import Stop

BUFFER = 1 << 20
_KERNEL_STEP = 64 << 20
_FICLONE = 0x40049409
_CANNOT_CLONE = frozenset((errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM))
_CANNOT_RANGE = _CANNOT_CLONE | {errno.EBADF, errno.ETXTBSY, errno.EIO}


def version(status: os.stat_result) -> str:
    """Changes when a file's content does. `ctime` is in it because, unlike mtime, a program can't set it back."""
    return f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_ctime_ns:x}-{status.st_size:x}"


@contextmanager
def opened(path: Path | str, *, follow: bool = True, directory: int | None = None) -> Generator[int]:
    """A descriptor of a regular file, to read. Anything else is an `OSError`, and no FIFO can make this wait."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    descriptor = os.open(path, flags, dir_fd=directory)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        yield descriptor
    finally:
        os.close(descriptor)


def copy_content(source: int, target: int, stop: Stop) -> int:
    """Make the empty file `target` hold what `source` does; returns the size."""
    size = os.fstat(source).st_size
    try:
        fcntl.ioctl(target, _FICLONE, source)
        return size
    except OSError as error:
        if error.errno not in _CANNOT_CLONE:
            raise
    for start, end in _data(source, size):
        _copy_range(source, target, start, end, stop)
    os.ftruncate(target, size)
    return size


def digest_content(source: int, stop: Stop) -> tuple[str, int]:
    """``sha256:<hex>`` and the number of bytes read."""
    digest = hashlib.sha256()
    offset = 0
    while block := os.pread(source, BUFFER, offset):
        stop.check()
        digest.update(block)
        offset += len(block)
    return f"sha256:{digest.hexdigest()}", offset


def digest_file(path: Path, stop: Stop) -> tuple[str, int]:
    """`digest_content` of a file by its path."""
    with opened(path) as descriptor:
        return digest_content(descriptor, stop)


def _data(source: int, size: int) -> Iterator[tuple[int, int]]:
    """The stretches of a file that are not holes."""
    offset = 0
    while offset < size:
        try:
            start = os.lseek(source, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            yield offset, size
            return
        offset = min(os.lseek(source, start, os.SEEK_HOLE), size)
        yield start, offset


def _copy_range(source: int, target: int, start: int, end: int, stop: Stop) -> None:
    while start < end:
        stop.check()
        try:
            copied = os.copy_file_range(source, target, min(end - start, _KERNEL_STEP), start, start)
        except OSError as error:
            if error.errno not in _CANNOT_RANGE:
                raise
            copied = 0
        # Some file systems answer 0 instead of refusing.
        start += copied or _copy_block(source, target, start, end)


def _copy_block(source: int, target: int, start: int, end: int) -> int:
    block = os.pread(source, min(BUFFER, end - start), start)
    if not block:
        raise OSError(errno.ESTALE, "the file shrank while it was read")
    done = 0
    while done < len(block):
        done += os.pwrite(target, block[done:], start + done)
    return done
