"""Clients that speak the protocol by hand, to do what the SDK's never would: leave without a word, or only say so."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import subprocess
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal, Protocol, cast
from urllib.parse import urlsplit

import httpx2
from mcp.client._memory import InMemoryTransport
from mcp.server import MCPServer
from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter

Era = Literal["2025", "2026"]
Message = dict[str, Any]
_VERSIONS: dict[Era, str] = {"2025": "2025-11-25", "2026": "2026-07-28"}
_PREFIX = "io.modelcontextprotocol/"


class Wire(Protocol):
    """A connection over which calls are under way. A call goes by its number."""

    async def call(self, number: int, tool: str, arguments: Mapping[str, object]) -> None:
        """Ask, and do not wait."""
        ...

    async def ask(self, number: int, tool: str, arguments: Mapping[str, object]) -> Message:
        """The result of a call."""
        ...

    async def cancel(self, number: int) -> None:
        """Send ``notifications/cancelled``."""
        ...

    async def drop(self) -> None:
        """Close the connection, without a word."""
        ...


class _Stream:
    """Messages to and fro, over pipes or in memory."""

    def __init__(self, era: Era) -> None:
        self._era: Era = era

    async def send(self, message: Message) -> None:
        raise NotImplementedError

    async def receive(self) -> Message:
        raise NotImplementedError

    async def greet(self) -> None:
        """What the era begins with."""
        if self._era == "2025":
            await self.send(_hello())
            await self._answer(0)
            await self.send(_notice("notifications/initialized"))

    async def call(self, number: int, tool: str, arguments: Mapping[str, object]) -> None:
        await self.send(_call(self._era, number, tool, arguments))

    async def ask(self, number: int, tool: str, arguments: Mapping[str, object]) -> Message:
        await self.call(number, tool, arguments)
        return await self._answer(number)

    async def cancel(self, number: int) -> None:
        await self.send(_notice("notifications/cancelled", requestId=number))

    async def _answer(self, number: int) -> Message:
        while (message := await self.receive()).get("id") != number:
            pass
        return message["result"]


class StdioWire(_Stream):
    """A server of our own, over its pipes."""

    def __init__(self, era: Era, command: list[str], environment: dict[str, str]) -> None:
        super().__init__(era)
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, env=environment, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, bufsize=0
        )
        assert self.process.stdin
        assert self.process.stdout
        self._in, self._out = self.process.stdin, self.process.stdout

    async def send(self, message: Message) -> None:
        self._in.write(json.dumps(message).encode() + b"\n")

    async def receive(self) -> Message:
        return json.loads(await asyncio.to_thread(self._out.readline))

    async def drop(self) -> None:
        self._in.close()
        self._out.close()

    def end(self) -> None:
        """Leave nothing of the server."""
        self.process.kill()
        self.process.wait()
        self._in.close()
        self._out.close()


class MemoryWire(_Stream):
    """A server in this process, over the streams of `InMemoryTransport`."""

    def __init__(self, era: Era, transport: InMemoryTransport) -> None:
        super().__init__(era)
        self._transport = transport

    async def __aenter__(self) -> MemoryWire:
        self._read, self._write = await self._transport.__aenter__()
        await self.greet()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._transport.__aexit__(None, None, None)

    async def send(self, message: Message) -> None:
        await self._write.send(SessionMessage(jsonrpc_message_adapter.validate_python(message, by_name=False)))

    async def receive(self) -> Message:
        received = await self._read.receive()
        assert isinstance(received, SessionMessage), received
        return received.message.model_dump(by_alias=True, exclude_unset=True)

    async def drop(self) -> None:
        raise NotImplementedError


class HttpWire:
    """Each call is a TCP connection of its own."""

    def __init__(self, era: Era, url: str, http: httpx2.AsyncClient) -> None:
        self._era: Era = era
        self._url = url
        self._http = http
        self._headers = {
            "Accept": "application/json, text/event-stream", "Content-Type": "application/json",
            "MCP-Protocol-Version": _VERSIONS[era],
        }  # fmt: skip
        self._connections: list[asyncio.StreamWriter] = []

    async def greet(self) -> None:
        """What the era begins with."""
        if self._era == "2025":
            answer = await self._http.post(self._url, json=_hello(), headers=self._headers)
            self._headers["Mcp-Session-Id"] = answer.headers["Mcp-Session-Id"]
            await self._tell(_notice("notifications/initialized"))

    async def call(self, number: int, tool: str, arguments: Mapping[str, object]) -> None:
        where = urlsplit(self._url)
        body = json.dumps(_call(self._era, number, tool, arguments)).encode()
        headers = {"Host": where.netloc, "Content-Length": str(len(body)), **self._named(tool)}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        _, writer = await asyncio.open_connection(where.hostname, where.port)
        writer.write(f"POST {where.path} HTTP/1.1\r\n{head}\r\n".encode() + body)
        await writer.drain()
        self._connections.append(writer)

    async def ask(self, number: int, tool: str, arguments: Mapping[str, object]) -> Message:
        message = _call(self._era, number, tool, arguments)
        answer = await self._http.post(self._url, json=message, headers=self._named(tool))
        said = [line for line in answer.text.splitlines() if line.startswith(("{", "data: {"))]
        return json.loads(said[-1].removeprefix("data: "))["result"]

    async def cancel(self, number: int) -> None:
        await self._tell(_notice("notifications/cancelled", requestId=number))

    async def drop(self) -> None:
        while self._connections:
            writer = self._connections.pop()
            connection = cast("socket.socket", writer.get_extra_info("socket"))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def _tell(self, message: Message) -> None:
        answer = await self._http.post(self._url, json=message, headers=self._headers)
        assert answer.status_code == 202, answer.text

    def _named(self, tool: str) -> dict[str, str]:
        modern = {"Mcp-Method": "tools/call", "Mcp-Name": tool} if self._era == "2026" else {}
        return {**self._headers, **modern}


@asynccontextmanager
async def stdio_wire(era: Era, command: list[str], environment: dict[str, str]) -> AsyncGenerator[StdioWire]:
    """With a server of its own."""
    wire = StdioWire(era, command, environment)
    try:
        await wire.greet()
        yield wire
    finally:
        wire.end()


@asynccontextmanager
async def memory_wire(server: MCPServer[Any]) -> AsyncGenerator[MemoryWire]:
    """To a server in this process; only the era of 2025 has messages there."""
    async with MemoryWire("2025", InMemoryTransport(server)) as wire:
        yield wire


@asynccontextmanager
async def http_wire(era: Era, url: str) -> AsyncGenerator[HttpWire]:
    """To a server that runs."""
    async with httpx2.AsyncClient() as http:
        wire = HttpWire(era, url, http)
        try:
            await wire.greet()
            yield wire
        finally:
            with suppress(OSError):
                await wire.drop()


def _call(era: Era, number: int, tool: str, arguments: Mapping[str, object]) -> Message:
    params: Message = {"name": tool, "arguments": dict(arguments)}
    if era == "2026":
        params["_meta"] = _META
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


_CLIENT = {"name": "by-hand", "version": "1"}
_META: Message = {
    f"{_PREFIX}protocolVersion": _VERSIONS["2026"],
    f"{_PREFIX}clientCapabilities": {},
    f"{_PREFIX}clientInfo": _CLIENT,
}


def _hello() -> Message:
    params = {"protocolVersion": _VERSIONS["2025"], "capabilities": {}, "clientInfo": _CLIENT}
    return {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}


def _notice(method: str, **params: object) -> Message:
    return {"jsonrpc": "2.0", "method": method, "params": params}
