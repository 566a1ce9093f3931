"""Who a worker tells what happens: the topic exchange of its broker, and the webhooks of its settings."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from orchestrator.cli.compose import House

if TYPE_CHECKING:
    from orchestrator.sinks.cursor import Sink, Teller


@asynccontextmanager
async def tellers(house: House, boot: str) -> AsyncGenerator[list[Teller]]:
    """One for each sink, not running yet; what they need is open meanwhile."""
    from orchestrator.sinks.cursor import Teller

    sinks: list[Sink] = []
    if house.rabbit:
        from orchestrator.sinks.topic import TopicSink

        sinks.append(TopicSink(house.rabbit))
    if not house.settings.webhooks:
        yield [Teller(house.store, sink, boot) for sink in sinks]
        return
    import httpx2

    from orchestrator.sinks.webhook import WebhookSink

    async with httpx2.AsyncClient() as client:
        sinks += [WebhookSink(each, client) for each in house.settings.webhooks.values()]
        yield [Teller(house.store, sink, boot) for sink in sinks]
