"""Somebody's HTTP endpoint for webhooks: takes down what it is sent, and answers as it is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Received:
    """One request; names of headers in lower case."""

    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        """What it tells."""
        return json.loads(self.body)


@dataclass
class Receiver:
    """`answers` are statuses for the next requests, or 0 to hang up; then 204. `received` is all that came."""

    url: str = ""
    answers: list[int] = field(default_factory=list[int])
    received: list[Received] = field(default_factory=list[Received])
    extra: str = ""
    """Header lines of each answer."""
    endless: bool = False
    """It answers with 200 and a body that has no end."""
    breaks_off: bool = False
    """It answers with 200, and closes the connection in the middle of the body."""

    serving: set[asyncio.Task[Any]] = field(default_factory=set[asyncio.Task[Any]])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if task := asyncio.current_task():
            self.serving.add(task)
            task.add_done_callback(self.serving.discard)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                lines = [line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line]
                headers = {name.lower(): value for name, value in lines}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                self.received.append(Received(headers, body))
                if self.endless:
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
                    while not reader.at_eof():
                        writer.write(b": still here\n\n")
                        await writer.drain()
                        await asyncio.sleep(0.05)
                if self.breaks_off:
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf")
                    break
                status = self.answers.pop(0) if self.answers else 204
                if not status:
                    break
                writer.write(f"HTTP/1.1 {status} Told\r\n{self.extra}content-length: 0\r\n\r\n".encode())
                await writer.drain()
        writer.close()


@asynccontextmanager
async def receiver() -> AsyncGenerator[Receiver]:
    """One that listens meanwhile."""
    found = Receiver()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    async with server:
        yield found
        if found.endless:
            await asyncio.wait(found.serving, timeout=30)  # whoever reads has gone
