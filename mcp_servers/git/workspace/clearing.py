"""Removing what a hostile program made: directories of any depth, with any mode."""

from __future__ import annotations

import os
import stat
import uuid
from contextlib import suppress
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


def _raised(path: bytes, top: bytes) -> bytes:
    """Move a directory up to `top`: so no path grows longer than the system takes, whatever the depth."""
    _open_up(path)
    target = b"%s/%s" % (top, uuid.uuid4().hex.encode())
    os.rename(path, target)  # noqa: PTH104
    return target


def _open_up(directory: bytes) -> None:
    mode = os.lstat(directory).st_mode
    if mode & stat.S_IRWXU != stat.S_IRWXU:
        os.chmod(directory, stat.S_IMODE(mode) | stat.S_IRWXU)  # noqa: PTH101
