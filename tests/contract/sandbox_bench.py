"""A sandbox of each kind, put up for tests of the port `state.ports.Sandbox`."""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mcp_servers.container.docker import DockerSandbox
from mcp_servers.container.host import HostSandbox
from state.limits import PULSE_SECONDS
from state.ports import Exit, Sandbox, SandboxCommand, Stream

KINDS = ["namespace", "tree", *(pytest.param(kind, marks=pytest.mark.docker) for kind in ("docker", "guarded"))]
DEADLINE = 60.0


@dataclass
class Bench:
    """A sandbox with a worker's heartbeat, a working directory, and a way to find processes by a number they carry."""

    kind: str
    sandbox: Sandbox
    workdir: Path
    image: str | None
    marker: str = field(default_factory=lambda: str(random.randrange(10**8, 10**9)))
    quiet: threading.Event = field(default_factory=threading.Event)

    def command(self, *argv: str, timeout: float = DEADLINE, **more: object) -> SandboxCommand:
        settings: dict[str, object] = {"workdir": self.workdir, "image": self.image, "label": "test"} | more
        return SandboxCommand(argv=argv, timeout=timeout, **settings)  # pyright: ignore[reportArgumentType]

    async def run(self, *argv: str, timeout: float = DEADLINE, **more: object) -> tuple[Exit, bytes, bytes]:
        said: dict[Stream, list[bytes]] = {"stdout": [], "stderr": []}

        async def write(stream: Stream, data: bytes) -> None:
            said[stream].append(data)

        ended = await self.sandbox.run(self.command(*argv, timeout=timeout, **more), write)
        return ended, b"".join(said["stdout"]), b"".join(said["stderr"])

    async def shell(self, script: str, timeout: float = DEADLINE, **more: object) -> tuple[Exit, bytes, bytes]:
        return await self.run("sh", "-c", script, timeout=timeout, **more)

    def alive(self) -> list[str]:
        """Processes of this machine, containers included, whose command line holds the marker."""
        found: list[str] = []
        for entry in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208
            try:
                line = Path("/proc", entry, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if self.marker in line:
                found.append(line)
        return found

    def pulse(self) -> None:
        while not self.quiet.wait(PULSE_SECONDS):
            self.sandbox.pulse()


async def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"never: {what}"
        await asyncio.sleep(0.01)


async def ignore(_stream: Stream, _data: bytes) -> None:
    return


@pytest.fixture(params=KINDS)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    workdir = tmp_path / "work"
    workdir.mkdir()
    if request.param in ("docker", "guarded"):
        image = str(request.getfixturevalue("busybox_image"))
        url = str(request.getfixturevalue("docker_url" if request.param == "docker" else "guarded_url"))
        sandbox = DockerSandbox(boot=f"test-{os.getpid()}", home=str(tmp_path), url=url, network="host")
    else:
        image = None
        sandbox = HostSandbox(form=request.param, scratch=tmp_path)
        if request.param == "namespace" and "namespaces" not in (await HostSandbox().probe()).detail.split(":")[0]:
            pytest.skip("this system does not allow user namespaces")
    bench = Bench(str(request.param), sandbox, workdir, image)
    pulses = threading.Thread(target=bench.pulse)
    pulses.start()
    yield bench
    bench.quiet.set()
    pulses.join()
    await sandbox.close()
    assert bench.alive() == []
