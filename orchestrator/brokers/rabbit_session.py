"""Two connections to RabbitMQ and their channels, for as long as all of it lives: while it has an alarm (memory, disk),
a server reads nothing more from a connection that publishes, so that nothing would be acknowledged on it either.

A session is never mended: when any part of it is lost, all of it is closed, and another is opened. (aio-pika's own
robust connection mends part by part: a channel that can't be restored at the first try stays dead beside a connection
that lives, and it waits where `publish` has to raise.) Channels are apart because a call that is cancelled closes its
channel.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, ChannelInvalidStateError
from yarl import URL

from orchestrator.brokers.rabbit_topology import Topology
from orchestrator.tasks import ended

log = logging.getLogger(__name__)

T = TypeVar("T")
TROUBLE = CONNECTION_EXCEPTIONS
"""What the library raises when the broker is away, refuses, or closes something. TimeoutError is among them."""

HEARTBEAT_SECONDS = 5
CALL_SECONDS = 10.0
GONE_SECONDS = 0.5
"""How long a queue that was deleted is left alone, so that its other consumers hear of it: see `Subscription`."""
_CLOSE_SECONDS = 2.0


async def reached(call: Awaitable[T], timeout: float = CALL_SECONDS) -> T:
    """The call's result, in time. When a connection ends, the library also cancels what waits on it: that must not
    look as if somebody had cancelled the caller."""
    try:
        async with asyncio.timeout(timeout):
            return await call
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise ConnectionResetError("the connection was lost") from None


def reason(error: BaseException) -> str:
    """What went wrong, in words; the library's errors may have none."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, (asyncio.CancelledError, ChannelInvalidStateError)):
        return "the connection was lost"
    return str(error) or type(error).__name__


@dataclass(slots=True)
class Session:
    """`publishing`, on `speaking`, confirms, and raises what could not be routed; all else is on `connection`."""

    connection: AbstractConnection
    speaking: AbstractConnection
    admin: AbstractChannel
    publishing: AbstractChannel
    topology: Topology
    _repair: asyncio.Task[None] | None = field(default=None, init=False)

    async def lost(self) -> None:
        """Return when the connection or one of its own channels has ended."""
        ends = [asyncio.ensure_future(each.closed()) for each in (self.admin, self.publishing)]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)

    async def takes(self) -> bool:
        """Whether it takes what is published: it has no alarm, as far as it has told us. It does after the first that
        is published."""
        transport = self.speaking.transport
        if transport is None:
            return True
        ready = asyncio.ensure_future(transport.ready())
        await asyncio.sleep(0)
        ready.cancel()
        return ready.done() and not ready.cancelled()

    def repair(self) -> None:
        """Declare again what somebody has deleted, in the background and not at once."""
        if self._repair is None or self._repair.done():
            self._repair = asyncio.create_task(self._declare())

    async def _declare(self) -> None:
        await asyncio.sleep(GONE_SECONDS)
        try:
            await reached(self.topology.declare(self.admin))
        except TROUBLE as error:  # which has closed the channel, and so ends the session
            log.debug("%s: %s", self.topology.prefix, reason(error))

    async def close(self) -> None:
        """Return when all is closed, or after four seconds."""
        if self._repair:
            await ended(self._repair)
        for each in (self.speaking, self.connection):
            try:
                await reached(each.close(), _CLOSE_SECONDS)
            except TROUBLE as error:
                log.debug("%s: %s", self.topology.prefix, reason(error))


@asynccontextmanager
async def opened(url: URL, topology: Topology) -> AsyncGenerator[Session]:
    """A session on which everything is declared. Errors: TROUBLE."""
    connection = await reached(aio_pika.connect(url))
    try:
        speaking = await reached(aio_pika.connect(url))
    except BaseException:
        with suppress(*TROUBLE):
            await reached(connection.close(), _CLOSE_SECONDS)
        raise
    admin = connection.channel(publisher_confirms=False)
    session = Session(connection, speaking, admin, speaking.channel(on_return_raises=True), topology)
    try:
        await reached(admin.initialize())
        await reached(topology.declare(admin))
        await reached(session.publishing.initialize())
        yield session
    finally:
        await session.close()
