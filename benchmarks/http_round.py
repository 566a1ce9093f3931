"""One round of `http`; options: `what` (requests: `stored`, `requests`; watchers: `watchers`, `events`)."""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.http import CLIENTS, PAGE
from benchmarks.measuring import Round, in_round, percentile, report

_START_SECONDS = 60.0
_KEYS = 97
"""TODOs that are asked for one at a time."""


class Connection:
    """HTTP/1.1, kept alive: as little work for this side as can be."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str) -> None:
        self._reader = reader
        self._writer = writer
        self._token = token

    async def ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        """The body of the answer, which must be a good one."""
        self.send(method, path, body)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        answer = await self._reader.readexactly(int(length[1])) if length else b""
        if not re.match(rb"HTTP/1.1 20\d ", head):
            raise RuntimeError(f"{method} {path}: {head[:200]!r} {answer[:500]!r}")
        return answer

    def send(self, method: str, path: str, body: bytes = b"") -> None:
        """Only that."""
        self._writer.write(
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {self._token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )

    async def event(self, name: bytes) -> float:
        """When an event of this type comes."""
        while name not in await self._reader.readuntil(b"\n"):
            pass
        return time.monotonic()

    def close(self) -> None:
        self._writer.close()


class Served:
    """A server, and connections to it."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, token: str) -> None:
        self.process = process
        self._port = port
        self._token = token

    async def connected(self) -> Connection:
        """One more."""
        return Connection(*await asyncio.open_connection("127.0.0.1", self._port), self._token)

    def resident(self) -> int:
        """Bytes of memory that it has."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) * 1024


@asynccontextmanager
async def serving(directory: Path) -> AsyncGenerator[Served]:
    """`atlas serve`, without a worker."""
    environment = {**os.environ, "ATLAS_HOME": str(directory / "home")}
    log = directory / "serve.log"
    process = _started(environment, log)
    try:
        end = time.monotonic() + _START_SECONDS
        while not (found := re.search(r"listening on http://127.0.0.1:(\d+)/", log.read_text())):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(log.read_text())
            await asyncio.sleep(0.05)
        token = (directory / "home" / "token").read_text(encoding="ascii").strip()
        yield Served(process, int(found[1]), token)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _started(environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "orchestrator.cli.main", "serve", "--port", "0", "--no-worker"],
            env=environment, stderr=output, stdin=subprocess.DEVNULL,
        )  # fmt: skip


async def submit(served: Served, todos: list[dict[str, object]]) -> str:
    """The run."""
    connection = await served.connected()
    plan = {"atlas": 1, "name": "bench", "todos": todos}
    answer = json.loads(await connection.ask("POST", "/api/runs", json.dumps({"plan": plan}).encode()))
    connection.close()
    return answer["run"]["id"]


async def requests(served: Served, stored: int, count: int) -> Round:
    """Pages and single TODOs, by several clients at once."""
    run = await submit(served, [{"id": f"t{number}", "run": "true"} for number in range(stored)])
    pages = [f"/api/runs/{run}/todos?limit={PAGE}&after={after}" for after in range(-1, stored - PAGE, PAGE)]
    ones = [f"/api/runs/{run}/todos/t{number}" for number in range(0, stored, _KEYS)]
    found: dict[str, float] = {}
    for name, paths in (("list", pages), ("one", ones)):
        took, wall = await _load(served, paths, count)
        found |= {f"{name}_per_second": count / wall, f"{name}_p50": percentile(took, 0.5)}
        found |= {f"{name}_p99": percentile(took, 0.99)}
    return found


async def _load(served: Served, paths: list[str], count: int) -> tuple[list[float], float]:
    """(milliseconds of each, seconds of all)"""
    took: list[float] = []
    left = iter(range(count))

    async def client() -> None:
        connection = await served.connected()
        for number in left:
            start = time.perf_counter()
            await connection.ask("GET", paths[number % len(paths)])
            took.append(1000 * (time.perf_counter() - start))
        connection.close()

    start = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return took, time.perf_counter() - start


async def watchers(served: Served, count: int, events: int) -> Round:
    """Milliseconds from asking for a change until a watcher has its event; the change's commit is part of it."""
    run = await submit(served, [{"id": "gate", "ask": "Go?"}])
    before = served.resident()
    watching = [await served.connected() for _ in range(count)]
    for connection in watching:
        connection.send("GET", f"/api/runs/{run}/events")
    await asyncio.gather(*(connection.event(b"question.asked") for connection in watching))
    memory = served.resident() - before
    acting = await served.connected()
    took: list[float] = []
    for number in range(events):
        coming = [asyncio.create_task(connection.event(b"event: run.state")) for connection in watching]
        await asyncio.sleep(0.1)
        start = time.monotonic()
        await acting.ask("POST", f"/api/runs/{run}/{'resume' if number % 2 else 'hold'}")
        came = await asyncio.gather(*coming)
        took += [1000 * (at - start) for at in came] if number else []  # the first may be one from before
    for connection in watching:
        connection.close()
    return {"p50": percentile(took, 0.5), "p99": percentile(took, 0.99), "kb": memory / 1024 / count}


async def measure(directory: Path, options: dict[str, str | float]) -> Round:
    """What is asked for."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    async with serving(directory) as served:
        if options["what"] == "requests":
            return await requests(served, int(options["stored"]), int(options["requests"]))
        return await watchers(served, int(options["watchers"]), int(options["events"]))


if __name__ == "__main__":
    report(asyncio.run(measure(*in_round())))
