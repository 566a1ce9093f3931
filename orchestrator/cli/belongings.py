"""Directories that belong to one process: the kernel tells whether it lives, by a lock that goes with it.

The lock is on a file in it, which a network file system passes on to other hosts; one on a directory stays on this
host. That one is held besides, for who tidies up temporary directories.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from mcp_servers.storage.clearing import discard
from state.errors import SHORT
from state.records import new_id

_LOCK = ".lock"
_ID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
_NAME = re.compile(rf"\.?{_ID}")
_MAKING_SECONDS = 60.0
"""After that, whoever began to make one has died."""


def of_processes(parent: Path) -> list[str]:
    """The names in `parent` that are a process's; what else is there is somebody's, and none of ours."""
    with suppress(OSError):
        return [name for name in os.listdir(parent) if re.fullmatch(_ID, name)]  # noqa: PTH208 - names only
    return []


@contextmanager
def kept(directory: Path) -> Generator[None]:
    """This process's own, as long as it lives: then nobody takes it for an orphan."""
    with ExitStack() as held:
        for path, flags in ((directory, _DIRECTORY), (directory / _LOCK, _FILE | os.O_CREAT)):
            try:
                descriptor = os.open(path, flags, 0o600)
            except OSError as error:
                if path == directory or error.errno in SHORT:
                    raise
                continue  # a full disk, say: who is elsewhere can't tell that it is in use
            held.callback(os.close, descriptor)
            with suppress(OSError):  # a file system without locks: nobody there can tell that it is abandoned
                fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield


def abandoned(directory: Path) -> bool:
    """Whether no process keeps it."""
    return _free(directory, _DIRECTORY) and (not os.path.lexists(directory / _LOCK) or _free(directory / _LOCK, _FILE))


def _free(path: Path, flags: int) -> bool:
    try:
        descriptor = os.open(path, flags)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


@contextmanager
def marked(directory: Path) -> Generator[None]:
    """While this process lives, `directory` is there and kept; if it stays, the process died."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with kept(directory):
        yield
    discard(directory)


@contextmanager
def own_scratch(parent: Path) -> Generator[Path]:
    """A directory in `parent` for this process's temporary files, which goes with it; what the dead left there goes
    now. On a full disk it is `parent` itself: most commands need none."""
    name = new_id()
    try:
        remove_abandoned(parent)
        (making := parent / f".{name}").mkdir(mode=0o700)
    except OSError:
        yield parent
        return
    try:
        with kept(making):  # under its name nobody sees it unlocked
            yield making.rename(parent / name)
    finally:
        discard(parent / name)


def remove_abandoned(parent: Path) -> None:
    """What processes that died left in `parent`."""
    for path in parent.iterdir():
        if _NAME.fullmatch(path.name) is None or not abandoned(path):
            continue
        with suppress(OSError):
            if path.name.startswith(".") and time.time() - path.stat().st_mtime < _MAKING_SECONDS:
                continue
            discard(path)
