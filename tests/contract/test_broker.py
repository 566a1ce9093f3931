"""The `Broker` contract, in memory and over RabbitMQ.

A wake-up in memory dies with its process, and so does whoever could take it: there is nothing to deliver again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from orchestrator.brokers.memory import MemoryBroker
from orchestrator.brokers.rabbit_broker import RabbitBroker
from state.ports import Broker
from state.records import new_id
from tests.contract.broker_bench import Subscribe
from tests.services.rabbit_client import opened_rabbit, until


@dataclass
class Adapter:
    """A broker under test; `redelivers`: whether it knows who holds what."""

    broker: Broker
    redelivers: bool


@pytest.fixture(params=["memory", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
async def adapter(request: pytest.FixtureRequest) -> AsyncGenerator[Adapter]:
    async with AsyncExitStack() as stack:
        if request.param == "memory":
            adapter = Adapter(MemoryBroker(), redelivers=False)
        else:
            url, prefix = request.getfixturevalue("rabbitmq_url"), request.getfixturevalue("rabbitmq_prefix")
            rabbit = await stack.enter_async_context(opened_rabbit(url, prefix))
            adapter = Adapter(RabbitBroker(rabbit), redelivers=True)
        yield adapter
        await adapter.broker.close()


@pytest.fixture
def broker(adapter: Adapter) -> Broker:
    return adapter.broker


# --- what every broker does ------------------------------------------------------------------------------------------


async def test_what_is_published_is_delivered(broker: Broker, subscribe: Subscribe) -> None:
    subscriber = subscribe(broker)
    await broker.publish(["a", "b"])
    await until(lambda: sorted(subscriber.seen) == ["a", "b"])


async def test_what_was_published_before_anybody_subscribed_is_delivered(broker: Broker, subscribe: Subscribe) -> None:
    await broker.publish(["early"])
    subscriber = subscribe(broker)
    await until(lambda: subscriber.seen == ["early"])


async def test_nothing_to_publish_wakes_nobody(broker: Broker, subscribe: Subscribe) -> None:
    subscriber = subscribe(broker)
    await broker.publish([])
    await broker.publish(["a"])
    await until(lambda: subscriber.seen)
    assert [wake_up.todos for wake_up in subscriber.wake_ups] == [("a",)]


async def test_every_wake_up_goes_to_exactly_one_of_several_subscribers(broker: Broker, subscribe: Subscribe) -> None:
    subscribers = [subscribe(broker) for _ in range(3)]
    todos = [f"t{number}" for number in range(60)]
    await asyncio.gather(*(broker.publish([todo]) for todo in todos))
    await until(lambda: sum(len(each.seen) for each in subscribers) >= len(todos))
    assert Counter(todo for each in subscribers for todo in each.seen) == Counter(todos)


async def test_many_ids_at_once(broker: Broker, subscribe: Subscribe) -> None:
    subscriber = subscribe(broker)
    todos = [new_id() for _ in range(2_345)]
    await broker.publish(todos)
    await until(lambda: len(subscriber.seen) >= len(todos))
    assert Counter(subscriber.seen) == Counter(todos)


async def test_duplicates_are_delivered_like_anything_else(broker: Broker, subscribe: Subscribe) -> None:
    subscriber = subscribe(broker)
    await broker.publish(["a", "a"])
    await broker.publish(["a"])
    await broker.publish(["b"])
    await until(lambda: "b" in subscriber.seen and len(subscriber.seen) == 4)


async def test_acknowledging_twice_is_harmless(broker: Broker, subscribe: Subscribe) -> None:
    subscriber = subscribe(broker)
    await broker.publish(["a"])
    await until(lambda: subscriber.seen)
    wake_up = subscriber.wake_ups[0]
    await asyncio.gather(wake_up.acknowledge(), wake_up.acknowledge())
    await broker.publish(["b"])
    await until(lambda: subscriber.seen == ["a", "b"])


async def test_a_subscriber_that_waits_can_be_stopped_and_takes_nothing_with_it(
    broker: Broker, subscribe: Subscribe
) -> None:
    idle = subscribe(broker)
    await broker.publish(["first"])
    await until(lambda: idle.seen)
    await idle.stop()
    assert idle.task.cancelled()
    await broker.publish(["second"])
    other = subscribe(broker)
    await until(lambda: other.seen == ["second"])
    assert idle.seen == ["first"]


async def test_close_ends_the_iterators(broker: Broker, subscribe: Subscribe) -> None:
    subscribers = [subscribe(broker), subscribe(broker)]
    await broker.publish(["a"])
    await until(lambda: any(each.seen for each in subscribers))
    await broker.close()
    async with asyncio.timeout(5):
        await asyncio.gather(*(each.task for each in subscribers))


async def test_closing_twice_is_closing(broker: Broker) -> None:
    await broker.close()
    await broker.close()


async def test_what_a_subscriber_that_ended_did_not_acknowledge_is_delivered_again(
    adapter: Adapter, subscribe: Subscribe
) -> None:
    if not adapter.redelivers:
        pytest.skip("this adapter does not know who holds what")
    forgetful = subscribe(adapter.broker, lazy=True)
    await adapter.broker.publish(["a"])
    await until(lambda: forgetful.seen)
    await forgetful.stop()
    other = subscribe(adapter.broker)
    await until(lambda: other.seen == ["a"])
    await forgetful.wake_ups[0].acknowledge()
