"""Bind mounts whose source stays what was judged.

An engine follows the path of a source when it starts the container, and whoever owns a directory on the way may have
put a symlink there by then. So each source is opened step by step, following nothing, and mounted at a place of our
own: the engine is given that. Needs CAP_SYS_ADMIN, and a mount namespace that the engine's follows.
"""

from __future__ import annotations

import ctypes
import os
import stat
from pathlib import Path

from mcp_servers.container.guard.policy import Refused

_BIND, _DETACH, _NO_FOLLOW = 4096, 2, 8


class Pins:
    """Pins below `directory`, which nobody else may write to."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._libc = ctypes.CDLL(None, use_errno=True)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in directory.iterdir():
            self.release(left.name)

    def pin(self, name: str, number: int, source: Path) -> Path:
        """Where the file or directory `source` is to be had under `name`. `Refused` if a step of the way, from the root
        on, is a symlink, or its end is anything else."""
        place = self._directory / name / str(number)
        descriptor = _open(source)
        try:
            mode = os.fstat(descriptor).st_mode
            place.parent.mkdir(exist_ok=True)
            if stat.S_ISDIR(mode):
                place.mkdir()
            elif stat.S_ISREG(mode):
                place.touch()
            else:
                raise Refused(f"{source} is neither a file nor a directory, or a link is on its way")
            if self._libc.mount(f"/proc/self/fd/{descriptor}".encode(), os.fsencode(place), None, _BIND, None):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(place))
        finally:
            os.close(descriptor)
        return place

    def release(self, name: str) -> None:
        """All under this name. Containers that run keep what they have."""
        directory = self._directory / name
        if directory.exists():
            for place in directory.iterdir():
                self._libc.umount2(os.fsencode(place), _DETACH | _NO_FOLLOW)
                place.rmdir() if place.is_dir() else place.unlink()  # where still something is mounted, neither can be
            directory.rmdir()


def _open(source: Path) -> int:
    here = os.open("/", os.O_PATH)
    try:
        for part in source.parts[1:]:
            following = os.open(part, os.O_PATH | os.O_NOFOLLOW, dir_fd=here)
            os.close(here)
            here = following
    except OSError as error:
        os.close(here)
        raise Refused(f"{source}: {error.strerror}") from error
    return here
