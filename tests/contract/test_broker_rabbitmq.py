"""RabbitMQ as a `Broker`: what only a broker of its own can do, go away and come back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress

import pytest

from orchestrator.brokers import rabbitmq
from orchestrator.brokers.rabbit_broker import ENVELOPE, RabbitBroker
from orchestrator.brokers.rabbitmq import Event, Rabbit
from state.errors import BrokerUnavailable, SettingsError
from state.ports import WakeUp
from tests.contract.broker_bench import Subscribe, published
from tests.services.ports import free_port
from tests.services.rabbit_client import Peer, opened_rabbit, until
from tests.services.rabbitmq import RabbitServer


@pytest.fixture
async def real(rabbit: Rabbit) -> AsyncGenerator[RabbitBroker]:
    broker = RabbitBroker(rabbit)
    yield broker
    await broker.close()


# --- RabbitMQ: shapes ------------------------------------------------------------------------------------------------


@pytest.mark.rabbitmq
async def test_rabbitmq_queues_are_durable_and_replicated(
    rabbit: Rabbit, rabbitmq_own: RabbitServer, rabbitmq_prefix: str
) -> None:
    """As a cluster keeps them: quorum queues, what is refused goes to the dead letters."""
    names = [f"{rabbitmq_prefix}.{name}" for name in ("todos", "intake", "dead")]
    columns = ("name", "type", "durable", "arguments")
    told = await asyncio.to_thread(rabbitmq_own.control, "list_queues", "--formatter=json", *columns)
    found = {row["name"]: row for row in json.loads(told) if row["name"] in names}
    assert {(row["type"], row["durable"]) for row in found.values()} == {("quorum", True)}
    assert found.keys() == {*names}
    for name in names[:2]:
        assert "x-dead-letter-exchange" in str(found[name]["arguments"])
        assert names[2] in str(found[name]["arguments"])


@pytest.mark.rabbitmq
async def test_rabbitmq_envelopes_hold_at_most_a_hundred_ids(real: RabbitBroker, subscribe: Subscribe) -> None:
    subscriber = subscribe(real)
    await real.publish([str(number) for number in range(250)])
    await until(lambda: len(subscriber.seen) == 250)
    assert sorted(len(wake_up.todos) for wake_up in subscriber.wake_ups) == [50, ENVELOPE, ENVELOPE]


@pytest.mark.rabbitmq
async def test_rabbitmq_gives_a_subscriber_the_next_one_once_it_acknowledged(
    real: RabbitBroker, subscribe: Subscribe
) -> None:
    slow, quick = subscribe(real, lazy=True), subscribe(real)
    await real.publish(["first"])
    await until(lambda: slow.seen or quick.seen)
    for number in range(20):
        await real.publish([f"t{number}"])
    await until(lambda: len(slow.seen) + len(quick.seen) == 21)
    assert len(slow.seen) == 1


@pytest.mark.rabbitmq
async def test_rabbitmq_with_an_alarm_is_told_of_and_hears_acknowledgements(
    real: RabbitBroker, rabbitmq_own: RabbitServer, rabbitmq_prefix: str, subscribe: Subscribe,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """It reads nothing more from a connection that has published: on the same one, nobody could have acknowledged."""
    monkeypatch.setattr(rabbitmq, "CONFIRM_SECONDS", 1.0)
    subscriber, told = subscribe(real, lazy=True), list[str]()
    await real.publish(["before"])
    await until(lambda: subscriber.seen)

    async def unacknowledged(count: int) -> None:
        """Once it says so: it looks every five seconds."""
        columns = ("name", "messages_unacknowledged")
        async with asyncio.timeout(60):
            while True:
                listed = await asyncio.to_thread(rabbitmq_own.control, "list_queues", "--formatter=json", *columns)
                found = {row["name"]: row[columns[1]] for row in json.loads(listed)}
                if found[f"{rabbitmq_prefix}.todos"] == count:
                    return

    await asyncio.to_thread(rabbitmq_own.control, "set_vm_memory_high_watermark", "absolute", "1")
    try:
        async with asyncio.timeout(60):
            while len(told) < 2:
                try:
                    await real.publish(["meanwhile"])
                except BrokerUnavailable as error:
                    told.append(error.message)
        assert "not confirmed: its alarm (memory, disk)" in told[0]
        assert "did not take it: its alarm (memory, disk)" in told[1]
        await unacknowledged(1)
        await subscriber.wake_ups[0].acknowledge()
        await unacknowledged(0)
    finally:
        await asyncio.to_thread(rabbitmq_own.control, "set_vm_memory_high_watermark", "0.4")
    await published(real, ["later"])


_FOREIGN = {
    "not JSON": b"\xff\xfe",
    "empty": b"",
    "no object": b"[]",
    "no ids": b"{}",
    "nothing to claim": b'{"todos": []}',
    "a string": b'{"todos": "abc"}',
    "no strings": b'{"todos": [1, null]}',
    "too many": json.dumps({"todos": ["x"] * 101}).encode(),
    "a long id": json.dumps({"todos": ["x" * 101]}).encode(),
    "deep": b"[" * 90_000,
    "large": b'{"todos": ["' + b"x" * 200_000 + b'"]}',
}


@pytest.mark.rabbitmq
async def test_rabbitmq_buries_what_is_not_a_wake_up_and_goes_on(
    real: RabbitBroker, subscribe: Subscribe, peer: Peer
) -> None:
    subscriber = subscribe(real)
    for name, body in _FOREIGN.items():
        await peer.send("todos", body, message_id=name, content_type="x/y", headers={"own": 1})
    await peer.send("todos", b"odd", message_id="odd", delivery_mode=1, expiration=3600, priority=9)
    await real.publish(["good"])
    await until(lambda: subscriber.seen == ["good"])
    buried = [await peer.take("dead") for _ in range(len(_FOREIGN) + 1)]
    assert {str(each.message_id): each.body for each in buried} == _FOREIGN | {"odd": b"odd"}
    for each in buried:
        assert "not a wake-up" in str(each.headers["x-atlas-reason"])
        assert each.headers["x-atlas-source-queue"] == f"{peer.prefix}.todos"


# --- RabbitMQ: trouble -----------------------------------------------------------------------------------------------


async def _in_thread(call: Callable[[], None]) -> None:
    await asyncio.get_running_loop().run_in_executor(None, call)


@pytest.mark.rabbitmq
async def test_rabbitmq_that_closes_the_connection_delivers_again_what_was_not_acknowledged(
    real: RabbitBroker, subscribe: Subscribe, rabbitmq_own: RabbitServer
) -> None:
    subscriber = subscribe(real, lazy=True)
    await real.publish(["a"])
    await until(lambda: subscriber.seen)
    await _in_thread(rabbitmq_own.close_connections)
    await until(lambda: subscriber.seen == ["a", "a"])
    for wake_up in subscriber.wake_ups:  # the first one came by a channel that is gone
        await wake_up.acknowledge()
    await published(real, ["b"])
    await until(lambda: subscriber.seen == ["a", "a", "b"])


@pytest.mark.rabbitmq
async def test_rabbitmq_whose_queue_is_deleted_refuses_and_then_has_it_again(
    real: RabbitBroker, subscribe: Subscribe, peer: Peer
) -> None:
    await peer.delete_queue("todos")
    with pytest.raises(BrokerUnavailable, match="the queue is gone"):
        await real.publish(["lost", *("x" for _ in range(300))])
    await published(real, ["a"])
    subscriber = subscribe(real)
    await until(lambda: "a" in subscriber.seen)


@pytest.mark.rabbitmq
async def test_rabbitmq_subscribers_come_back_to_a_queue_that_was_deleted(
    real: RabbitBroker, subscribe: Subscribe, peer: Peer
) -> None:
    subscriber = subscribe(real)
    for todo in ("a", "b"):
        await published(real, [todo])
        await until(lambda todo=todo: todo in subscriber.seen)
        await peer.delete_queue("todos")
    await published(real, ["c"])
    await until(lambda: "c" in subscriber.seen)


@pytest.mark.rabbitmq
async def test_rabbitmq_subscribers_that_were_forgotten_start_again(
    rabbitmq_url: str, rabbitmq_prefix: str, subscribe: Subscribe
) -> None:
    """A queue that is deleted and declared again within milliseconds: RabbitMQ 3.10 tells no consumer of it."""
    async with opened_rabbit(rabbitmq_url, rabbitmq_prefix, patience=0.5) as rabbit:
        broker = RabbitBroker(rabbit)
        subscriber = subscribe(broker)
        await broker.publish(["a"])
        await until(lambda: subscriber.seen)
        session = await rabbit.session()
        assert session is not None
        channel = await session.connection.channel()
        await channel.queue_delete(rabbit.topology.todos)
        await rabbit.topology.declare(channel)
        await published(broker, ["b"])
        await until(lambda: subscriber.seen == ["a", "b"])
        await broker.close()


@pytest.mark.rabbitmq
async def test_rabbitmq_subscribers_survive_an_error_of_their_channel(
    rabbit: Rabbit, real: RabbitBroker, subscribe: Subscribe
) -> None:
    subscriber = subscribe(real, lazy=True)
    await real.publish(["a"])
    await until(lambda: subscriber.seen)
    session = await rabbit.session()
    assert session is not None
    wake_up = subscriber.wake_ups[0]
    channel = wake_up.acknowledge.__self__._message.channel  # pyright: ignore
    await channel.basic_ack(999)  # pyright: ignore
    await until(lambda: subscriber.seen == ["a", "a"])
    assert await rabbit.session() is session


@pytest.mark.rabbitmq
async def test_rabbitmq_publishing_survives_an_error_of_its_channel(rabbit: Rabbit, real: RabbitBroker) -> None:
    session = await rabbit.session()
    assert session is not None
    await session.publishing.exchange_delete(rabbit.topology.events)
    with pytest.raises(BrokerUnavailable):
        await rabbit.publish_events([Event("run.state", b"{}", "r/1")])
    await published(real, ["a"])
    await rabbit.publish_events([Event("run.state", b"{}", "r/1")])


@pytest.mark.rabbitmq
async def test_rabbitmq_that_stops_and_starts_is_used_again_without_help(
    rabbit: Rabbit,
    real: RabbitBroker,
    subscribe: Subscribe,
    rabbitmq_own: RabbitServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    subscriber = subscribe(real)
    await real.publish(["before"])
    await until(lambda: subscriber.seen == ["before"])
    await _in_thread(rabbitmq_own.stop_app)
    try:
        with pytest.raises(BrokerUnavailable, match=r"RabbitMQ at 127\.0\.0\.1"):
            await real.publish(["while it is away"])
    finally:
        await _in_thread(rabbitmq_own.start_app)
    await published(real, ["after"])
    await until(lambda: "after" in subscriber.seen)
    told = [record for record in caplog.records if record.name == "orchestrator.brokers.rabbitmq"]
    assert len(told) == 1
    assert "is away" in told[0].message


@pytest.mark.rabbitmq
async def test_rabbitmq_that_is_killed_has_kept_what_it_confirmed(
    real: RabbitBroker, subscribe: Subscribe, rabbitmq_own: RabbitServer
) -> None:
    await published(real, ["kept"])
    await _in_thread(rabbitmq_own.kill)
    try:
        with pytest.raises(BrokerUnavailable):
            await real.publish(["lost"])
    finally:
        await _in_thread(rabbitmq_own.start)
    subscriber = subscribe(real)
    await until(lambda: subscriber.seen == ["kept"], 30)


@pytest.mark.rabbitmq
async def test_rabbitmq_that_is_away_at_the_start_is_found_later(
    rabbit: Rabbit, rabbitmq_own: RabbitServer, rabbitmq_prefix: str, subscribe: Subscribe
) -> None:
    await _in_thread(rabbitmq_own.stop_app)
    late = Rabbit(rabbitmq_own.url, rabbitmq_prefix)
    try:
        broker = RabbitBroker(late)
        subscriber = subscribe(broker)
        assert not await late.open(0.3)
        with pytest.raises(BrokerUnavailable, match=r"RabbitMQ at 127\.0\.0\.1"):
            await broker.publish(["a"])
        await _in_thread(rabbitmq_own.start_app)
        await published(broker, ["b"])
        await until(lambda: "b" in subscriber.seen)
    finally:
        with suppress(OSError):
            await _in_thread(rabbitmq_own.start_app)
        await late.close()


@pytest.mark.rabbitmq
async def test_rabbitmq_closing_the_connection_ends_the_iterators_too(
    rabbit: Rabbit, real: RabbitBroker, subscribe: Subscribe
) -> None:
    subscriber = subscribe(real)
    await real.publish(["a"])
    await until(lambda: subscriber.seen)
    await rabbit.close()
    async with asyncio.timeout(5):
        await subscriber.task
    with pytest.raises(BrokerUnavailable):
        await real.publish(["b"])


async def test_rabbitmq_that_is_nowhere_delays_nobody() -> None:
    rabbit = Rabbit(f"amqp://127.0.0.1:{free_port()}/")
    broker = RabbitBroker(rabbit)
    waiting: Awaitable[WakeUp] = anext(broker.wake_ups())
    task = asyncio.ensure_future(waiting)
    assert not await rabbit.open(0.1)
    with pytest.raises(BrokerUnavailable):
        await broker.publish(["a"])
    await broker.close()
    with pytest.raises(StopAsyncIteration):
        await task
    await rabbit.close()


@pytest.mark.parametrize("url", ["", "http://host/", "amqp://", "localhost", "amqp://host:port/"])
def test_rabbitmq_urls_that_are_none(url: str) -> None:
    with pytest.raises(SettingsError, match="broker's URL"):
        Rabbit(url)
