"""Events over HTTP: every watcher has every event once and in order, whatever happens to it or to the server."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.command_line import wait_until
from tests.http.server import PLAN, Event, Server, ended, events_in, served, submitted, watched
from tests.services.availability import missing

MANY = {**PLAN, "name": "many", "concurrency": 20, "todos": [{"id": f"t{n}", "run": "echo x"} for n in range(60)]}


async def _lines(stream: httpx.Response) -> AsyncIterator[str]:
    async for line in stream.aiter_lines():
        yield line


async def _watch(client: httpx.AsyncClient, run: str, chance: random.Random, breaks: float) -> tuple[list[int], int]:
    """Ids of all events of the run, over as many connections as it takes, and how many that were; each breaks with this
    chance per event."""
    seen: list[int] = []
    for connections in itertools.count(1):
        headers = {"Last-Event-ID": str(seen[-1])} if seen else {}
        async with client.stream("GET", f"/api/runs/{run}/events?until=end", headers=headers) as stream:
            assert stream.status_code == 200
            async for line in _lines(stream):
                if line.startswith("id: "):
                    seen.append(int(line[4:]))
                    if chance.random() < breaks:
                        break
            else:
                return seen, connections
    raise AssertionError


@contextlib.asynccontextmanager
async def _asking(server: Server) -> AsyncGenerator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {server.token}"}
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(
        base_url=server.url, headers=headers, timeout=60, limits=limits, trust_env=False
    ) as client:
        yield client


async def test_watchers_that_come_and_go_miss_nothing(server: Server) -> None:
    async with _asking(server) as client:
        run = (await client.post("/api/runs", json={"plan": MANY})).json()["run"]["id"]
        chance = random.Random(7)
        found = await asyncio.gather(*(_watch(client, run, random.Random(chance.random()), 0.05) for _ in range(20)))
        last = (await client.get(f"/api/runs/{run}")).json()["last_event"]
    for seen, _ in found:
        assert seen == list(range(1, last + 1))


async def test_ten_thousand_events_and_two_hundred_disconnections(server: Server) -> None:
    """Questions are asked by the submission, answered one by one, and the rest cancelled at once: bursts, and a stream
    in between."""
    asks = [{"id": f"q{n}", "ask": "Go?", "choices": ["yes", "no"]} for n in range(3_200)]
    async with _asking(server) as client:
        run = (await client.post("/api/runs", json={"plan": {**PLAN, "todos": asks}})).json()["run"]["id"]
        chance = random.Random(11)
        watching = [
            asyncio.create_task(_watch(client, run, random.Random(chance.random()), 0.004)) for _ in range(8)
        ]  # fmt: skip

        async def answer(numbers: range) -> None:
            for number in numbers:
                question = asked[f"q{number}"]
                answered = await client.post(f"/api/questions/{question}/answer", json={"value": "yes"})
                assert answered.status_code == 200, answered.text

        listed = (await client.get("/api/questions", params={"run": run})).json()["questions"]
        keys = {each["id"]: each["key"] for each in await _todos(client, run)}
        asked = {keys[each["todo"]]: each["id"] for each in listed}
        await asyncio.gather(*(answer(range(first, 400, 4)) for first in range(4)))
        await client.post(f"/api/runs/{run}/cancel")
        found = await asyncio.gather(*watching)
        last = (await client.get(f"/api/runs/{run}")).json()["last_event"]
    assert last >= 10_000
    for seen, _ in found:
        assert seen == list(range(1, last + 1))
    assert sum(connections - 1 for _, connections in found) >= 200


async def _todos(client: httpx.AsyncClient, run: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after: int | None = -1
    while after is not None:
        page = (await client.get(f"/api/runs/{run}/todos", params={"limit": 1_000, "after": after})).json()
        found += page["todos"]
        after = page["next"]
    return found


def test_readers_that_do_not_read_cost_little(tmp_path: Path) -> None:
    """Its buffer in the server, and the kernel's, are filled by a run whose events are large."""
    todos = [{"id": f"t{n}", "run": f"printf '%0500d\\n' {n}", "title": "x" * 500} for n in range(300)]
    with served(tmp_path) as server, server.client() as client, contextlib.ExitStack() as stack:
        stalled: list[socket.socket] = []
        run = submitted(client, {**PLAN, "concurrency": 4, "todos": todos})
        before = _resident(server)
        for _ in range(50):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            head = f"GET /api/runs/{run}/events HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            connection.sendall(f"{head}Authorization: Bearer {server.token}\r\n\r\n".encode())
            stalled.append(connection)
        ended(client, run)
        assert _resident(server) - before < 120 << 20
        assert client.get("/api/runs").status_code == 200


def _resident(server: Server) -> int:
    status = Path(f"/proc/{server.running.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) * 1024


def test_curl_sees_it(server: Server) -> None:
    if shutil.which("curl") is None:
        missing("curl is not installed")
    with server.client() as client:
        run = submitted(client)
        ended(client, run)
    url = f"{server.url}/api/runs/{run}/events?until=end"
    curl = ["curl", "-sN", "--max-time", "30", "-H", f"Authorization: Bearer {server.token}", url]
    out = subprocess.run(curl, capture_output=True, text=True, check=True).stdout
    events = list(events_in(iter(out.splitlines())))
    assert [event.id for event in events] == list(range(1, len(events) + 1))


def test_hints_tell_of_every_run(server: Server) -> None:
    with server.client() as client, client.stream("GET", "/api/events") as stream:
        assert stream.headers["content-type"] == "text/event-stream"
        lines = stream.iter_lines()
        assert next(lines) == "retry: 1000"  # it is being watched
        run = submitted(client)
        for event in events_in(lines):
            if event.data.get("id") == run and event.data["state"] == "completed":
                assert event.data["progress"] == {"settled": 1, "total": 1}
                break


def test_the_end_of_the_server_is_the_end_of_the_stream_and_nothing_is_lost(tmp_path: Path) -> None:
    with served(tmp_path) as server, server.client() as client:
        run = submitted(client, {**PLAN, "todos": [{"id": "gate", "ask": "Go?"}]})
        ended(client, run, "awaiting_input")
        seen: list[Event] = []
        with client.stream("GET", f"/api/runs/{run}/events") as stream:
            lines = stream.iter_lines()
            for event in events_in(lines):
                seen.append(event)
                if event.type == "question.asked":
                    break
            server.running.send(signal.SIGTERM)
            rest = list(events_in(lines))  # it ends, in good order
        assert server.running.ended().code == 0
        assert "Traceback" not in server.said
        server.start()
        seen += rest
        (question,) = client.get("/api/questions").json()["questions"]
        client.post(f"/api/questions/{question['id']}/answer", json={"value": "go"})
        ended(client, run)
        seen += watched(client, run, after=seen[-1].id)
        assert [event.id for event in seen] == list(range(1, len(seen) + 1))


def test_a_server_that_is_killed_goes_on(tmp_path: Path) -> None:
    with served(tmp_path) as server, server.client() as client:
        run = submitted(client, {**PLAN, "todos": [{"id": "a", "run": "sleep 2; echo done"}]})
        wait_until(lambda: client.get(f"/api/runs/{run}/todos/a").json()["state"] == "in_progress", "it runs")
        server.running.kill()
        server.start()
        assert ended(client, run)["state"] == "completed"
        assert server.token
        assert "first token" not in server.said


@pytest.mark.parametrize("value", ["x", "-1", "1.5", "99999999999999999999"])
def test_a_wrong_last_event_is_told(server: Server, value: str) -> None:
    with server.client() as client:
        run = submitted(client)
        answer = client.get(f"/api/runs/{run}/events", headers={"Last-Event-ID": value})
        assert answer.status_code == 422
