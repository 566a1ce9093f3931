"""Events on RabbitMQ's topic exchange: whoever wants some binds a queue of its own to ``atlas.events``.

The routing key is the event's type (``run.state``, ``todo.state``, ``question.asked``, …), the body is the event as
JSON as everywhere, and `message_id` is ``<run>/<number>``: the same one may come twice.

What nobody has bound a queue for is not worth the work of a message: of such a type only the first event at a time is
sent, and once somebody gets it, so are the others, each after what happened before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from orchestrator.brokers.rabbitmq import Event, Rabbit
from orchestrator.views import EventView, as_json
from state.errors import BrokerUnavailable, SinkAway

_BATCH = 200
_SECONDS = 12.0


class TopicSink:
    """`orchestrator.sinks.cursor.Sink` over a topic exchange."""

    name = "topic"
    batch = _BATCH

    def __init__(self, rabbit: Rabbit) -> None:
        self._rabbit = rabbit
        self._unheard: set[str] = set()
        """Types for which nobody had bound a queue when the last of them was sent."""

    async def tell(self, events: Sequence[EventView]) -> None:
        """See the port: they have been taken when the broker has confirmed them."""
        try:
            async with asyncio.timeout(_SECONDS):
                await self._tell(events)
        except TimeoutError:
            raise SinkAway("topic: the broker confirms too slowly", "Look at its alarms and its load.") from None

    async def _tell(self, events: Sequence[EventView]) -> None:
        part, types, silent = list[EventView](), set[str](), set[str]()
        for each in events:
            if each.type in self._unheard and each.type in types:  # does anybody get the first? Before it, not after
                silent |= await self._publish(part)
                part, types = [], set[str]()
            if each.type not in silent:
                part.append(each)
                types.add(each.type)
        if part:
            await self._publish(part)

    async def _publish(self, events: Sequence[EventView]) -> set[str]:
        """The types of these that nobody gets."""
        unheard = await self._sent(events)
        self._unheard = self._unheard - {each.type for each in events} | unheard
        return unheard

    async def _sent(self, events: Sequence[EventView]) -> set[str]:
        messages = [Event(each.type, as_json(each).encode(), f"{each.run}/{each.seq}") for each in events]
        try:
            return await self._rabbit.publish_events(messages)
        except BrokerUnavailable as error:
            raise SinkAway(f"topic: {error.message}", error.hint) from error
