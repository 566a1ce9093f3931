"""An image registry whose only image takes for ever: its layer comes byte by byte."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

_TLS = b"\x16"
"""How a client that tries TLS begins; it asks again in plain HTTP when that is refused."""
_LAYER_BYTES = 100_000_000
_BYTE_SECONDS = 0.05
"""The engine notices that it should stop only when something comes."""
_CONFIG = b'{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["sha256:0"]}}'
_KIND = "application/vnd.docker"


@dataclass
class SlowRegistry:
    """`waiting` is how many clients wait for the rest of the layer."""

    port: int = 0
    waiting: int = 0
    _layer: str = field(default_factory=lambda: f"sha256:{secrets.token_hex(32)}")

    @property
    def image(self) -> str:
        """Its name."""
        return f"127.0.0.1:{self.port}/slow:1"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while (first := await reader.readexactly(1)) != _TLS:
                head = first + await reader.readuntil(b"\r\n\r\n")
                method, path, *_ = head.decode().split()
                await self._answer(method, path, writer)
        writer.close()

    async def _answer(self, method: str, path: str, writer: asyncio.StreamWriter) -> None:
        if path.endswith(self._layer):
            writer.write(_head("application/octet-stream", _LAYER_BYTES))
            await self._trickle(writer)
        kind, body = "application/octet-stream", b"{}"
        if "/manifests/" in path:
            kind, body = f"{_KIND}.distribution.manifest.v2+json", self._manifest()
        elif "/blobs/" in path:
            body = _CONFIG
        writer.write(_head(kind, len(body), f"Docker-Content-Digest: {_digest(body)}\r\n"))
        writer.write(b"" if method == "HEAD" else body)
        await writer.drain()

    async def _trickle(self, writer: asyncio.StreamWriter) -> None:
        self.waiting += 1
        try:
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(_BYTE_SECONDS)
        finally:
            self.waiting -= 1

    def _manifest(self) -> bytes:
        layer = {"mediaType": f"{_KIND}.image.rootfs.diff.tar.gzip", "size": _LAYER_BYTES, "digest": self._layer}
        config = {"mediaType": f"{_KIND}.container.image.v1+json", "size": len(_CONFIG), "digest": _digest(_CONFIG)}
        kind = f"{_KIND}.distribution.manifest.v2+json"
        return json.dumps({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer]}).encode()


def _head(kind: str, size: int, more: str = "") -> bytes:
    return (
        f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\n"
        f"Docker-Distribution-Api-Version: registry/2.0\r\n{more}\r\n"
    ).encode()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@asynccontextmanager
async def slow_registry() -> AsyncGenerator[SlowRegistry]:
    """On a loopback port of its own."""
    registry = SlowRegistry()
    serve = registry._serve  # pyright: ignore[reportPrivateUsage]
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    registry.port = server.sockets[0].getsockname()[1]
    async with server:
        yield registry
