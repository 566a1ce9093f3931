"""A resource that changes is told to whoever asked for it, in both protocol eras."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.server import MCPServer
from mcp.shared.subscriptions import ResourceUpdated
from mcp.types import (
    EmptyResult,
    ResourceUpdatedNotification,
    SubscribeRequest,
    SubscribeRequestParams,
    UnsubscribeRequest,
    UnsubscribeRequestParams,
)

from mcp_servers.serving import Address, mcp_server
from mcp_servers.subscriptions import MOST, Subscriptions
from tests.integration.mcp_serving import over_http

ONE, OTHER = "test://one", "test://other"
PATIENCE = 10.0


def served(subscriptions: Subscriptions) -> MCPServer[Any]:
    server = mcp_server("x", "X", "A server for tests.", [], subscriptions=subscriptions)
    server.resource(ONE, name="one")(lambda: "one")
    return server


class Heard:
    """What a client of 2025 is told."""

    def __init__(self) -> None:
        self.uris: asyncio.Queue[str] = asyncio.Queue()

    async def __call__(self, message: object) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            self.uris.put_nowait(message.params.uri)

    async def next(self) -> str:
        async with asyncio.timeout(PATIENCE):
            return await self.uris.get()


@asynccontextmanager
async def of_2025(server: MCPServer[Any], transport: str) -> AsyncGenerator[tuple[Client, Heard]]:
    heard = Heard()
    if transport == "memory":
        async with Client(server, mode="legacy", message_handler=heard) as client:
            yield client, heard
    else:
        async with (
            over_http(server, Address(port=0)) as url,
            Client(streamable_http_client(url), mode="legacy", message_handler=heard) as client,
        ):
            yield client, heard


async def subscribe(client: Client, uri: str) -> None:
    await client.session.send_request(SubscribeRequest(params=SubscribeRequestParams(uri=uri)), EmptyResult)


async def unsubscribe(client: Client, uri: str) -> None:
    await client.session.send_request(UnsubscribeRequest(params=UnsubscribeRequestParams(uri=uri)), EmptyResult)


@pytest.mark.parametrize("transport", ["memory", "http"])
async def test_a_client_of_2025(transport: str) -> None:
    changes = Subscriptions()
    async with of_2025(served(changes), transport) as (client, heard):
        assert client.server_capabilities.resources
        assert client.server_capabilities.resources.subscribe
        await subscribe(client, ONE)
        await changes.publish(ResourceUpdated(uri=OTHER))
        await changes.publish(ResourceUpdated(uri=ONE))
        assert await heard.next() == ONE
        await subscribe(client, OTHER)
        await unsubscribe(client, ONE)
        await changes.publish(ResourceUpdated(uri=ONE))
        await changes.publish(ResourceUpdated(uri=OTHER))
        assert await heard.next() == OTHER
        assert heard.uris.empty()


async def test_a_client_of_2026() -> None:
    changes = Subscriptions()
    async with over_http(served(changes), Address(port=0)) as url, Client(streamable_http_client(url)) as client:
        async with client.listen(resource_subscriptions=[ONE]) as listening:
            await changes.publish(ResourceUpdated(uri=OTHER))
            await changes.publish(ResourceUpdated(uri=ONE))
            async with asyncio.timeout(PATIENCE):
                event = await anext(aiter(listening))
        assert isinstance(event, ResourceUpdated)
        assert event.uri == ONE
        with pytest.raises(MCPError, match="Method not found"):
            await subscribe(client, ONE)


async def test_each_is_told_of_its_own_and_who_left_of_nothing() -> None:
    changes = Subscriptions()
    server = served(changes)
    async with of_2025(server, "memory") as (one, one_heard):
        async with of_2025(server, "memory") as (other, other_heard):
            await subscribe(one, ONE)
            await subscribe(other, OTHER)
            await changes.publish(ResourceUpdated(uri=OTHER))
            await changes.publish(ResourceUpdated(uri=ONE))
            assert (await one_heard.next(), await other_heard.next()) == (ONE, OTHER)
            assert changes.watchers == 2
        async with asyncio.timeout(PATIENCE):
            while changes.watchers > 1:  # noqa: ASYNC110  nothing tells of it
                await asyncio.sleep(0.01)
        await changes.publish(ResourceUpdated(uri=ONE))
        assert await one_heard.next() == ONE


async def test_subscriptions_are_bounded() -> None:
    async with of_2025(served(Subscriptions()), "memory") as (client, _):
        for number in range(MOST):
            await subscribe(client, f"test://{number}")
        with pytest.raises(MCPError, match="no more than"):
            await subscribe(client, "test://more")
        await subscribe(client, "test://1")
        await unsubscribe(client, "test://1")
        await subscribe(client, "test://more")
        with pytest.raises(MCPError, match="the bound is"):
            await subscribe(client, f"test://{'x' * 2_000}")


async def test_a_server_without_changes_has_no_subscriptions() -> None:
    async with Client(mcp_server("x", "X", "A server for tests.", []), mode="legacy") as client:
        with pytest.raises(MCPError, match="Method not found"):
            await subscribe(client, ONE)
