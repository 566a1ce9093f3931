"""The container engine's HTTP API over its socket: asynchronous, cancellable, one connection per request.

The SDK is not used here: it blocks threads, and on attached streams it drops what arrives together with the header.
"""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import os
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import urlencode, urlsplit

from mcp_servers.container.chunks import Body
from state.errors import EngineAway, SandboxUnavailable

DEFAULT_SOCKET = "/var/run/docker.sock"
CHUNK = 64 << 10
REQUEST_SECONDS = 60.0
LARGEST_HEADER = 64 << 10
REMEDY = "Start Docker or Podman, or set DOCKER_HOST."


@dataclass(frozen=True, slots=True)
class _Received:
    data: bytes

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self.data)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; `body` is decoded JSON, or text."""

    status: int
    body: object

    @property
    def message(self) -> str:
        """What the engine says went wrong."""
        return str(self.fields().get("message", self.body)).strip()

    def fields(self) -> dict[str, object]:
        """The body as a JSON object; empty if it is none."""
        body = self.body
        return cast("dict[str, object]", body) if isinstance(body, dict) else {}


def default_url() -> str:
    """DOCKER_HOST, else the system's engine, else this user's own (rootless)."""
    if url := os.environ.get("DOCKER_HOST"):
        return url
    own = Path(os.environ.get("XDG_RUNTIME_DIR", "/nonexistent")) / "docker.sock"
    return f"unix://{own}" if own.exists() and not Path(DEFAULT_SOCKET).exists() else f"unix://{DEFAULT_SOCKET}"


class Engine:
    """One engine: ``unix:///path`` or plain ``tcp://host:port``. Errors: `SandboxUnavailable`."""

    def __init__(self, url: str | None = None) -> None:
        self.url = url or default_url()

    async def request(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        *,
        body: object = None,
        headers: dict[str, str] | None = None,
        timeout: float = REQUEST_SECONDS,
    ) -> Reply:
        """Ask, and return the whole answer."""
        received = bytearray()
        try:
            async with asyncio.timeout(timeout):
                with await self._send(
                    method, path, query, body, {"Connection": "close"} | (headers or {})
                ) as connection:
                    while data := await asyncio.get_running_loop().sock_recv(connection, CHUNK):
                        received += data
            response = http.client.HTTPResponse(cast("socket.socket", _Received(bytes(received))), method=method)
            with response:
                response.begin()
                text = response.read().decode(errors="replace")
        except TimeoutError as error:
            raise EngineAway(f"The engine at {self.url} did not answer in {timeout:g} s", REMEDY) from error
        except (OSError, http.client.HTTPException) as error:
            raise self._unavailable(error) from error
        try:
            return Reply(response.status, json.loads(text))
        except ValueError:
            return Reply(response.status, text)

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        *,
        content: Path | None = None,
        headers: dict[str, str] | None = None,
    ) -> AsyncGenerator[tuple[int, AsyncIterator[bytes]]]:
        """Ask, with a file's `content` as the body; the status of the answer, and its body as it comes. Leaving it
        early breaks the connection off, which the engine takes as the end of a build or pull."""
        size = os.stat(content).st_size if content else 0  # noqa: PTH116  a Path would be told to be asynchronous
        fields = {"Content-Type": "application/x-tar", "Content-Length": str(size)} if content else {}
        connection: socket.socket | None = None
        try:
            connection = await self._send(method, path, query, None, fields | (headers or {}))
            if content is not None:
                await send_file(connection, content)
            head, early = await _head(connection)
        except BaseException as error:
            if connection is not None:
                connection.close()
            raise self._unavailable(error) if isinstance(error, OSError) else error from error
        with connection:
            yield int(head.split()[1]), self._rest(connection, Body(head), early)

    async def attach(
        self, path: str, query: dict[str, str] | None = None, *, body: object = None
    ) -> tuple[socket.socket, bytes]:
        """Turn a request into a two-way stream: its non-blocking socket, and what has come over it already."""
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                connection = await self._send("POST", path, query, body, {"Connection": "Upgrade", "Upgrade": "tcp"})
                try:
                    head, rest = await _head(connection)
                    if head.split()[1] not in (b"101", b"200"):
                        raise ConnectionError(
                            f"{head.splitlines()[0].decode()} {rest.decode(errors='replace').strip()}"
                        )
                except BaseException:
                    connection.close()
                    raise
        except TimeoutError as error:
            raise EngineAway(f"The engine at {self.url} did not attach in time", REMEDY) from error
        except OSError as error:
            raise self._unavailable(error) from error
        return connection, rest

    async def _send(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None,
        body: object,
        headers: dict[str, str],
    ) -> socket.socket:
        content = b"" if body is None else json.dumps(body).encode()
        target = f"{path}?{urlencode(query)}" if query else path
        fields = {"Host": "docker", "Content-Type": "application/json", "Content-Length": str(len(content))} | headers
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        connection = await self._connect()
        try:
            message = f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + content
            await asyncio.get_running_loop().sock_sendall(connection, message)
        except BaseException:
            connection.close()
            raise
        return connection

    async def _connect(self) -> socket.socket:
        url = urlsplit(self.url)
        if url.scheme == "unix":
            family, address = socket.AF_UNIX, url.path
        elif url.scheme in ("tcp", "http") and url.port and not os.environ.get("DOCKER_TLS_VERIFY"):
            found = await asyncio.get_running_loop().getaddrinfo(url.hostname, url.port, type=socket.SOCK_STREAM)
            family, address = found[0][0], found[0][4]
        else:
            raise SandboxUnavailable(
                f"The engine address {self.url} is not supported: a sandbox mounts directories of this host.",
                "Use a unix:// socket, or tcp:// without TLS on this host.",
            )
        connection = socket.socket(family, socket.SOCK_STREAM)
        connection.setblocking(False)
        if family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await asyncio.get_running_loop().sock_connect(connection, address)
        except BaseException:
            connection.close()
            raise
        return connection

    async def _rest(self, connection: socket.socket, body: Body, early: bytes) -> AsyncGenerator[bytes]:
        loop = asyncio.get_running_loop()
        try:
            if content := body.feed(early):
                yield content
            while not body.over:
                if not (data := await loop.sock_recv(connection, CHUNK)):
                    if body.open_ended:
                        return
                    raise ConnectionError("the answer broke off")
                if content := body.feed(data):
                    yield content
        except (OSError, ValueError) as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> SandboxUnavailable:
        if isinstance(error, PermissionError):
            return SandboxUnavailable(f"This user may not use the engine at {self.url}", "Join the group `docker`.")
        return EngineAway(f"No engine answers at {self.url}: {error}", REMEDY)


async def send_file(connection: socket.socket, path: Path) -> None:
    """The whole of a file, read in pieces."""
    loop = asyncio.get_running_loop()
    with path.open("rb") as file:
        while data := await asyncio.to_thread(file.read, 16 * CHUNK):
            await loop.sock_sendall(connection, data)


async def _head(connection: socket.socket) -> tuple[bytes, bytes]:
    """Status line and headers of an answer, and what has come after them."""
    received = b""
    while b"\r\n\r\n" not in received:
        data = await asyncio.get_running_loop().sock_recv(connection, CHUNK)
        if not data or len(received) > LARGEST_HEADER:
            raise ConnectionError("no complete answer")
        received += data
    head, _, rest = received.partition(b"\r\n\r\n")
    return head, rest
