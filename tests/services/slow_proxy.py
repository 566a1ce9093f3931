"""A TCP proxy between a client and a server that stops forwarding, and notices when the client has gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class SlowProxy:
    """`stall_after`: from so many bytes of one connection on, what the client sends is swallowed (None: never)."""

    upstream: int
    stall_after: int | None = None
    lose: int = 0
    """So many answers never arrive: the connection ends instead."""
    lost: bytes = b""
    """Only of those with this in it."""
    lost_at: bytes = b""
    """What comes before this of a lost one does arrive (b"": nothing does)."""
    hold: asyncio.Event | None = None
    """Answers wait for it."""
    port: int = 0
    stalled: asyncio.Event = field(default_factory=asyncio.Event)
    quiet: asyncio.Event = field(default_factory=asyncio.Event)
    """No client has a connection that swallows."""
    _stalling: int = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.upstream)
        answers = asyncio.create_task(self._answer(there, writer))
        try:
            with suppress(ConnectionError):
                await self._forward(reader, back)
        finally:
            answers.cancel()
            for each in (back, writer):
                each.close()
            await asyncio.gather(answers, return_exceptions=True)

    async def _forward(self, reader: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        carried, stalls = 0, False
        try:
            while data := await reader.read(1 << 16):
                carried += len(data)
                if stalls or (self.stall_after is not None and carried > self.stall_after):
                    if not stalls:
                        self._count(1)
                    stalls = True
                    self.stalled.set()
                else:
                    back.write(data)
                    await back.drain()
        finally:
            if stalls:
                self._count(-1)

    async def _answer(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await there.read(1 << 16):
                if self.hold:
                    await self.hold.wait()
                if self.lose and not data.startswith(b"HTTP/1.1 100"):
                    data += await _rest(there)
                    if self.lost in data:
                        self.lose -= 1
                        writer.write(data[: data.index(self.lost_at)])
                        writer.close()
                        return
                writer.write(data)
                await writer.drain()

    def _count(self, more: int) -> None:
        self._stalling += more
        if self._stalling:
            self.quiet.clear()
        else:
            self.quiet.set()


async def _rest(there: asyncio.StreamReader) -> bytes:
    """Of an answer: head and body may come one after the other."""
    data = b""
    with suppress(TimeoutError):
        async with asyncio.timeout(1):
            while more := await there.read(1 << 16):
                data += more
    return data


@asynccontextmanager
async def slow_proxy(upstream: int) -> AsyncGenerator[SlowProxy]:
    """On a loopback port of its own."""
    proxy = SlowProxy(upstream)
    serve = proxy._serve  # pyright: ignore[reportPrivateUsage]
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    async with server:
        yield proxy
