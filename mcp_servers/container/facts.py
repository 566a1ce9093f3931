"""What has to be known about an engine before a container can be made on it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from mcp_servers.container.engine import Engine
from state.errors import SandboxUnavailable

PROBE_SECONDS = 5.0
WORKER_UID = 10_001
"""Who commands are when the worker is root."""
MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}


@dataclass(frozen=True, slots=True)
class Facts:
    """One engine, as it introduces itself."""

    version: str
    machine: str
    cores: int
    rootless: bool

    @property
    def keeper(self) -> Path:
        """Our PID 1 for its containers. `SandboxUnavailable` if there is none for this machine."""
        keeper = Path(__file__).parent / "keeper" / f"keeper-{MACHINES.get(self.machine, self.machine)}"
        if not os.access(keeper, os.X_OK):
            raise SandboxUnavailable(f"There is no keeper for containers on {self.machine} ({keeper}).")
        return keeper

    @property
    def user(self) -> str:
        """The worker itself, so that files are its own; never root, whom a rootless engine alone makes the worker."""
        if self.rootless:
            return "0:0"
        uid, gid = os.geteuid(), os.getegid()
        return f"{uid}:{gid}" if uid else f"{WORKER_UID}:{WORKER_UID}"


async def learn(engine: Engine) -> Facts:
    """Ask. `SandboxUnavailable` if it does not answer, or has no Linux containers."""
    reply = await engine.request("GET", "/info", timeout=PROBE_SECONDS)
    fields = reply.fields()
    if reply.status != 200 or fields.get("OSType") != "linux":
        raise SandboxUnavailable(f"The engine at {engine.url} does not run Linux containers: {reply.message}")
    options = cast("list[str]", fields.get("SecurityOptions") or [])
    return Facts(
        version=str(fields.get("ServerVersion")),
        machine=str(fields.get("Architecture")),
        cores=int(cast("int", fields.get("NCPU"))),
        rootless=any("rootless" in option for option in options),
    )
