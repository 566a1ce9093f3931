"""Another program at the RabbitMQ server under test, and Atlas's own connection to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import QueueEmpty
from aiormq.abc import ChannelFrame
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from orchestrator.brokers.rabbitmq import Rabbit

DEADLINE = 20.0
_LOOK_SECONDS = 0.01


async def until(condition: Callable[[], object], deadline: float = DEADLINE) -> None:
    """Return once it holds; `TimeoutError` after `deadline` seconds."""
    async with asyncio.timeout(deadline):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(_LOOK_SECONDS)


class Peer:
    """Speaks AMQP on a connection of its own. `prefix` is that of the Atlas under test."""

    def __init__(self, channel: AbstractChannel, prefix: str) -> None:
        self.channel = channel
        self.prefix = prefix

    async def send(self, queue: str, body: bytes, **properties: object) -> None:
        """Straight into one of Atlas's queues, by its short name."""
        message = aio_pika.Message(body, **properties)  # pyright: ignore[reportArgumentType]
        await self.channel.default_exchange.publish(message, f"{self.prefix}.{queue}")

    async def send_undecodable(self, queue: str) -> None:
        """What the broker takes and the client library can't read: a property that is not UTF-8."""
        channel = await self.channel.get_underlay_channel()
        raw = await channel.connection.channel(publisher_confirms=False)
        frames = [
            Basic.Publish(routing_key=f"{self.prefix}.{queue}"),
            ContentHeader(properties=Basic.Properties(content_type="QQQQ"), body_size=1),
            ContentBody(b"x"),
        ]
        good = ChannelFrame.marshall(raw.number, frames)  # pyright: ignore[reportUnknownMemberType]
        bad = ChannelFrame(good.payload.replace(b"QQQQ", b"\xff\xfe\xfd\xfc"), should_close=False)
        await raw.connection.write_queue.put(bad)  # pyright: ignore[reportUnknownMemberType]
        await raw.close()

    async def take_from(self, queue: AbstractQueue) -> AbstractIncomingMessage:
        """The next message of a queue of its own, once there is one."""
        async with asyncio.timeout(DEADLINE):
            while (message := await queue.get(fail=False)) is None:  # noqa: ASYNC110
                await asyncio.sleep(_LOOK_SECONDS)
        return message

    async def take(self, queue: str) -> AbstractIncomingMessage:
        """The next message of one of Atlas's queues, once there is one."""
        ensured = await self.channel.get_queue(f"{self.prefix}.{queue}")
        async with asyncio.timeout(DEADLINE):
            while True:
                with suppress(QueueEmpty):
                    message = await ensured.get()
                    await message.ack()
                    return message
                await asyncio.sleep(_LOOK_SECONDS)

    async def ready(self, queue: str) -> int:
        """Messages of the queue that nobody holds."""
        ensured = await self.channel.get_queue(f"{self.prefix}.{queue}")
        return ensured.declaration_result.message_count or 0

    async def filled(self, queue: str) -> None:
        """Return once something is in it that nobody holds."""
        async with asyncio.timeout(DEADLINE):
            while not await self.ready(queue):  # noqa: ASYNC110 - the broker does not tell
                await asyncio.sleep(_LOOK_SECONDS)

    async def delete_queue(self, queue: str) -> None:
        """With everything in it."""
        await self.channel.queue_delete(f"{self.prefix}.{queue}")


@asynccontextmanager
async def opened_rabbit(url: str, prefix: str, *, patience: float = 15.0) -> AsyncGenerator[Rabbit]:
    """Atlas's connection, open; nothing of this prefix is left on the server."""
    rabbit = Rabbit(url, prefix, patience=patience)
    try:
        assert await rabbit.open(DEADLINE)
        yield rabbit
    finally:
        await rabbit.close()
        await _clean(url, prefix)


@pytest.fixture
async def rabbit(rabbitmq_url: str, rabbitmq_prefix: str) -> AsyncGenerator[Rabbit]:
    """Atlas's connection, open."""
    async with opened_rabbit(rabbitmq_url, rabbitmq_prefix) as rabbit:
        yield rabbit


@pytest.fixture
async def peer(rabbit: Rabbit, rabbitmq_url: str, rabbitmq_prefix: str) -> AsyncGenerator[Peer]:
    """Of the same server; gone when connections are closed."""
    async with await aio_pika.connect(rabbitmq_url) as connection:
        yield Peer(await connection.channel(), rabbitmq_prefix)


async def _clean(url: str, prefix: str) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        for name in ("todos", "intake", "dead"):
            await channel.queue_delete(f"{prefix}.{name}")
        for name in ("dead", "events"):
            await channel.exchange_delete(f"{prefix}.{name}")
