"""Who may talk to a server over HTTP, by the names in the request: against web pages that have their own name resolve
to this machine (DNS rebinding), on every address.

The SDK's own check knows lists of names only; a server on all of a machine's addresses is reached under any of them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK = frozenset(("127.0.0.1", "localhost", "::1"))


@dataclass(frozen=True, slots=True)
class Gate:
    """Lets requests through to `app` that name this server as one of `names`, or (with `addresses`) by any IP address,
    which no page can have as its name; and that come from no page, from one of such a name, or one of `origins`.
    `names` are host names, or host:port to bind the port too."""

    app: ASGIApp
    names: Collection[str]
    origins: Collection[str] = ()
    addresses: bool = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] in ("http", "websocket"):
            headers: dict[bytes, str] = {
                name: value.decode("latin-1") for name, value in scope["headers"] if name in (b"host", b"origin")
            }
            host, origin = headers.get(b"host", ""), headers.get(b"origin")
            if not self._is_ours(host):
                await _refuse(
                    scope, send, 421, f"Host {host!r} is not this server's. Its operator can add it: --allow-host."
                )
                return
            if origin and origin not in self.origins and not self._is_ours(urlsplit(origin).netloc):
                await _refuse(
                    scope, send, 403, f"Origin {origin!r} is not allowed. The operator can add it: --allow-origin."
                )
                return
        await self.app(scope, receive, send)

    def _is_ours(self, host: str) -> bool:
        if host in self.names:
            return True
        with suppress(ValueError):
            name = urlsplit(f"//{host}").hostname or ""
            return name in self.names or (self.addresses and _is_address(name))
        return False


def _is_address(name: str) -> bool:
    with suppress(ValueError):
        ipaddress.ip_address(name)
        return True
    return False


async def _refuse(scope: Scope, send: Send, status: int, words: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    kind = "http" if scope["type"] == "http" else "websocket.http"
    await send({"type": f"{kind}.response.start", "status": status, "headers": headers})
    await send({"type": f"{kind}.response.body", "body": words.encode()})
