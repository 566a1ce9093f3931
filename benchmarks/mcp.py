"""Round trips and calls a second over MCP: git status, log and diff, container exec and S3 get; over stdio and HTTP;
from 1 and 16 clients. Beside: `mcp-server-git` with the same calls (it has no HTTP), ``docker exec``, and boto3 itself.

Clients and servers share the machine's cores, as they do at a person's desk. Over stdio every client has a server
process of its own; over HTTP there is one. "16 in flight" is one client over stdio that does not wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated

from mcp import Client
from pydantic import BaseModel, Field

from benchmarks.machine import until_quiet, yardstick
from benchmarks.mcp_subjects import Call, Place, Subject, at, place, s3_client, sleeping_container
from benchmarks.measuring import RoundFailed, percentile, scratch
from benchmarks.reporting import Figure, Goal
from mcp_servers.manners import Policy, Tools
from mcp_servers.serving import mcp_server

CALLS = 200
WARM_UP = 20
MANY = 16
MEMORY = "no-op, in memory, 1 client"
GOALS = [
    Goal("atlas / reference", "git status, stdio, 1 client: p50", at_most=1.0),
    Goal("atlas / reference", f"git status, stdio, {MANY} in flight: calls/s", at_least=2.0),
    Goal("atlas", f"{MEMORY}: p50", at_most=0.3),
]
Once = Callable[[], Awaitable[object]]


@dataclass(slots=True)
class Found:
    """Of one load: what each round measured."""

    p50: list[float] = field(default_factory=list[float])
    p99: list[float] = field(default_factory=list[float])
    rate: list[float] = field(default_factory=list[float])

    def add(self, milliseconds: Sequence[float], seconds: float) -> None:
        """A round of calls that took `seconds` together."""
        self.p50.append(percentile(milliseconds, 0.5))
        self.p99.append(percentile(milliseconds, 0.99))
        self.rate.append(len(milliseconds) / seconds)


Table = dict[tuple[str, str], Found]
"""(system, load) -> what was found"""


def measure(rounds: int) -> list[Figure]:
    """Each round goes through all of them, ours and the others in turn."""
    table: Table = {}
    with scratch() as directory, place(directory) as where:
        time.sleep(3)  # a repository at rest: what changed within two seconds is looked at more closely
        asyncio.run(_measure(rounds, where, table))
    figures: list[Figure] = []
    for (system, load), found in table.items():
        figures += [
            Figure(system, f"{load}: p50", min(found.p50), "ms"),
            Figure(system, f"{load}: p99", sorted(found.p99)[len(found.p99) // 2], "ms"),
            Figure(system, f"{load}: calls/s", max(found.rate), "1/s"),
        ]
    return [*figures, *_ratios(figures), *yardstick()]


def _ratios(figures: list[Figure]) -> list[Figure]:
    theirs = {figure.metric: figure for figure in figures if figure.system == "reference"}
    return [
        Figure("atlas / reference", figure.metric, figure.value / theirs[figure.metric].value, "times")
        for figure in figures
        if figure.system == "atlas" and figure.metric in theirs
    ]


async def _measure(rounds: int, where: Place, table: Table) -> None:
    subjects = where.subjects()
    for _ in range(rounds):
        await _in_memory(table)
        for subject in subjects:
            await _over_stdio(subject, table)
            if subject.server.system == "atlas":
                await _over_http(subject, table)
        for subject in subjects:
            if subject.name == "git status":
                await _many_repositories(subject, where, table)
        await _beside(where, table)


async def _over_stdio(subject: Subject, table: Table) -> None:
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(subject.server.stdio()) for _ in range(MANY)]
        calls = [_call(client, await subject.prepare(client)) for client in clients]
        await _warm(calls)
        load = f"{subject.name}, stdio"
        await _play(table, subject.server.system, f"{load}, 1 client", [calls[0]])
        await _play(table, subject.server.system, f"{load}, {MANY} in flight", [calls[0]] * MANY)
        await _play(table, subject.server.system, f"{load}, {MANY} clients", calls)


async def _over_http(subject: Subject, table: Table) -> None:
    async with subject.server.http() as url, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(at(url)) for _ in range(MANY)]
        calls = [_call(client, await subject.prepare(client)) for client in clients]
        await _warm(calls)
        load = f"{subject.name}, HTTP"
        await _play(table, subject.server.system, f"{load}, 1 client", [calls[0]])
        await _play(table, subject.server.system, f"{load}, {MANY} clients", calls)


async def _many_repositories(subject: Subject, where: Place, table: Table) -> None:
    """Where nothing can be shared between calls."""
    async with subject.server.stdio() as client:
        tool, arguments = await subject.prepare(client)
        key = next(name for name, value in arguments.items() if value == str(where.repo))
        calls = [_call(client, (tool, {**arguments, key: str(repo)})) for repo in where.repositories(MANY)]
        await _warm(calls)
        load = f"{subject.name}, stdio, {MANY} in flight in {MANY} repositories"
        await _play(table, subject.server.system, load, calls)


async def _in_memory(table: Table) -> None:
    async with _noop() as client:
        call = _call(client, ("noop", {"number": 1}))
        await _warm([call])
        await _play(table, "atlas", MEMORY, [call])


class Echo(BaseModel):
    """What the no-op answers."""

    number: int


async def noop(number: Annotated[int, Field(ge=0, description="Any.")]) -> Echo:
    """Nothing, with all the manners of a tool."""
    return Echo(number=number)


@asynccontextmanager
async def _noop() -> AsyncGenerator[Client]:
    tools = Tools(Policy())
    tools.add(noop, "reads", "No-op")
    async with Client(mcp_server("noop", "No-op", "Does nothing.", tools.tools)) as client:
        yield client


async def _beside(where: Place, table: Table) -> None:
    """What the calls come to without MCP."""
    if where.engine:
        with sleeping_container() as container:

            async def execute() -> None:
                process = await asyncio.create_subprocess_exec("docker", "exec", container, "/bin/busybox", "true")
                await process.wait()

            await _play(table, "docker exec", "container exec, 1 client", [execute])
    if where.endpoint:
        s3 = s3_client(where.endpoint)

        async def get() -> None:
            s3.get_object(Bucket="bench", Key="object")["Body"].read()

        await _play(table, "boto3", "S3 get, 1 client", [get])
        s3.close()


def _call(client: Client, call: Call) -> Once:
    tool, arguments = call

    async def once() -> None:
        if (result := await client.call_tool(tool, arguments)).is_error:
            raise RoundFailed(f"{tool} {arguments}: {result.content}")

    return once


async def _warm(calls: Sequence[Once]) -> None:
    for call in calls:
        for _ in range(max(1, WARM_UP // len(calls))):
            await call()


async def _play(table: Table, system: str, load: str, callers: Sequence[Once]) -> None:
    until_quiet()
    left, times = iter(range(CALLS)), list[float]()

    async def caller(call: Once) -> None:
        for _ in left:
            start = time.perf_counter()
            await call()
            times.append(1000 * (time.perf_counter() - start))

    start = time.perf_counter()
    await asyncio.gather(*map(caller, callers))
    table.setdefault((system, load), Found()).add(times, time.perf_counter() - start)
