"""Subscribers for tests of brokers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack

import pytest

from state.errors import BrokerUnavailable
from state.ports import Broker, WakeUp


class Subscriber:
    """Takes wake-ups until it is stopped; `lazy`: without acknowledging them."""

    def __init__(self, broker: Broker, *, lazy: bool = False) -> None:
        self.seen: list[str] = []
        self.wake_ups: list[WakeUp] = []
        self._lazy = lazy
        self.task = asyncio.create_task(self._take(broker))

    async def _take(self, broker: Broker) -> None:
        async for wake_up in broker.wake_ups():
            self.wake_ups.append(wake_up)
            self.seen += wake_up.todos
            if not self._lazy:
                await wake_up.acknowledge()

    async def stop(self) -> None:
        """As a worker's end."""
        self.task.cancel()
        await asyncio.wait({self.task})


Subscribe = Callable[..., Subscriber]


@pytest.fixture
async def subscribe() -> AsyncGenerator[Subscribe]:
    """Subscribers that are stopped when the test ends, however it does."""
    async with AsyncExitStack() as stack:

        def make(broker: Broker, *, lazy: bool = False) -> Subscriber:
            subscriber = Subscriber(broker, lazy=lazy)
            stack.push_async_callback(subscriber.stop)
            return subscriber

        yield make


async def published(broker: Broker, todos: list[str]) -> int:
    """Publish as soon as it is taken; how often it was not."""
    refused = 0
    async with asyncio.timeout(20):
        while True:
            try:
                await broker.publish(todos)
                return refused
            except BrokerUnavailable:
                refused += 1
                await asyncio.sleep(0.02)
