"""A worker that is killed, or stopped, takes everything it runs along."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from state.limits import PULSE_LIMIT_SECONDS
from tests.services.docker_engine import containers_of

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 60.0
WORKER = """
import asyncio, sys, threading, time
from pathlib import Path
from mcp_servers.container.docker import DockerSandbox
from mcp_servers.container.host import HostSandbox
from state.ports import SandboxCommand

kind, workdir, marker, url = sys.argv[1:]
image = "atlas-test/busybox:1" if kind == "docker" else None
scratch = Path(workdir)
sandbox = DockerSandbox(boot="b", home=workdir, url=url) if image else HostSandbox(form=kind, scratch=scratch)
script = (
    f"sleep {marker} & setsid sleep {marker} & (setsid nohup sh -c 'sleep {marker}' >/dev/null 2>&1 &) ;"
    f"(setsid sh ./again {marker} &) ; touch started; wait"
)

def pulse():
    while True:
        sandbox.pulse()
        time.sleep(0.5)

async def main():
    threading.Thread(target=pulse, daemon=True).start()
    async def write(stream, data):
        print(stream, data, flush=True)
    await sandbox.run(SandboxCommand(("sh", "-c", script), Path(workdir), 600.0, image=image), write)

asyncio.run(main())
"""


def alive(marker: str) -> list[int]:
    """Processes of this machine, containers included, whose command line holds the marker; not the worker's own."""
    found: list[int] = []
    for entry in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208
        try:
            line = Path("/proc", entry, "cmdline").read_bytes()
        except OSError:
            continue
        if marker.encode() in line and b"-c\0" + WORKER.encode()[:40] not in line:
            found.append(int(entry))
    return found


def until(condition: Callable[[], object], what: str) -> float:
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < DEADLINE, f"never: {what}"
        time.sleep(0.01)
    return time.monotonic() - start


@contextmanager
def worker(kind: str, workdir: Path, url: str) -> Generator[tuple[subprocess.Popen[bytes], str]]:
    """A worker whose command has started everything it starts, and the number its processes carry."""
    marker = str(random.randrange(10**8, 10**9))
    (workdir / "again").write_text('trap "" TERM HUP\nsetsid sh ./again "$1" &\n')
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, kind, str(workdir), marker, url],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])},
        cwd=workdir,
    )
    try:
        until(lambda: (workdir / "started").exists() or process.poll() is not None, "the command started")
        assert process.poll() is None
        until(lambda: len(alive(marker)) >= 4, "its processes started")
        yield process, marker
    finally:
        process.kill()
        process.wait()


@pytest.fixture(params=["namespace", "tree", pytest.param("docker", marks=pytest.mark.docker)])
def place(request: pytest.FixtureRequest) -> tuple[str, str]:
    if request.param == "docker":
        request.getfixturevalue("busybox_image")
        return "docker", str(request.getfixturevalue("docker_url"))
    return str(request.param), ""


def test_a_killed_worker_leaves_nothing(place: tuple[str, str], tmp_path: Path) -> None:
    kind, url = place
    with worker(kind, tmp_path, url) as (process, marker):
        process.kill()
        process.wait()
        assert until(lambda: not alive(marker), "everything is dead") < 2.0
    until(lambda: not url or not containers_of(url, tmp_path), "the container is removed")
    if kind != "docker":
        until(lambda: {path.name for path in tmp_path.iterdir()} == {"again", "started"}, "scratch is removed")


def test_a_stopped_worker_loses_what_it_runs(place: tuple[str, str], tmp_path: Path) -> None:
    kind, url = place
    with worker(kind, tmp_path, url) as (process, marker):
        process.send_signal(signal.SIGSTOP)
        assert until(lambda: not alive(marker), "everything is dead") < PULSE_LIMIT_SECONDS * 10
