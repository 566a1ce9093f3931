"""However a client ends a call, nothing that the call started is left, and the next one is answered at once: real
servers, real clients, real kills.

Each cell has all long calls of one server under way (`cancellation_calls` and its neighbours). The cells that can't be:
in memory there is no connection to drop, and nobody to kill; over HTTP a client of 2026 cancels by closing the stream,
so there is no notification; one of 2025 that drops its connection can't be told from one that will come back, and the
deadline ends its calls.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Literal, cast

import pytest
from mcp import Client
from mcp.types import CallToolResult

from tests.integration import cancellation_wires as wires
from tests.integration.cancellation_calls import (
    GONE_SECONDS,
    PATIENCE,
    Area,
    Call,
    assert_gone,
    git_area,
    under_way,
)
from tests.integration.cancellation_containers import container_area
from tests.integration.cancellation_objects import s3_area
from tests.integration.cancellation_wires import Era, Message, Wire
from tests.integration.git_repositories import call as called
from tests.integration.git_repositories import said
from tests.integration.mcp_caller import Mode, client
from tests.services.s3 import S3Service

Transport = Literal["memory", "stdio", "http"]
Ask = Callable[[str, Mapping[str, object]], Awaitable[object]]
MODES: dict[Era, Mode] = {"2025": "legacy", "2026": "auto"}
ROOT = Path(__file__).resolve().parents[2]

everywhere = pytest.mark.parametrize(
    ("transport", "era"), [(transport, era) for transport in ("memory", "stdio", "http") for era in MODES]
)
between_processes = pytest.mark.parametrize(
    ("transport", "era"), [(transport, era) for transport in ("stdio", "http") for era in MODES]
)
with_notifications = pytest.mark.parametrize(
    ("transport", "era"), [("memory", "2025"), ("stdio", "2025"), ("stdio", "2026"), ("http", "2025")]
)


@pytest.fixture(
    scope="module",
    params=["git", pytest.param("s3", marks=pytest.mark.s3), pytest.param("container", marks=pytest.mark.docker)],
)
def area(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Area]:
    base = tmp_path_factory.mktemp(str(request.param))
    if request.param == "git":
        opened = git_area(base)
    elif request.param == "s3":
        opened = s3_area(base, cast("S3Service", request.getfixturevalue("s3_service")))
    else:
        url, image = (cast("str", request.getfixturevalue(name)) for name in ("docker_url", "busybox_image"))
        opened = container_area(base, url, image)
    with opened as area:
        yield area


@everywhere
async def test_a_scope_is_cancelled(area: Area, transport: Transport, era: Era) -> None:
    async with connected(area, transport, era) as server, area.calls() as calls:
        asking = [asyncio.create_task(server.call_tool(call.tool, dict(call.arguments))) for call in calls]

        await under_way(calls, asking)

        async def cancel(number: int) -> None:
            asking[number].cancel()

        await one_after_the_other(calls, cancel, lambda tool, arguments: called(server, tool, **arguments))
        await over(asking)


@with_notifications
async def test_a_client_says_that_it_cancels(area: Area, transport: Transport, era: Era) -> None:
    async with wired(area, transport, era) as wire, area.calls() as calls:
        for number, call in enumerate(calls):
            await wire.call(100 + number, call.tool, call.arguments)
        await one_after_the_other(calls, lambda number: wire.cancel(100 + number), asking_over(wire))


@between_processes
async def test_a_client_is_killed(area: Area, transport: Transport, era: Era) -> None:
    where = area.command if transport == "stdio" else [area.url]
    async with area.calls() as calls:
        seconds, later = deadline(area, transport, era)
        asked = json.dumps([(call.tool, call.within(seconds)) for call in calls])
        caller = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.integration.mcp_caller", MODES[era], asked, *where, cwd=ROOT,
            env=area.environment, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            await under_way(calls)
            servers = children(caller.pid)
        finally:
            caller.send_signal(signal.SIGKILL)
            await caller.wait()
        await all_gone(calls, later)
        if transport == "stdio":
            await ended(lambda: not any(map(lives, servers)))
        else:
            await next_ones_are_answered(area, era, calls)


@between_processes
async def test_a_connection_is_dropped(area: Area, transport: Transport, era: Era) -> None:
    async with wired(area, transport, era) as wire, area.calls() as calls:
        seconds, later = deadline(area, transport, era)
        for number, call in enumerate(calls):
            await wire.call(100 + number, call.tool, call.within(seconds))
        await under_way(calls)
        await wire.drop()
        await all_gone(calls, later)
        if isinstance(wire, wires.StdioWire):
            await ended(lambda: wire.process.poll() is not None)
        else:
            await next_ones_are_answered(area, era, calls)


@everywhere
async def test_a_deadline_passes(area: Area, transport: Transport, era: Era) -> None:
    async with connected(area, transport, era) as server:
        for seconds in (area.seconds, 2 * area.seconds, 4 * area.seconds):
            async with area.calls() as calls:
                asking = [asyncio.create_task(server.call_tool(call.tool, call.within(seconds))) for call in calls]
                begun = await asyncio.gather(*(under_way([call], asking) for call in calls), return_exceptions=True)
                await over(asking, seconds)
                if any(begun):  # this machine is too busy to begin them all in so short a time
                    continue
                for call, each in zip(calls, asking, strict=True):
                    assert "was stopped after" in said(each.result())
                    await assert_gone(call)
                    await at_once(call, lambda tool, arguments: called(server, tool, **arguments))
                return
        raise AssertionError(begun)


async def one_after_the_other(calls: list[Call], end: Callable[[int], Awaitable[None]], ask: Ask) -> None:
    """End each call, by its number: it is gone, the next one is answered, and the others go on."""
    await under_way(calls)
    for number, call in enumerate(calls):
        await end(number)
        await assert_gone(call)
        await at_once(call, ask)
        await under_way(calls[number + 1 :])


async def over(asking: list[asyncio.Task[CallToolResult]], later: float = 0.0) -> None:
    """No client waits any longer; `later` as in `assert_gone`."""
    _, waiting = await asyncio.wait(asking, timeout=later + GONE_SECONDS * PATIENCE)
    assert not waiting


async def all_gone(calls: list[Call], later: float) -> None:
    await asyncio.gather(*(assert_gone(call, later) for call in calls))


async def next_ones_are_answered(area: Area, era: Era, calls: list[Call]) -> None:
    """To another client of a server over HTTP."""
    async with connected(area, "http", era) as other:
        for call in calls:
            await at_once(call, lambda tool, arguments: called(other, tool, **arguments))


async def at_once(call: Call, ask: Ask) -> None:
    start = time.monotonic()
    await ask(*call.after)
    assert time.monotonic() - start < GONE_SECONDS * PATIENCE, f"after {call.tool}"


async def ended(condition: Callable[[], bool]) -> None:
    """A server over stdio ends with its client."""
    async with asyncio.timeout(GONE_SECONDS * PATIENCE):
        while not condition():  # noqa: ASYNC110  nothing tells of another process
            await asyncio.sleep(0.01)


def deadline(area: Area, transport: Transport, era: Era) -> tuple[float, float]:
    """The calls' own, and how much later than at once they may be gone."""
    unseen = (transport, era) == ("http", "2025")
    return (3 * area.seconds, 3 * area.seconds) if unseen else (60.0, 0.0)


def children(process: int) -> list[int]:
    listed = subprocess.run(["pgrep", "--parent", str(process)], capture_output=True, text=True, check=False)
    return [int(each) for each in listed.stdout.split()]


def lives(process: int) -> bool:
    """And not only its name, which stays until its new parent has asked for it."""
    with suppress(OSError):
        return bool(Path(f"/proc/{process}/cmdline").read_bytes())
    return False


def asking_over(wire: Wire) -> Ask:
    numbers = iter(range(200, 300))

    async def ask(tool: str, arguments: Mapping[str, object]) -> Message:
        result = await wire.ask(next(numbers), tool, arguments)
        assert not result.get("isError"), result
        return result

    return ask


@asynccontextmanager
async def connected(area: Area, transport: Transport, era: Era) -> AsyncGenerator[Client]:
    """The SDK's client."""
    if transport == "memory":
        async with area.memory() as server, Client(server, mode=MODES[era]) as found:
            yield found
    else:
        where = area.command if transport == "stdio" else [area.url]
        async with client(where, MODES[era], area.environment) as found:
            yield found


@asynccontextmanager
async def wired(area: Area, transport: Transport, era: Era) -> AsyncGenerator[Wire]:
    """A client by hand."""
    if transport == "memory":
        async with area.memory() as server, wires.memory_wire(server) as wire:
            yield wire
    elif transport == "stdio":
        async with wires.stdio_wire(era, area.command, area.environment) as wire:
            yield wire
    else:
        async with wires.http_wire(era, area.url) as wire:
            yield wire
