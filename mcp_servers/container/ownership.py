"""Making the working directory fit for the container's user, who need not be the worker's."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path, PurePosixPath

from mcp_servers.container.mountpoints import Stopped, existing, make_mountpoint
from mcp_servers.container.profile import WORK
from state.errors import FULL, SHORT, SandboxUnavailable
from state.ports import SandboxCommand


def prepare(command: SandboxCommand, user: str, stop: threading.Event) -> None:
    """Make the mountpoints below the working directory, and let `user` (``uid:gid``) own what it may write to.
    `SandboxUnavailable` if that can't be.

    The worker keeps access: it is that user itself, or root.
    """
    for mount in command.mounts:
        target = PurePosixPath(WORK) / mount.target
        if target.is_relative_to(WORK):  # else the engine makes it, as root where the worker is not
            make_mountpoint(command.workdir, replace(mount, target=str(target.relative_to(WORK))))
        existing(mount)
    if os.geteuid() != 0:
        return
    uid, gid = map(int, user.split(":"))
    for directory in (command.workdir, *(mount.source for mount in command.mounts if mount.writable)):
        try:
            give(directory, uid, gid, stop)
        except OSError as error:
            if error.errno in SHORT | FULL:
                raise
            raise SandboxUnavailable(
                f"The user of containers, {user}, could not be made the owner of {error.filename}: {error.strerror}.",
                "Run the worker as a user other than root, or as root with CAP_CHOWN on a file system that has owners.",
            ) from error


def give(path: Path, uid: int, gid: int, stop: threading.Event) -> None:
    """Change the owner of a tree. Symlinks are changed, not followed; a file with other names stays as it is, because
    one of them may lie outside."""
    _own(path, uid, gid)
    waiting = [path]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if stop.is_set():
                    raise Stopped
                _own(Path(entry.path), uid, gid)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))


def _own(path: Path, uid: int, gid: int) -> None:
    status = path.lstat()
    shared = status.st_nlink > 1 and not path.is_dir()
    if (status.st_uid, status.st_gid) != (uid, gid) and not shared:
        os.chown(path, uid, gid, follow_symlinks=False)
