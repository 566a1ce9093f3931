"""A file system that can be full."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.services.availability import missing


@contextmanager
def small_disk(directory: Path, megabytes: int = 24) -> Generator[Path]:
    """Mounted at this new directory."""
    if os.geteuid() != 0:
        missing("mounting a small file system takes root")
    directory.mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(directory)]
    mounted = subprocess.run(argv, check=False, capture_output=True, text=True)
    if mounted.returncode != 0:
        missing(f"no small file system: {mounted.stderr}")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


@contextmanager
def no_more_files(directory: Path) -> Generator[None]:
    """As long as this lasts, a small disk has no room for another file or directory."""
    found = os.statvfs(directory)

    def allow(count: int) -> None:
        subprocess.run(["mount", "-o", f"remount,nr_inodes={count}", str(directory)], check=True)

    allow(found.f_files - found.f_ffree)
    yield
    allow(found.f_files)


def fill(directory: Path) -> Path:
    """To the last byte, until this file is removed."""
    ballast = directory / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError:
            pass
        while True:
            try:
                file.write(b"x" * 512)
            except OSError:
                return ballast
