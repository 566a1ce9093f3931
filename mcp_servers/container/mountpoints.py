"""Places inside a working directory that earlier, hostile commands may have written to."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import threading
from pathlib import Path, PurePosixPath

from mcp_servers.storage.clearing import discard
from state.errors import SandboxUnavailable
from state.ports import Mount

FICLONE = 0x40049409
CHUNK = 16 << 20


class Stopped(Exception):
    """The copy was told to stop."""


def place(workdir: Path, target: str) -> Path:
    """`target` (relative) below `workdir`, its parents made; none of them is a symlink, so nothing lands elsewhere.

    Sound because nothing runs in the directory at this time. `SandboxUnavailable` if the target is no such place.
    """
    parts = PurePosixPath(target).parts
    if not parts or ".." in parts or target.startswith("/") or "\0" in target:
        raise SandboxUnavailable(f"The mount target {target!r} is not a path below the working directory.")
    path = workdir
    for part in parts[:-1]:
        path /= part
        if not path.is_symlink() and not path.exists():
            path.mkdir()
        if path.is_symlink() or not path.is_dir():
            raise SandboxUnavailable(f"The mount target {target!r} can't be made: {path} is not a directory.")
    return path / parts[-1]


def existing(mount: Mount) -> Path:
    """The real path of the source; `SandboxUnavailable` if it is not there."""
    try:
        return mount.source.resolve(strict=True)
    except OSError as error:
        raise SandboxUnavailable(f"The mount source {mount.source} is not there: {error.strerror}.") from None


def make_mountpoint(workdir: Path, mount: Mount) -> None:
    """Something of the source's kind for the engine to mount over; what is there already may stay."""
    path = place(workdir, mount.target)
    if path.is_symlink():
        raise SandboxUnavailable(f"The mount target {mount.target!r} is a symlink in the working directory.")
    if existing(mount).is_dir():
        path.mkdir(exist_ok=True)
    else:
        path.touch(exist_ok=True)


def copy_in(workdir: Path, mount: Mount, stop: threading.Event) -> None:
    """Put a copy of the source at the target, in place of what was there: never a link, so that the original is safe.

    Files come out read-only (executables stay executable), directories writable: the directory's owner can clean up.
    """
    target = place(workdir, mount.target)
    source = existing(mount)
    try:
        if target.is_dir() and not target.is_symlink():
            discard(target)
        else:
            target.unlink(missing_ok=True)
        _copy(source, target, stop)
    except OSError as error:
        raise SandboxUnavailable(f"The mount source {source} could not be copied to {target}: {error}.") from error


def _copy(source: Path, target: Path, stop: threading.Event) -> None:
    if stop.is_set():
        raise Stopped
    mode = source.lstat().st_mode
    if stat.S_ISDIR(mode):
        target.mkdir()
        with os.scandir(source) as entries:
            for entry in entries:
                _copy(Path(entry.path), target / entry.name, stop)
    elif stat.S_ISLNK(mode):
        target.symlink_to(source.readlink())
    elif stat.S_ISREG(mode):
        _copy_file(source, target, 0o555 if mode & 0o111 else 0o444, stop)
    else:
        raise SandboxUnavailable(f"The mount source {source} is neither a file nor a directory.")


def _copy_file(source: Path, target: Path, mode: int, stop: threading.Event) -> None:
    with source.open("rb") as reading, target.open("xb") as writing:
        try:
            fcntl.ioctl(writing.fileno(), FICLONE, reading.fileno())  # shares the blocks where the filesystem can
        except OSError:
            _copy_bytes(reading.fileno(), writing.fileno(), stop)
        os.fchmod(writing.fileno(), mode)


def _copy_bytes(reading: int, writing: int, stop: threading.Event) -> None:
    try:
        while os.copy_file_range(reading, writing, CHUNK):
            if stop.is_set():
                raise Stopped
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        while data := os.read(reading, CHUNK):
            if stop.is_set():
                raise Stopped from None
            view = memoryview(data)
            while view:
                view = view[os.write(writing, view) :]
