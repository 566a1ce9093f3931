"""Lock files that a git left behind when it was stopped.

git takes its locks along when it gets SIGTERM, but for the moment between making one and remembering it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_CLOCK_SECONDS = 0.02
"""How far a file's time may lie behind the clock: the kernel's ticks."""


def remove_locks(directory: Path, since: float) -> None:
    """Remove lock files made in a git directory after `since` (seconds since the epoch) that no process has open."""
    young = [lock for lock in _locks(directory) if _made(lock) >= since - _CLOCK_SECONDS]
    if young:
        held = set(_open_files())
        for lock in young:
            if str(lock) not in held:
                lock.unlink(missing_ok=True)


def _locks(directory: Path) -> Iterator[Path]:
    yield from directory.glob("*.lock")
    yield from (directory / "refs").rglob("*.lock")


def _made(path: Path) -> float:
    with suppress(OSError):
        return path.lstat().st_ctime
    return 0.0


def _open_files() -> Iterator[str]:
    for descriptors in Path("/proc").glob("[0-9]*/fd"):
        with suppress(OSError):  # it has ended, or is somebody else's
            for descriptor in descriptors.iterdir():
                with suppress(OSError):
                    yield str(descriptor.readlink())
