"""A working tree with its server on a real sandbox, for tests."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from mcp_servers.container.host import HostSandbox
from mcp_servers.workspace.desk import Run
from state.limits import PULSE_SECONDS
from state.ports import Exit, SandboxCommand, WriteOutput


@asynccontextmanager
async def host(root: Path, scratch: Path) -> AsyncGenerator[Run]:
    """Runs commands of this host in `root`, with a worker's heartbeat. `scratch` is a directory."""
    sandbox = HostSandbox(scratch=scratch)
    quiet = threading.Event()

    def pulse() -> None:
        while not quiet.wait(PULSE_SECONDS):
            sandbox.pulse()

    async def run(argv: Sequence[str], timeout: float, write: WriteOutput) -> Exit:
        return await sandbox.run(SandboxCommand(tuple(argv), root, timeout), write)

    heart = threading.Thread(target=pulse)
    heart.start()
    try:
        yield run
    finally:
        await sandbox.close()
        quiet.set()
        heart.join()


def running(marker: str) -> list[str]:
    """Command lines on this machine that have the marker in them."""
    found: list[str] = []
    for entry in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208
        try:
            line = Path("/proc", entry, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if marker in line:
            found.append(line)
    return found
