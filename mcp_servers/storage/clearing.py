"""Removing what a hostile program made: directories of any depth, with any mode. Imports only what is cheap: `warden`
uses it."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from mcp_servers.storage.threads import Stop


def clear(directory: Path, stop: Stop) -> None:
    """Leave `directory` itself, and nothing in it; links are not followed. Blocks. `OSError` if something can't be
    removed."""
    top = os.fsencode(directory)
    waiting = [top]
    while waiting:
        path = waiting.pop()
        _open_up(path)
        with os.scandir(path) as entries:
            found = [(entry.path, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for inner, is_directory in found:
            stop.check()
            if not is_directory:
                os.unlink(inner)  # noqa: PTH108  these paths are bytes
            elif path == top:
                waiting.append(inner)
            else:
                waiting.append(_raised(inner, top))
        if path != top:
            os.rmdir(path)  # noqa: PTH106


def remove(directory: Path, stop: Stop) -> None:
    """Also `directory` itself, which may be absent. Blocks."""
    with suppress(FileNotFoundError):
        clear(directory, stop)
        directory.rmdir()


def discard(directory: Path | str) -> None:
    """Remove `directory`, which may be absent, with all in it; what can't be removed stays, and nothing is raised. What
    `directory` is in stays as it is. Blocks."""
    top = os.fsencode(directory)
    with suppress(OSError):
        if not stat.S_ISDIR(os.lstat(top).st_mode):
            return
    waiting = [top]
    while waiting:
        path = waiting.pop()
        with suppress(OSError):
            _open_up(path)
            with os.scandir(path) as entries:
                found = [(entry.path, entry.is_dir(follow_symlinks=False)) for entry in entries]
            for inner, is_directory in found:
                if is_directory:
                    waiting.append(_raised_if_it_goes(inner, path, top))
                else:
                    with suppress(OSError):
                        os.unlink(inner)  # noqa: PTH108
        if path != top:
            with suppress(OSError):
                os.rmdir(path)  # noqa: PTH106
    with suppress(OSError):
        os.rmdir(top)  # noqa: PTH106


def _raised_if_it_goes(path: bytes, parent: bytes, top: bytes) -> bytes:
    with suppress(OSError):
        return path if parent == top else _raised(path, top)
    return path


def _raised(path: bytes, top: bytes) -> bytes:
    """Move a directory up to `top`: so no path grows longer than the system takes, whatever the depth."""
    _open_up(path)
    target = b"%s/%s" % (top, os.urandom(16).hex().encode())
    os.rename(path, target)  # noqa: PTH104
    return target


def _open_up(directory: bytes) -> None:
    mode = os.lstat(directory).st_mode
    if mode & stat.S_IRWXU != stat.S_IRWXU:
        os.chmod(directory, stat.S_IMODE(mode) | stat.S_IRWXU)  # noqa: PTH101
