"""Events on RabbitMQ's topic exchange: whoever wants some binds a queue of its own to ``atlas.events``.

The routing key is the event's type (``run.state``, ``todo.state``, ``question.asked``, …), the body is the event as
JSON as everywhere, and `message_id` is ``<run>/<number>``: the same one may come twice.
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.brokers.rabbitmq import Event, Rabbit
from orchestrator.views import EventView, as_json
from state.errors import BrokerUnavailable, SinkAway

_BATCH = 200


class TopicSink:
    """`orchestrator.sinks.cursor.Sink` over a topic exchange."""

    name = "topic"
    batch = _BATCH

    def __init__(self, rabbit: Rabbit) -> None:
        self._rabbit = rabbit

    async def tell(self, events: Sequence[EventView]) -> None:
        """See the port: they have been taken when the broker has confirmed them."""
        messages = [Event(each.type, as_json(each).encode(), f"{each.run}/{each.seq}") for each in events]
        try:
            await self._rabbit.publish_events(messages)
        except BrokerUnavailable as error:
            raise SinkAway(f"topic: {error.message}", error.hint) from error
