"""What has to be known about an engine before a container can be made on it."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from mcp_servers.container.engine import Engine
from state.errors import SandboxUnavailable

PROBE_SECONDS = 5.0
WORKER_UID = 10_001
"""Who commands are when the worker is root."""
_WORKER = f"{WORKER_UID}:{WORKER_UID}"
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
        """Our PID 1 for its containers. `SandboxUnavailable` if there is none for this machine, or none that `user` may
        run."""
        keeper = Path(__file__).parent / "keeper" / f"keeper-{MACHINES.get(self.machine, self.machine)}"
        if not os.access(keeper, os.X_OK):
            raise SandboxUnavailable(f"There is no keeper for containers on {self.machine} ({keeper}).")
        if self.user == _WORKER and not keeper.stat().st_mode & stat.S_IXOTH:
            raise SandboxUnavailable(
                f"The user of containers, {_WORKER}, may not execute {keeper}.",
                f"It was installed with a strict umask: chmod 755 {keeper}",
            )
        return keeper

    @property
    def user(self) -> str:
        """The worker itself, so that files are its own; never root, whom a rootless engine alone makes the worker."""
        if self.rootless:
            return "0:0"
        uid, gid = os.geteuid(), os.getegid()
        return f"{uid}:{gid}" if uid else _WORKER


async def learn(engine: Engine, *, writing: bool = False) -> Facts:
    """Ask. `SandboxUnavailable` if it does not answer, has no Linux containers, or none that could be `writing` to
    directories of this host."""
    reply = await engine.request("GET", "/info", timeout=PROBE_SECONDS)
    fields = reply.fields()
    if reply.status != 200 or fields.get("OSType") != "linux":
        raise SandboxUnavailable(f"The engine at {engine.url} does not run Linux containers: {reply.message}")
    options = cast("list[str]", fields.get("SecurityOptions") or [])
    if writing and any("userns" in option for option in options):
        raise SandboxUnavailable(
            f"The engine at {engine.url} makes other users of its containers' (userns-remap): they could not write to a"
            " working directory on this host.",
            "Use a rootless engine, or one without userns-remap.",
        )
    return Facts(
        version=str(fields.get("ServerVersion")),
        machine=str(fields.get("Architecture")),
        cores=int(cast("int", fields.get("NCPU"))),
        rootless=any("rootless" in option for option in options),
    )
