"""Subscriptions to resources, for clients of both eras.

Clients of 2026-07-28 listen (``subscriptions/listen``, which the SDK serves); those before subscribe to one URI at a
time (``resources/subscribe``), which the SDK leaves to its users. Whoever publishes here reaches both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from mcp.server.subscriptions import InMemorySubscriptionBus
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import ResourceUpdated, ServerEvent
from mcp.types import INVALID_PARAMS, EmptyResult, SubscribeRequestParams, UnsubscribeRequestParams

from state.limits import KEY_BYTES

if TYPE_CHECKING:
    from mcp.server import MCPServer

MOST = 1_000
"""URIs that one connection may be subscribed to."""


class Subscriptions(InMemorySubscriptionBus):
    """A server's changes: hand it to `MCPServer` as its bus, then `serve` that server."""

    def __init__(self) -> None:
        super().__init__()
        self._watchers: dict[Connection, _Watcher] = {}
        self._subscribed = asyncio.Event()

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        """As the SDK has it."""
        self._subscribed.set()
        return super().subscribe(listener)

    @property
    def listened(self) -> bool:
        """Whether anybody is subscribed to anything."""
        return bool(self._listeners)

    async def wanted(self) -> None:
        """Until somebody is."""
        while not self._listeners:
            self._subscribed.clear()
            await self._subscribed.wait()

    def serve(self, server: MCPServer[Any]) -> None:
        """Answer the requests of clients before 2026-07-28."""
        served = server._lowlevel_server  # pyright: ignore[reportPrivateUsage]  the SDK has no public way yet
        served.add_request_handler("resources/subscribe", SubscribeRequestParams, self._on_subscribe)
        served.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, self._on_unsubscribe)

    @property
    def watchers(self) -> int:
        """Connections that subscribed to something."""
        return len(self._watchers)

    async def _on_subscribe(self, context: ServerRequestContext[Any], params: SubscribeRequestParams) -> EmptyResult:
        if len(params.uri) > KEY_BYTES:
            raise MCPError(INVALID_PARAMS, f"a URI of {len(params.uri):,} characters; the bound is {KEY_BYTES:,}")
        connection = context.session._connection  # pyright: ignore[reportPrivateUsage]
        watcher = self._watchers.get(connection)
        if watcher is None:
            watcher = self._watchers[connection] = _Watcher(connection)
            connection.exit_stack.callback(self._watchers.pop, connection)
            connection.exit_stack.callback(watcher.close)
            connection.exit_stack.callback(self.subscribe(watcher.hear))
        if len(watcher.uris) >= MOST and params.uri not in watcher.uris:
            raise MCPError(INVALID_PARAMS, f"no more than {MOST} subscriptions; unsubscribe from some first")
        watcher.uris.add(params.uri)
        return EmptyResult()

    async def _on_unsubscribe(
        self, context: ServerRequestContext[Any], params: UnsubscribeRequestParams
    ) -> EmptyResult:
        watcher = self._watchers.get(context.session._connection)  # pyright: ignore[reportPrivateUsage]
        if watcher:
            watcher.uris.discard(params.uri)
        return EmptyResult()


class _Watcher:
    """Tells one connection. A client that reads slowly is told once of what changed often, and delays nobody."""

    def __init__(self, connection: Connection) -> None:
        self.uris: set[str] = set()
        self._connection = connection
        self._changed: dict[str, None] = {}
        self._woken = asyncio.Event()
        self._task = asyncio.create_task(self._tell())

    def hear(self, event: ServerEvent) -> None:
        if isinstance(event, ResourceUpdated) and event.uri in self.uris:
            self._changed[event.uri] = None
            self._woken.set()

    def close(self) -> None:
        self._task.cancel()

    async def _tell(self) -> None:
        while await self._woken.wait():
            self._woken.clear()
            while self._changed:
                uri = next(iter(self._changed))
                del self._changed[uri]
                await self._connection.notify("notifications/resources/updated", {"uri": uri})
