"""Lock files that a git left behind when it was stopped.

git takes its locks along when it gets SIGTERM, but for the moment between making one and remembering it: then it has it
open. What others have locked is theirs, whether or not they have it open (`git commit` closes the index's lock before
it starts an editor).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

Lock = tuple[Path, int, int]
"""Where it is, and which file it is: its device and inode."""


def held_locks(session: int) -> set[Lock]:
    """Lock files that processes of this session have open."""
    found = (_open_files(process) for process in Path("/proc").glob("[0-9]*") if _session(process) == session)
    return {lock for locks in found for lock in locks if lock[0].suffix == ".lock"}


def remove_locks(locks: Iterable[Lock]) -> None:
    """Those of a session that has ended, unless there is another's by now."""
    for path, device, inode in locks:
        with suppress(OSError):
            there = path.lstat()
            if (there.st_dev, there.st_ino) == (device, inode):
                path.unlink()


def _session(process: Path) -> int:
    try:
        return os.getsid(int(process.name))
    except OSError:
        return 0


def _open_files(process: Path) -> Iterator[Lock]:
    with suppress(OSError):  # it has ended
        for descriptor in (process / "fd").iterdir():
            with suppress(OSError):
                file = descriptor.stat()
                yield descriptor.readlink(), file.st_dev, file.st_ino
