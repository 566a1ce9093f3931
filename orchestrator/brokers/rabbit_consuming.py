"""Taking messages from a RabbitMQ queue, whatever happens to the connection, the channel and the queue meanwhile.

Messages are read as they come off the wire (aiormq's): aio-pika's own message refuses some that other programs may
send, inside the library, where nobody can take them off the queue. Nothing works inside the consumer callback: it is
cancelled when the channel ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Protocol

from aiormq.abc import DeliveredMessage

from orchestrator.brokers.rabbit_session import GONE_SECONDS, TROUBLE, Session, reached, reason
from orchestrator.tasks import ended
from state.errors import AtlasError
from state.failpoints import failpoint

log = logging.getLogger(__name__)

_FIRST_WAIT, _LONGEST_WAIT = 0.1, 5.0
Judge = Callable[["Delivery"], Awaitable[str | None]]


class Sessions(Protocol):
    """Where a subscription gets its next session from."""

    async def session(self) -> Session | None:
        """Wait for one; None: there will be no more."""
        ...


class Delivery:
    """One message from `queue`; among `held` until it is acknowledged."""

    def __init__(self, queue: str, message: DeliveredMessage, held: set[Delivery]) -> None:
        self.queue = queue
        self.body = message.body
        self._message = message
        self._acknowledged = False
        self._held = held
        held.add(self)

    @property
    def headers(self) -> Mapping[str, object]:
        """As the producer sent them, and what the broker added."""
        return self._message.header.properties.headers or {}

    @property
    def message_id(self) -> str | None:
        """The producer's, or the one that its library made up."""
        return self._message.header.properties.message_id

    @property
    def content_type(self) -> str | None:
        """What the producer says it is."""
        return self._message.header.properties.content_type

    @property
    def ours(self) -> bool:
        """Whether it can still be acknowledged; else the broker delivers it again, here or elsewhere."""
        return not (self._acknowledged or self._message.channel.is_closed)

    async def acknowledge(self) -> None:
        """It need not be delivered again. Twice does nothing; nor does it on a channel that is gone, since then it is
        delivered again."""
        if self._message.delivery_tag is None or not self.ours:
            return
        self._acknowledged = True
        self._held.discard(self)
        with suppress(*TROUBLE):
            await reached(self._message.channel.basic_ack(self._message.delivery_tag))


class Subscription:
    """One consumer of `queue` that holds at most `prefetch` messages at a time.

    After `patience` seconds without a message it starts again, on a channel of its own: RabbitMQ may have forgotten it.
    (3.10 does when a quorum queue is deleted and declared again within some 20 ms: nobody is told, the new queue counts
    the old consumer, and what it delivers to it is lost on the way.)
    """

    def __init__(self, sessions: Sessions, queue: str, prefetch: int, patience: float) -> None:
        self._sessions = sessions
        self._queue = queue
        self._prefetch = prefetch
        self._patience = patience
        self._heard = 0
        self._held: set[Delivery] = set()
        self._inbox: asyncio.Queue[Delivery | None] = asyncio.Queue()
        self._pump = asyncio.create_task(self._consume(), name=f"consumer of {queue}")

    async def deliveries(self) -> AsyncGenerator[Delivery]:
        """Until `end`, or the end of all sessions. What was not acknowledged by then is delivered again."""
        try:
            while (delivery := await self._inbox.get()) is not None:
                if delivery.ours:
                    yield delivery
        finally:
            await self.end()

    async def end(self) -> None:
        """Take no more, give back what is not acknowledged, and end the iterator."""
        await ended(self._pump)
        self._inbox.put_nowait(None)

    async def _consume(self) -> None:
        wait = _FIRST_WAIT
        while session := await self._sessions.session():
            try:
                await self._consume_on(session)
                wait = _FIRST_WAIT
            except TROUBLE as error:
                log.info("%s: the consumer starts again: %s", self._queue, reason(error))
            except Exception:
                log.exception("%s: the consumer starts again", self._queue)
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT)
        self._inbox.put_nowait(None)

    async def _consume_on(self, session: Session) -> None:
        """Return when it has ended. Errors: TROUBLE, when it could not begin."""
        channel = session.connection.channel(publisher_confirms=False)
        gone = asyncio.Event()
        self._held = set()
        try:
            await reached(channel.initialize())
            await reached(session.topology.declare(channel))
            await reached(channel.set_qos(self._prefetch))
            raw = await channel.get_underlay_channel()
            raw.on_consumer_cancel_callbacks.add(lambda _: gone.set())  # the queue was deleted
            await reached(raw.basic_consume(self._queue, self._put))
            heard = -1
            while not channel.is_closed and not gone.is_set() and (self._held or heard != self._heard):
                heard = self._heard
                await _first(self._patience, channel.closed(), gone.wait())
        finally:
            if channel.is_initialized:
                with suppress(*TROUBLE):
                    await reached(channel.close())
        if gone.is_set():
            await asyncio.sleep(GONE_SECONDS)

    async def _put(self, message: DeliveredMessage) -> None:
        self._heard += 1
        self._inbox.put_nowait(Delivery(self._queue, message, self._held))


async def _first(timeout: float, *events: Awaitable[object]) -> None:
    """Return when one of them has come to pass, or it is time."""
    tasks = [asyncio.ensure_future(event) for event in events]
    try:
        await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def settle(delivery: Delivery, judge: Judge, bury: Callable[[Delivery, str], Awaitable[None]]) -> None:
    """Acknowledge it once `judge` has accepted it (None), or once it is buried with the reason that `judge` gave.

    Whatever raises, the message is kept: the same is tried again after a pause that grows to five seconds, for as long
    as the message is ours. (Given back to the broker it would come again at once.)
    """
    wait = _FIRST_WAIT
    while delivery.ours:
        try:
            why = await judge(delivery)
            if why is not None:
                await bury(delivery, why)
                failpoint("broker.buried")
            await delivery.acknowledge()
            return
        except Exception as error:
            if wait == _FIRST_WAIT:
                words = error.message if isinstance(error, AtlasError) else f"{type(error).__name__}: {error}"
                log.warning(
                    "%s: message %s is kept and tried again: %s",
                    delivery.queue, delivery.message_id, words, exc_info=not isinstance(error, AtlasError),
                )  # fmt: skip
        await asyncio.sleep(wait)
        wait = min(wait * 2, _LONGEST_WAIT)
