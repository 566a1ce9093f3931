"""Which processes of this machine belong to an installation, read from /proc."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.acceptance.command_line import Atlas, Running, wait_until


def processes_of(atlas: Atlas, *but: Running) -> dict[int, str]:
    """Process id to command line of everything whose working directory, arguments or environment name the
    installation, except these commands. Commands of TODOs do: they work in its home."""
    marker = str(atlas.directory).encode()
    spared = {os.getpid(), *(running.pid for running in but)}
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) not in spared and (line := _of(entry, marker)):
            found[int(entry.name)] = line
    return found


def _of(entry: Path, marker: bytes) -> str:
    """The command line if the process is one of ours, else nothing; zombies have none."""
    try:
        arguments = (entry / "cmdline").read_bytes()
    except OSError:
        return ""
    known = arguments
    for read in ((entry / "environ").read_bytes, lambda: os.fsencode((entry / "cwd").readlink())):
        try:
            known += b"\0" + read()
        except OSError:
            continue
    return arguments.replace(b"\0", b" ").decode("utf-8", "replace").strip() if marker in known else ""


def assert_gone(atlas: Atlas, since: float, *but: Running, within: float = 2.0) -> float:
    """Nothing of the installation but these commands runs `within` seconds of `since` (monotonic); how long it took."""
    left = max(0.1, within - (time.monotonic() - since))
    try:
        wait_until(lambda: not processes_of(atlas, *but), "its processes are gone", left)
    except AssertionError:
        still = processes_of(atlas, *but)
        raise AssertionError(f"still there after {time.monotonic() - since:.1f} s: {still}") from None
    return time.monotonic() - since


def assert_nothing_left(atlas: Atlas) -> None:
    """No process, no scratch directory."""
    wait_until(lambda: not processes_of(atlas), f"processes gone: {processes_of(atlas)}", 10)
    leftovers = [*atlas.temporary.iterdir(), *(atlas.home / "work").iterdir(), *(atlas.home / "scratch").iterdir()]
    assert not leftovers, leftovers
