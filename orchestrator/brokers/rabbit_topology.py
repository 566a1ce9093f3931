"""What Atlas has on a RabbitMQ server: names under one prefix, and how they are declared.

Quorum queues only: they survive the loss of a node, and they count deliveries. The limit is for what nobody can take:
a message that the client library cannot even decode ends the connection it comes by, each time, for everybody.
"""

from __future__ import annotations

from dataclasses import dataclass

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel
from pamqp.common import FieldTable

DELIVERY_LIMIT = 20
"""Lost deliveries of one message (not tries to handle it); the broker then moves it to the dead letters."""


@dataclass(frozen=True, slots=True)
class Topology:
    """Three queues and two exchanges."""

    prefix: str

    @property
    def todos(self) -> str:
        """The queue of wake-ups."""
        return f"{self.prefix}.todos"

    @property
    def intake(self) -> str:
        """The queue of what other programs want done."""
        return f"{self.prefix}.intake"

    @property
    def dead(self) -> str:
        """An exchange, and the queue of all that goes there."""
        return f"{self.prefix}.dead"

    @property
    def events(self) -> str:
        """A topic exchange: who wants events binds a queue of its own."""
        return f"{self.prefix}.events"

    async def declare(self, channel: AbstractChannel) -> None:
        """Make what is missing. Errors: the library's, when something of this name is there and is different."""
        await channel.declare_exchange(self.dead, ExchangeType.FANOUT, durable=True)
        await channel.declare_exchange(self.events, ExchangeType.TOPIC, durable=True)
        dead = await channel.declare_queue(self.dead, durable=True, arguments={"x-queue-type": "quorum"})
        await dead.bind(self.dead)
        for name in (self.todos, self.intake):
            await channel.declare_queue(name, durable=True, arguments=self._limited())

    def _limited(self) -> FieldTable:
        """Not with ``x-dead-letter-strategy: at-least-once``: in 3.10 its worker, and with it every queue on the node
        that asks for it, breaks for good when such a queue is deleted while it elects a leader. What Atlas itself
        refuses is published to the dead letters with a confirm, and then acknowledged."""
        return {
            "x-queue-type": "quorum",
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-dead-letter-exchange": self.dead,
        }
