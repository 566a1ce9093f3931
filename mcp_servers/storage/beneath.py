"""Files below a directory whose content is not trusted: no name on the way may be a symbolic link.

Each step is opened relative to the one before it, so nothing that is swapped meanwhile leads elsewhere.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def directory(root: Path, parts: Sequence[str], *, create: bool = False) -> Generator[int]:
    """A descriptor of the directory `parts` below `root` (itself trusted). ``ELOOP`` names a symbolic link on the way;
    with `create`, what is missing is made."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for number, part in enumerate(parts):
            below = _step(descriptor, part, "/".join(parts[: number + 1]), create=create)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def file(root: Path, relative: str) -> Generator[int]:
    """A descriptor of the regular file `relative` below `root`, to read. ``ELOOP``: a symbolic link; ``EISDIR``: a
    directory; ``EINVAL``: neither file nor directory."""
    *parts, name = relative.split("/")
    with directory(root, parts) as parent:
        check_regular(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode, relative)
        # Neither a FIFO nor a link that takes its place now can make this wait or lead away.
        descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        check_regular(os.fstat(descriptor).st_mode, relative)
        yield descriptor
    finally:
        os.close(descriptor)


def walk(root: Path, relative: str) -> Iterator[str]:
    """Paths of all files below the directory `relative`, with it, in no order. What is neither file nor directory is an
    `OSError`, as in `file`."""
    waiting = [relative.rstrip("/")]
    while waiting:
        path = waiting.pop()
        with directory(root, path.split("/")) as descriptor, os.scandir(descriptor) as entries:
            for entry in entries:
                below = f"{path}/{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(below)
                else:
                    check_regular(entry.stat(follow_symlinks=False).st_mode, below)
                    yield below


def check_regular(mode: int, name: str) -> None:
    """An `OSError` that says what `name` is, unless it is a regular file."""
    if stat.S_ISLNK(mode):
        raise OSError(errno.ELOOP, "is a symbolic link", name)
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, "is a directory", name)
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "is neither a file nor a directory", name)


def _step(parent: int, part: str, shown: str, *, create: bool) -> int:
    if create:
        with suppress(FileExistsError):
            os.mkdir(part, dir_fd=parent)
    try:
        return os.open(part, _DIRECTORY, dir_fd=parent)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR) and _is_link(parent, part):
            raise OSError(errno.ELOOP, "is a symbolic link", shown) from error
        raise OSError(error.errno, error.strerror, shown) from error


def _is_link(parent: int, part: str) -> bool:
    try:
        return stat.S_ISLNK(os.stat(part, dir_fd=parent, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False
