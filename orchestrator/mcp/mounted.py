"""The orchestration MCP server over HTTP, as a part of `atlas serve`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

from mcp.server import MCPServer
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings

from mcp_servers.subscriptions import Subscriptions
from orchestrator.hints import Hints
from orchestrator.mcp.changes import tell_changes
from orchestrator.tasks import ended
from orchestrator.tokens import Caller

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Message, Receive, Scope, Send


def caller_of(request: object) -> Caller:
    """Whom `orchestrator.http.access` let in."""
    return cast(Caller, cast("Request", request).state.caller)


class Mounted:
    """An ASGI application, for requests that have a `Caller` in their state. Sessions of clients before 2026-07-28
    belong to who has begun them."""

    def __init__(self, server: MCPServer[Any], subscriptions: Subscriptions, body_bytes: int) -> None:
        self._subscriptions = subscriptions
        self._manager = StreamableHTTPSessionManager(
            server._lowlevel_server,  # pyright: ignore[reportPrivateUsage]  as `streamable_http_app` does
            max_request_body_size=body_bytes,
            security_settings=TransportSecuritySettings(enable_dns_rebinding_protection=False),  # the gate does it
        )
        self._answering: set[asyncio.Task[None]] = set()
        self._closed = False

    async def tell(self, hints: Hints) -> None:
        """Tell subscribers of what changes, until cancelled."""
        await tell_changes(hints, self._subscriptions)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """It answers while this lasts."""
        async with self._manager.run():
            yield

    def close(self) -> None:
        """End all answers, in good order."""
        self._closed = True
        for task in self._answering:
            task.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        caller = cast(Caller, scope["state"]["caller"])
        scope["user"] = AuthenticatedUser(AccessToken(token="", client_id=caller.name, scopes=[caller.scope]))
        begun, whole = False, False

        async def sending(message: Message) -> None:
            nonlocal begun, whole
            begun = True
            whole = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        answering = asyncio.ensure_future(self._manager.handle_request(scope, receive, sending))
        self._answering.add(answering)
        try:
            if self._closed:
                answering.cancel()
            await asyncio.wait([answering])
        finally:
            self._answering.discard(answering)
            await ended(answering)
        if not answering.cancelled() and (error := answering.exception()):
            raise error
        if answering.cancelled() and not whole:
            if not begun:
                await send({"type": "http.response.start", "status": 503, "headers": [(b"retry-after", b"1")]})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
