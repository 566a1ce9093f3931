"""Wake-ups between hosts: TODO ids in envelopes on one RabbitMQ queue."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import cast

from orchestrator.brokers.rabbit_consuming import Delivery, Subscription, settle
from orchestrator.brokers.rabbitmq import Rabbit
from state.ports import WakeUp

ENVELOPE = 100
"""TODO ids of one message."""
_ID_LENGTH, _BODY_LENGTH = 100, 100_000


class RabbitBroker:
    """`state.ports.Broker` over RabbitMQ. The connection is its owner's to open and to close."""

    def __init__(self, rabbit: Rabbit) -> None:
        self._rabbit = rabbit
        self._subscriptions: set[Subscription] = set()
        self._closed = False

    async def publish(self, todos: Sequence[str]) -> None:
        """See the port. Errors: `BrokerUnavailable`; some may have arrived all the same."""
        if todos:
            parts = (todos[at : at + ENVELOPE] for at in range(0, len(todos), ENVELOPE))
            await self._rabbit.publish_todos([_envelope(part) for part in parts])

    async def wake_ups(self) -> AsyncGenerator[WakeUp]:
        """See the port. The next one comes once the last is acknowledged."""
        if self._closed:
            return
        rabbit = self._rabbit
        subscription = rabbit.subscribe(rabbit.topology.todos, prefetch=1)
        self._subscriptions.add(subscription)
        try:
            async with aclosing(subscription.deliveries()) as deliveries:
                async for delivery in deliveries:
                    if todos := _todos(delivery.body):
                        yield WakeUp(todos, delivery.acknowledge)
                    else:
                        await settle(delivery, _foreign, rabbit.dead_letter)
        finally:
            self._subscriptions.discard(subscription)

    async def close(self) -> None:
        """End the iterators."""
        self._closed = True
        await asyncio.gather(*(subscription.end() for subscription in set(self._subscriptions)))


def _envelope(todos: Sequence[str]) -> bytes:
    return json.dumps({"todos": list(todos)}, separators=(",", ":")).encode()


def _todos(body: bytes) -> tuple[str, ...] | None:
    """What an envelope holds; None: it is none of ours."""
    try:
        found: object = json.loads(body) if len(body) <= _BODY_LENGTH else None
    except (ValueError, RecursionError):
        return None
    todos = cast("dict[str, object]", found).get("todos") if isinstance(found, dict) else None
    if not isinstance(todos, list) or len(todos := cast("list[object]", todos)) > ENVELOPE:
        return None
    ids = tuple(todo for todo in todos if isinstance(todo, str) and 0 < len(todo) <= _ID_LENGTH)
    return ids if len(ids) == len(todos) else None


async def _foreign(_: Delivery) -> str:
    return 'not a wake-up: {"todos": [at most 100 ids]} is'
