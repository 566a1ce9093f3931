"""RabbitMQ: wake-ups between hosts, what other programs want done, and events for whoever listens.

All of it is transport: the truth is in SQL, and losing the broker loses nothing. `publish` raises `BrokerUnavailable`
while it is away, since nothing is kept here; what has to arrive is in the outbox.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from weakref import WeakValueDictionary

from aio_pika import DeliveryMode, Message
from aio_pika.exceptions import DeliveryError, PublishError
from yarl import URL

from orchestrator.brokers.rabbit_consuming import Delivery, Subscription, settle
from orchestrator.brokers.rabbit_session import HEARTBEAT_SECONDS, TROUBLE, Session, opened, reached, reason
from orchestrator.brokers.rabbit_topology import Topology
from orchestrator.tasks import ended
from state.errors import BrokerUnavailable, SettingsError
from state.failpoints import failpoint

log = logging.getLogger(__name__)

CONFIRM_SECONDS = 10.0
_INTAKE_PREFETCH = 20
_FIRST_WAIT, _LONGEST_WAIT = 0.2, 1.0
_LASTING_SECONDS = 5.0
_REASON_LENGTH = 1_000
_SENT_TURNS = 3
"""Of the event loop, until a message is on the wire: its task writes it, then the connection's."""

_JSON = "application/json"
_AWAY = "Is it running, and is ATLAS_BROKER_URL right? It is tried again all the time; TODOs are found by polling."
_ALARM = "its alarm (memory, disk) stops all publishing"
_DECLARED_OTHERWISE = "PRECONDITION_FAILED"
_OTHERWISE = "Another version of Atlas made it. Delete the queue or exchange on the server: nothing is lost with it."

Handle = Callable[[bytes, Mapping[str, object], str | None], Awaitable[str | None]]
"""Takes (body, headers, message id) from the intake queue; returns None, or why it will never be accepted."""


@dataclass(frozen=True, slots=True)
class Event:
    """For the topic exchange; `id` tells when it comes a second time."""

    key: str
    body: bytes
    id: str


class Rabbit:
    """A connection that is made again for as long as it takes, and what goes over it. `prefix` sets the names apart of
    several installations on one server; `patience`: see `Subscription`."""

    def __init__(self, url: str, prefix: str = "atlas", *, patience: float = 15.0) -> None:
        self.topology = Topology(prefix)
        self._url = _address(url)
        self._patience = patience
        self._session: Session | None = None
        self._changed = asyncio.Event()
        self._trouble = "it was not asked yet"
        self._closed = False
        self._keeper: asyncio.Task[None] | None = None
        self._ids: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def open(self, wait: float = 5.0) -> bool:
        """Begin to connect; whether it has within `wait` seconds. If not, it goes on trying."""
        self._keeper = self._keeper or asyncio.create_task(self._keep(), name="rabbitmq")
        try:
            async with asyncio.timeout(wait):
                return await self.session() is not None
        except TimeoutError:
            return False

    async def examined(self) -> tuple[str, str | None]:
        """Where it is, and what is wrong, asked once; None: it answers, and has all that we declare."""
        try:
            async with opened(self._url, self.topology):
                return self._place, None
        except TROUBLE as error:
            return self._place, reason(error)

    async def close(self) -> None:
        """End the connection and all iterators; what is not acknowledged is delivered to others."""
        self._closed = True
        self._changed.set()
        if self._keeper:
            await ended(self._keeper)

    @property
    def connected(self) -> bool:
        """Whether there is a session now."""
        return self._session is not None

    async def session(self) -> Session | None:
        """The present session, or the next one; None once this is closed."""
        while not self._closed:
            if self._session:
                return self._session
            await self._changed.wait()
        return None

    # --- publishing --------------------------------------------------------------------------------------------------

    async def publish_todos(self, envelopes: Sequence[bytes]) -> None:
        """Wake-ups, persistent; returns once all are confirmed. Errors: `BrokerUnavailable`."""
        messages = [(self.topology.todos, _message(body, content_type=_JSON)) for body in envelopes]
        await self._publish("", messages)

    async def publish_events(self, events: Sequence[Event]) -> set[str]:
        """To the topic exchange, in this order, confirmed; returns the keys that nobody has bound a queue to, which is
        no error. Errors: `BrokerUnavailable`."""
        messages = [(each.key, _message(each.body, message_id=each.id, content_type=_JSON)) for each in events]
        routed = await self._confirmed(self.topology.events, messages)
        heard = dict(zip((each.key for each in events), routed, strict=True))  # the last of each key counts
        return {key for key, somebody in heard.items() if not somebody}

    async def submit(self, body: bytes, message_id: str, traceparent: str | None = None) -> None:
        """To the intake queue, confirmed: what any other program would do. Errors: `BrokerUnavailable`."""
        headers = {"traceparent": traceparent} if traceparent else None
        message = _message(body, headers=headers, message_id=message_id)
        await self._publish_alone("", self.topology.intake, message, message_id)

    async def dead_letter(self, delivery: Delivery, why: str) -> None:
        """Publish a copy of it to the dead letters, confirmed; it is not acknowledged here. Its own headers stay
        behind: they may be as large as a frame. Errors: `BrokerUnavailable`."""
        headers = {"x-atlas-reason": why[:_REASON_LENGTH], "x-atlas-source-queue": delivery.queue}
        message = _message(
            delivery.body, headers=headers, message_id=delivery.message_id, content_type=delivery.content_type
        )
        await self._publish_alone(self.topology.dead, "", message, delivery.message_id)

    async def _publish_alone(self, exchange: str, key: str, message: Message, message_id: str | None) -> None:
        """One at a time with this id: by it alone the library tells which message came back as unroutable, and takes
        the other one for delivered."""
        lock = self._ids.setdefault(message_id or "", asyncio.Lock())
        async with lock:
            await self._publish(exchange, [(key, message)])

    async def _publish(self, exchange: str, messages: Sequence[tuple[str, Message]]) -> None:
        """(routing key, message); in this order."""
        if not all(await self._confirmed(exchange, messages)):
            if self._session:
                self._session.repair()
            raise self._unavailable(f"nothing takes what is sent to {exchange or messages[0][0]}: the queue is gone")

    async def _confirmed(self, exchange: str, messages: Sequence[tuple[str, Message]]) -> list[bool]:
        """The same; whether each of them was routed to a queue."""
        session = self._session
        if session is None:
            raise self._unavailable(self._trouble)
        if not await session.takes():  # all of it would arrive when the alarm is over, each time it was tried
            raise self._unavailable(_ALARM)
        target = await session.publishing.get_exchange(exchange, ensure=False)
        calls = [target.publish(message, key) for key, message in messages]
        try:
            confirming = asyncio.gather(*calls, return_exceptions=True)
            _after_turns(_SENT_TURNS, "broker.sent")
            results = await reached(confirming, CONFIRM_SECONDS)
        except TROUBLE as error:
            why = reason(error) if await session.takes() else _ALARM
            raise self._unavailable(f"not confirmed: {why}") from error
        for error in results:
            if isinstance(error, (*TROUBLE, asyncio.CancelledError)) and not isinstance(error, PublishError):
                refused = "refused" if isinstance(error, DeliveryError) else "not confirmed"
                raise self._unavailable(f"{refused}: {reason(error)}") from error
            if isinstance(error, BaseException) and not isinstance(error, PublishError):
                raise error
        return [not isinstance(result, PublishError) for result in results]

    def _unavailable(self, what: str) -> BrokerUnavailable:
        return BrokerUnavailable(
            f"RabbitMQ at {self._place} did not take it: {what}", _OTHERWISE if _DECLARED_OTHERWISE in what else _AWAY
        )

    # --- consuming ---------------------------------------------------------------------------------------------------

    def subscribe(self, queue: str, prefetch: int) -> Subscription:
        """A consumer of one of the queues, which it starts at once."""
        return Subscription(self, queue, prefetch, self._patience)

    async def consume_intake(self, handle: Handle) -> None:
        """Have `handle` take what comes in, up to 20 at a time, until this is closed.

        Accepted (None) is acknowledged; refused (a reason) goes to the dead letters with it. When it raises, the
        message stays where it is and is handled again after a pause of up to five seconds. The same message may be
        handled twice, also at once.
        """

        async def judge(delivery: Delivery) -> str | None:
            return await handle(delivery.body, delivery.headers, delivery.message_id)

        deliveries = self.subscribe(self.topology.intake, _INTAKE_PREFETCH).deliveries()
        async with asyncio.TaskGroup() as group, aclosing(deliveries):
            async for delivery in deliveries:
                group.create_task(settle(delivery, judge, self.dead_letter))

    # --- keeping -----------------------------------------------------------------------------------------------------

    @property
    def _place(self) -> str:
        return f"{self._url.host}:{self._url.port}"

    async def _keep(self) -> None:
        """One session after the other. One warning per outage; sessions that do not last are part of it."""
        wait, told = _FIRST_WAIT, False
        loop = asyncio.get_running_loop()
        while not self._closed:
            try:
                async with opened(self._url, self.topology) as session:
                    self._session, wait, began = session, _FIRST_WAIT, loop.time()
                    self._changed.set()
                    log.debug("connected to RabbitMQ at %s", self._place)
                    await session.lost()
                    told = told and loop.time() - began < _LASTING_SECONDS
                self._trouble = "the connection was lost"
            except TROUBLE as error:
                self._trouble = reason(error)
            except Exception as error:
                log.exception("RabbitMQ at %s", self._place)
                self._trouble = reason(error)
            finally:
                self._session = None
                if not self._closed:
                    self._changed.clear()
            if not told:
                log.warning("RabbitMQ at %s is away: %s; trying again until it is back", self._place, self._trouble)
            told = True
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT)


def _after_turns(turns: int, label: str) -> None:
    """Come to this failpoint after so many turns of the event loop."""
    if turns:
        asyncio.get_running_loop().call_soon(_after_turns, turns - 1, label)
    else:
        failpoint(label)


def _address(url: str) -> URL:
    try:
        address = URL(url)
    except ValueError:
        address = URL()
    if address.scheme not in ("amqp", "amqps") or not address.host:
        raise SettingsError(
            "the broker's URL is not one of RabbitMQ", "It looks like amqp://user:password@host:5672/vhost."
        )
    return address if "heartbeat" in address.query else address.update_query(heartbeat=HEARTBEAT_SECONDS)


def _message(
    body: bytes,
    *,
    headers: Mapping[str, str] | None = None,
    message_id: str | None = None,
    content_type: str | None = None,
) -> Message:
    return Message(
        body,
        headers=dict(headers or {}),
        message_id=message_id,
        content_type=content_type,
        delivery_mode=DeliveryMode.PERSISTENT,
    )
