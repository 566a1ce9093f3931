"""What other programs put into the intake queue, what becomes of it, and events for whoever listens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from itertools import pairwise

import pytest

from orchestrator.brokers.rabbitmq import Event, Handle, Rabbit
from state.errors import BrokerUnavailable, StoreBusy
from tests.services.rabbit_client import Peer, until
from tests.services.rabbitmq import RabbitServer

pytestmark = pytest.mark.rabbitmq


class Desk:
    """Notes what is handled; `verdict` says what becomes of it."""

    def __init__(self, verdict: Callable[[bytes], Awaitable[str | None]]) -> None:
        self.handled: list[tuple[bytes, str | None]] = []
        self.headers: list[Mapping[str, object]] = []
        self._verdict = verdict

    async def handle(self, body: bytes, headers: Mapping[str, object], message_id: str | None) -> str | None:
        self.handled.append((body, message_id))
        self.headers.append(headers)
        return await self._verdict(body)

    @property
    def bodies(self) -> list[bytes]:
        return [body for body, _ in self.handled]


async def accept(_: bytes) -> None:
    return


async def refuse(body: bytes) -> str:
    return f"not a task: {body.decode()}"


Consume = Callable[[Handle], "asyncio.Task[None]"]


@pytest.fixture
async def consume(rabbit: Rabbit) -> AsyncGenerator[Consume]:
    """Starts consumers of the intake that end with the test."""
    async with AsyncExitStack() as stack:

        async def end(task: asyncio.Task[None]) -> None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

        def start(handle: Handle) -> asyncio.Task[None]:
            task = asyncio.create_task(rabbit.consume_intake(handle))
            stack.push_async_callback(end, task)
            return task

        yield start


async def test_what_is_submitted_is_handled_and_gone(rabbit: Rabbit, peer: Peer, consume: Consume) -> None:
    desk = Desk(accept)
    task = consume(desk.handle)
    await rabbit.submit(b'{"schema": "atlas.task/1"}', "billing-1")
    await peer.send("intake", b"{}", headers={"traceparent": "00-1-2-03"})
    await until(lambda: len(desk.handled) == 2)
    assert (b'{"schema": "atlas.task/1"}', "billing-1") in desk.handled
    assert any(headers.get("traceparent") == "00-1-2-03" for headers in desk.headers)
    task.cancel()
    await asyncio.wait({task})
    assert await peer.ready("intake") == 0


async def test_what_is_refused_is_buried_with_its_reason(rabbit: Rabbit, peer: Peer, consume: Consume) -> None:
    desk = Desk(refuse)
    task = consume(desk.handle)
    await rabbit.submit(b"junk", "billing-2")
    buried = await peer.take("dead")
    assert buried.body == b"junk"
    assert buried.message_id == "billing-2"
    assert buried.headers["x-atlas-reason"] == "not a task: junk"
    assert buried.headers["x-atlas-source-queue"] == f"{peer.prefix}.intake"
    task.cancel()
    await asyncio.wait({task})
    assert await peer.ready("intake") == 0


async def test_a_handler_that_raises_gets_the_message_again_after_a_pause(rabbit: Rabbit, consume: Consume) -> None:
    loop = asyncio.get_running_loop()
    times: list[float] = []

    async def busy(_: bytes) -> None:
        times.append(loop.time())
        if len(times) == 2:
            raise RuntimeError("a bug")
        if len(times) < 4:
            raise StoreBusy("the database is locked")

    desk = Desk(busy)
    consume(desk.handle)
    await rabbit.submit(b"kept", "1")
    await until(lambda: len(times) == 4)
    first, second, third = (later - earlier for earlier, later in pairwise(times))
    assert (first >= 0.09, second >= 0.19, third >= 0.39) == (True, True, True)
    assert desk.handled == [(b"kept", "1")] * 4


async def test_one_message_in_trouble_does_not_hold_up_the_others(rabbit: Rabbit, consume: Consume) -> None:
    async def picky(body: bytes) -> None:
        if body == b"bad":
            raise StoreBusy("always")

    desk = Desk(picky)
    consume(desk.handle)
    await rabbit.submit(b"bad", "0")
    for number in range(50):
        await rabbit.submit(b"good", str(number))
    await until(lambda: desk.bodies.count(b"good") == 50)


async def test_no_more_than_twenty_are_handled_at_a_time(rabbit: Rabbit, consume: Consume) -> None:
    leave = asyncio.Event()

    async def slow(_: bytes) -> None:
        await leave.wait()

    desk = Desk(slow)
    await asyncio.gather(*(rabbit.submit(b"x", str(number)) for number in range(60)))
    consume(desk.handle)
    await until(lambda: len(desk.handled) >= 20)
    assert len(desk.handled) == 20
    leave.set()
    await until(lambda: len(desk.handled) == 60)


async def test_what_was_not_acknowledged_at_the_end_goes_to_the_next_one(rabbit: Rabbit, consume: Consume) -> None:
    async def stuck(_: bytes) -> None:
        await asyncio.Event().wait()

    first = Desk(stuck)
    task = consume(first.handle)
    await rabbit.submit(b"x", "1")
    await until(lambda: first.handled)
    task.cancel()
    await asyncio.wait({task})
    second = Desk(accept)
    consume(second.handle)
    await until(lambda: second.handled == [(b"x", "1")])


async def test_a_message_that_is_handled_while_the_connection_is_lost_is_handled_again(
    rabbit: Rabbit, consume: Consume, rabbitmq_own: RabbitServer
) -> None:
    leave = asyncio.Event()

    async def slow(_: bytes) -> None:
        await leave.wait()

    desk = Desk(slow)
    consume(desk.handle)
    await rabbit.submit(b"x", "1")
    await until(lambda: desk.handled)
    await asyncio.get_running_loop().run_in_executor(None, rabbitmq_own.close_connections)
    await until(lambda: len(desk.handled) == 2)
    leave.set()


async def test_what_was_submitted_survives_a_restart(
    rabbit: Rabbit, consume: Consume, rabbitmq_own: RabbitServer
) -> None:
    desk = Desk(accept)
    await rabbit.submit(b"before", "1")
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, rabbitmq_own.stop_app)
    consume(desk.handle)
    try:
        with pytest.raises(BrokerUnavailable):
            await rabbit.submit(b"while it is away", "2")
    finally:
        await loop.run_in_executor(None, rabbitmq_own.start_app)
    await until(lambda: desk.bodies == [b"before"])


async def test_the_same_id_at_once_is_never_taken_for_delivered(rabbit: Rabbit, peer: Peer) -> None:
    """The library would confirm one of two messages with one id that both came back."""
    await peer.delete_queue("intake")
    tries = [rabbit.submit(b"x", "same") for _ in range(5)]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [BrokerUnavailable] * 5


async def test_a_message_that_breaks_the_connection_is_buried_by_the_broker(
    rabbit: Rabbit, peer: Peer, consume: Consume
) -> None:
    """The client library ends the connection when it can't decode what comes by it: each time, for everybody."""
    desk = Desk(accept)
    consume(desk.handle)
    await peer.send_undecodable("intake")
    await peer.filled("dead")
    await peer.send("intake", b"good")
    await until(lambda: desk.bodies == [b"good"])


async def test_consuming_ends_when_the_connection_is_closed(rabbit: Rabbit, consume: Consume) -> None:
    desk = Desk(accept)
    task = consume(desk.handle)
    await rabbit.submit(b"x", "1")
    await until(lambda: desk.handled)
    await rabbit.close()
    async with asyncio.timeout(5):
        await task


async def test_events_go_to_whoever_listens_and_nobody_need(rabbit: Rabbit, peer: Peer) -> None:
    assert await rabbit.publish_events([Event("run.state", b"unheard", "r1/1")]) == {"run.state"}
    queue = await peer.channel.declare_queue(exclusive=True)
    await queue.bind(rabbit.topology.events, "run.*")
    unheard = await rabbit.publish_events(
        [Event("todo.state", b"other", "r1/2"), *(Event("run.state", b"%d" % seq, f"r1/{seq}") for seq in range(3, 40))]
    )
    assert unheard == {"todo.state"}
    for seq in range(3, 40):
        message = await queue.get(timeout=5)
        assert (message.body, message.routing_key, message.message_id) == (b"%d" % seq, "run.state", f"r1/{seq}")
        await message.ack()
    assert await queue.get(fail=False) is None
