"""When a stream of events ends: without a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import pytest
from starlette.types import Message

from orchestrator.http.access import STILL
from orchestrator.http.streams import EventStream, Streams

PATIENCE = 30.0


class Busy:
    """Something happens all the time."""

    async def next(self) -> Sequence[bytes] | None:
        await asyncio.sleep(0.001)
        return [b"event: x\n\n"]


class Silent:
    """Nothing ever happens."""

    async def next(self) -> Sequence[bytes] | None:
        await asyncio.sleep(3600)
        return None


@pytest.mark.parametrize("source", [Busy(), Silent()], ids=["busy", "silent"])
async def test_a_reader_whose_secret_counts_no_more_is_sent_away(
    monkeypatch: pytest.MonkeyPatch, source: Busy | Silent
) -> None:
    monkeypatch.setattr("orchestrator.http.streams.HEARTBEAT_SECONDS", 0.02)
    sent: list[Message] = []
    asked: list[bool] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        await asyncio.sleep(3600)
        raise AssertionError

    async def still() -> bool:
        asked.append(len(asked) < 2)
        return asked[-1]

    @asynccontextmanager
    async def opening() -> AsyncGenerator[Busy | Silent]:
        yield source

    stream = EventStream(opening(), Streams())
    await asyncio.wait_for(stream({"type": "http", "state": {STILL: still}}, receive, send), PATIENCE)
    assert asked == [True, True, False]
    assert sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}
