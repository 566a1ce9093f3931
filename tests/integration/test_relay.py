"""The relay from the outbox to the broker, with a real store, and with RabbitMQ where it matters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack

import pytest

from orchestrator.brokers.rabbit_broker import RabbitBroker
from orchestrator.brokers.rabbitmq import Rabbit
from orchestrator.brokers.relay import LIMIT, Relay
from state.commands import Command, Outcome
from state.errors import BrokerUnavailable, StoreBusy
from state.ports import Broker, Store, WakeUp
from tests.contract.store_world import World, task, todo_id
from tests.services.rabbit_client import Peer, until
from tests.services.rabbitmq import RabbitServer


class Recorder:
    """A broker that notes what it gets. `open` lets it answer; `away` makes it raise."""

    def __init__(self) -> None:
        self.published: list[list[str]] = []
        self.asked = 0
        self.open = asyncio.Event()
        self.open.set()
        self.away = False

    async def publish(self, todos: Sequence[str]) -> None:
        self.asked += 1
        await self.open.wait()
        if self.away:
            raise BrokerUnavailable("RabbitMQ is away")
        self.published.append(list(todos))

    async def wake_ups(self) -> AsyncIterator[WakeUp]:
        return
        yield

    async def close(self) -> None:
        return


class BusyStore:
    """The store, but for what is written."""

    def __init__(self, store: Store) -> None:
        self.read = store.read
        self.changed = store.changed
        self.queued = store.queued
        self.close = store.close

    async def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        raise StoreBusy(f"somebody else holds it: {len(commands)} command(s)")


class Relays:
    """Makes relays, and closes them."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack

    def of(self, store: Store, broker: Broker) -> Relay:
        relay = Relay(store, broker)
        self._stack.push_async_callback(relay.close)
        return relay


@pytest.fixture
async def relays() -> AsyncGenerator[Relays]:
    async with AsyncExitStack() as stack:
        yield Relays(stack)


async def _emptied(world: World) -> None:
    async with asyncio.timeout(10):
        while await world.outbox():
            await world.store.changed(0, 0.05)


@pytest.mark.rabbitmq
async def test_what_is_offered_is_delivered_and_leaves_the_outbox(
    world: World, rabbit: Rabbit, peer: Peer, relays: Relays
) -> None:
    ready = (await world.submit(*(task(f"t{number}") for number in range(150)))).ready
    assert await world.outbox() == set(ready)
    relays.of(world.store, RabbitBroker(rabbit)).offer(ready)
    await _emptied(world)
    bodies = [(await peer.take("todos")).body for _ in range(2)]
    assert all(f'"{todo}"'.encode() in b"".join(bodies) for todo in ready)


@pytest.mark.rabbitmq
async def test_while_rabbitmq_is_away_wake_ups_stay_in_the_outbox(
    world: World, rabbit: Rabbit, relays: Relays, rabbitmq_own: RabbitServer, caplog: pytest.LogCaptureFixture
) -> None:
    relay = relays.of(world.store, RabbitBroker(rabbit))
    first = (await world.submit(task("a"), run="r1")).ready
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, rabbitmq_own.stop_app)
    try:
        for _ in range(3):
            relay.offer(first)
            await until(lambda: not relay.waiting)
        assert await world.outbox() == set(first)
    finally:
        await loop.run_in_executor(None, rabbitmq_own.start_app)
    session = await rabbit.session()
    assert session is not None
    second = (await world.submit(task("b"), run="r2")).ready

    async def swept() -> None:
        while await world.outbox():  # as the sweeper would
            relay.offer(first + second)
            await world.store.changed(0, 0.05)

    await asyncio.wait_for(swept(), 20)
    told = [each.message for each in caplog.records if each.name == "orchestrator.brokers.relay"]
    assert len(told) == 1
    assert "left to the outbox" in told[0]


async def test_what_is_offered_meanwhile_goes_together(world: World, relays: Relays) -> None:
    broker = Recorder()
    broker.open.clear()
    relay = relays.of(world.store, broker)
    relay.offer(["a"])
    await until(lambda: broker.asked)
    for todo in ("b", "c", "b"):
        relay.offer([todo])
    broker.open.set()
    await until(lambda: len(broker.published) == 2)
    assert broker.published == [["a"], ["b", "c"]]


async def test_it_holds_so_many_and_drops_the_rest(world: World, relays: Relays) -> None:
    broker = Recorder()
    broker.open.clear()
    relay = relays.of(world.store, broker)
    relay.offer(["first"])
    await until(lambda: broker.asked)
    relay.offer(str(number) for number in range(LIMIT + 500))
    assert relay.waiting == LIMIT
    broker.open.set()
    await until(lambda: not relay.waiting)
    await relay.close()
    assert sum(len(todos) for todos in broker.published) == LIMIT + 1


async def test_an_outage_is_told_once_and_the_next_one_again(
    world: World, relays: Relays, caplog: pytest.LogCaptureFixture
) -> None:
    broker = Recorder()
    relay = relays.of(world.store, broker)
    for away in (True, True, False, True, True):
        broker.away = away
        asked = broker.asked
        relay.offer(["a"])
        await until(lambda asked=asked: broker.asked > asked and not relay.waiting)
    await relay.close()
    assert [each.message for each in caplog.records] == ["RabbitMQ is away; wake-ups are left to the outbox"] * 2


async def test_a_database_that_is_busy_does_not_end_it(world: World, relays: Relays) -> None:
    broker = Recorder()
    relay = relays.of(BusyStore(world.store), broker)
    for todo in ("a", "b"):
        await world.submit(task(todo), run=f"run-{todo}")
        relay.offer([todo])
        await until(lambda todo=todo: [todo] in broker.published)
    await relay.close()
    assert len(await world.outbox()) == 2


async def test_close_waits_for_what_is_in_flight(world: World, relays: Relays) -> None:
    broker = Recorder()
    relay = relays.of(world.store, broker)
    await world.submit(task("a"))
    relay.offer([todo_id("a")])
    await relay.close()
    assert broker.published == [[todo_id("a")]]
    assert not await world.outbox()
    relay.offer(["too late"])
    assert not relay.waiting


async def test_close_does_not_wait_for_ever(world: World, relays: Relays) -> None:
    broker = Recorder()
    broker.open.clear()
    relay = relays.of(world.store, broker)
    relay.offer(["a"])
    await until(lambda: broker.asked)
    async with asyncio.timeout(3):
        await relay.close()


async def test_close_of_a_relay_that_was_never_used(world: World, relays: Relays) -> None:
    await relays.of(world.store, Recorder()).close()
