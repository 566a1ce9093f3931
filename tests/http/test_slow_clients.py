"""Clients that do not read, and clients that do not write: on the real server, with short times."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI, Request
from starlette.responses import Response

from mcp_servers.serving import Address, listening
from orchestrator.http import server
from orchestrator.http.bounds import Bounds
from orchestrator.http.problems import handle
from orchestrator.http.server import serving
from orchestrator.http.streams import EventStream, Streams, event

SHORT, PATIENCE = 0.5, 30.0
LARGE = 20_000_000


class Endless:
    """There is always more."""

    def __init__(self) -> None:
        self.given = 0

    async def next(self) -> Sequence[bytes]:
        self.given += 1
        return [event("more", "x" * 60_000)]


@asynccontextmanager
async def served(source: Endless, streams: Streams) -> AsyncGenerator[int]:
    """The port."""
    app = FastAPI()
    handle(app)

    @asynccontextmanager
    async def opened() -> AsyncGenerator[Endless]:
        yield source

    @app.get("/events")
    async def events() -> Response:
        return EventStream(opened(), streams)

    @app.post("/body")
    async def body(request: Request) -> Response:
        return Response(str(len(await request.body())))

    @app.get("/large")
    async def large() -> Response:
        return Response(bytes(LARGE))

    _ = events, body, large
    with listening(Address(port=0)) as listener:
        async with serving(Bounds(app, frozenset(), seconds=SHORT), listener, streams.close):
            yield listener.getsockname()[1]


async def connected(port: int, head: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """With small buffers; the request is sent."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=client, limit=4096)
    writer.write(f"{head} HTTP/1.1\r\nHost: 127.0.0.1\r\n".encode())
    return reader, writer


async def until(streams: Streams, count: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while streams.open != count:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)


async def test_who_does_not_read_is_cut_off_and_is_given_no_more() -> None:
    source, streams = Endless(), Streams(stalled=SHORT)
    async with served(source, streams) as port:
        reader, writer = await connected(port, "GET /events")
        writer.write(b"\r\n")
        await until(streams, 1)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await until(streams, 0)
        given = source.given
        assert given < 400, "no more than fits the buffers of both kernels, and of the server"
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE):
                while await reader.read(65_536):
                    pass
        assert source.given == given
        writer.close()


@pytest.mark.parametrize("slowly", [True, False])
async def test_who_does_not_take_an_answer_is_cut_off_and_who_is_slow_is_not(
    monkeypatch: pytest.MonkeyPatch, slowly: bool
) -> None:
    """It took no token: a thousand of them held all of a server's connections."""
    monkeypatch.setattr(server, "STALLED_SECONDS", SHORT)
    async with served(Endless(), Streams()) as port:
        reader, writer = await connected(port, "GET /large")
        writer.write(b"Connection: close\r\n\r\n")
        taken = len(await reader.read(4096))
        if not slowly:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            await asyncio.sleep(4 * SHORT)
            writer.transport.resume_reading()  # type: ignore[attr-defined]
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE):
                for count in itertools.count():
                    if not (data := await reader.read(1 << 20)):
                        break
                    taken += len(data)
                    if slowly and count < 40:
                        await asyncio.sleep(SHORT / 10)
        assert (taken > LARGE) is slowly
        writer.close()


@pytest.mark.parametrize("declared", ["Content-Length: 100", "Transfer-Encoding: chunked"])
async def test_a_body_that_does_not_come(declared: str) -> None:
    async with served(Endless(), Streams()) as port:
        reader, writer = await connected(port, "POST /body")
        writer.write(f"{declared}\r\n\r\n".encode())
        async with asyncio.timeout(PATIENCE):
            answer = await reader.read(4096)
            assert b" 408 " in answer.split(b"\r\n")[0]
            assert b"application/problem+json" in answer + await reader.read(4096)
        writer.close()


async def test_a_body_that_comes_drop_by_drop() -> None:
    async with served(Endless(), Streams()) as port:
        reader, writer = await connected(port, "POST /body")
        writer.write(b"Content-Length: 1000\r\n\r\n")
        answer = asyncio.create_task(reader.read(4096))
        async with asyncio.timeout(PATIENCE):
            while not answer.done():
                writer.write(b"x")
                await asyncio.sleep(0.02)
        assert b" 408 " in answer.result().split(b"\r\n")[0]
        writer.close()
