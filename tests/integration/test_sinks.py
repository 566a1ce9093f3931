"""Topic and webhooks are told all that happens: in order of each run, again after trouble, by one worker at a time."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx2
import pytest

from orchestrator.brokers.rabbitmq import Rabbit
from orchestrator.sinks.cursor import Sink, Teller
from orchestrator.sinks.topic import TopicSink
from orchestrator.sinks.webhook import Webhook, WebhookSink, signature
from orchestrator.views import EventView
from state.commands import Claimed, ClaimedMany, ClaimNext, Complete, NewTodo, SubmitRun
from state.errors import SinkAway
from state.limits import PAGE
from state.ports import Store
from state.records import QUEUE, Evidence
from state.sqlite import SqliteStore
from tests.services.rabbit_client import Peer, until
from tests.services.webhook_receiver import Receiver, receiver

PROOF = Evidence(
    subject="s", item="{}", item_hash="i", passed=True, command="true", exit_code=0, output_tail="", digest="d",
    verifier="v", seconds=0.1,
)  # fmt: skip


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[SqliteStore]:
    store = SqliteStore(tmp_path / "a.db")
    yield store
    await store.close()


async def submit(store: Store, run: str, todos: int = 2) -> None:
    new = [NewTodo(f"{run}.{number}", f"t{number}", "T", "task", "{}") for number in range(todos)]
    await store.apply([SubmitRun(run, run, None, QUEUE, 9, "person", "test", "{}", "{}", "h", new)])


async def finish(store: Store, run: str) -> None:
    (claimed,) = await store.apply([ClaimNext("w", QUEUE, 9, run=run)])
    assert isinstance(claimed, ClaimedMany)
    claims: list[Claimed] = claimed.claims
    await store.apply([Complete(claim.todo, claim.fence, [PROOF]) for claim in claims])


async def newest(store: Store, run: str) -> int:
    from state.tables import Run

    return await store.read(lambda session: session.get_one(Run, run).last_event)


@dataclass
class Listener:
    """A sink that writes down what it is told; it does not take the first `refusing`."""

    name: str = "listener"
    batch: int = 3
    refusing: int = 0
    told: dict[str, list[int]] = field(default_factory=lambda: defaultdict[str, list[int]](list))

    async def tell(self, events: Sequence[EventView]) -> None:
        if self.refusing:
            self.refusing -= 1
            raise SinkAway("not now", after=0.01)
        for event in events:
            self.told[event.run].append(event.seq)


@asynccontextmanager
async def telling(store: Store, *sinks: Sink, boot: str = "w1", lease: float = 30.0) -> AsyncGenerator[None]:
    tasks = [asyncio.create_task(Teller(store, sink, boot, lease=lease).run()) for sink in sinks]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_all_that_happens_is_told_in_order(store: SqliteStore) -> None:
    listener = Listener(refusing=2)
    await submit(store, "before")
    async with telling(store, listener):
        for number in range(4):
            await submit(store, f"r{number}")
        for number in range(4):
            await finish(store, f"r{number}")
        last = {run: await newest(store, run) for run in ("before", "r0", "r1", "r2", "r3")}
        await until(lambda: {run: seqs[-1] for run, seqs in listener.told.items()} == last)
    assert all(seqs == list(range(1, last[run] + 1)) for run, seqs in listener.told.items())


async def test_who_waits_for_a_sink_stays_the_one_who_tells(store: SqliteStore) -> None:
    """Another worker would take it after the lease, and begin with the shortest pause: a dead endpoint was asked all
    the time, by all of them in turn."""

    @dataclass
    class Dead(Listener):
        tries: int = 0

        async def tell(self, events: Sequence[EventView]) -> None:
            self.tries += 1
            raise SinkAway("dead", after=30.0)

    first, second = Dead(), Dead()
    await submit(store, "r")
    async with telling(store, first, lease=4.0):
        await until(lambda: first.tries == 1)
        async with telling(store, second, boot="w2", lease=4.0):
            await asyncio.sleep(6.0)  # more than a lease, and not all of the pause
    assert (first.tries, second.tries) == (1, 0)


async def test_who_comes_next_goes_on_where_it_stands(store: SqliteStore) -> None:
    first, second = Listener(), Listener()
    await submit(store, "r")
    last = await newest(store, "r")
    async with telling(store, first, lease=0.5):
        await until(lambda: first.told["r"][-1:] == [last])
    await finish(store, "r")
    async with telling(store, second, boot="w2"):
        last = await newest(store, "r")
        await until(lambda: second.told["r"][-1:] == [last])
    assert second.told["r"][0] == len(first.told["r"]) + 1


async def test_a_teller_that_ends_leaves_the_sink_to_the_next_one(store: SqliteStore) -> None:
    first, second = Listener(), Listener()
    await submit(store, "r")
    async with telling(store, first):
        await until(lambda: bool(first.told["r"]))
    await finish(store, "r")
    last = await newest(store, "r")
    async with telling(store, second, boot="w2"):
        await until(lambda: second.told["r"][-1:] == [last])  # long before the first one's lease is over


async def test_a_busy_run_does_not_hold_up_the_others(store: SqliteStore) -> None:
    listener = Listener(batch=PAGE)
    await submit(store, "busy", todos=PAGE)
    await submit(store, "other")
    teller = Teller(store, listener, "w1")
    assert await teller.round()
    assert listener.told["other"]
    assert 0 < len(listener.told["busy"]) < PAGE
    while await teller.round():
        pass
    assert listener.told["busy"] == list(range(1, await newest(store, "busy") + 1))


async def test_two_workers_do_not_both_tell(store: SqliteStore) -> None:
    one, other = Listener(), Listener()
    async with telling(store, one), telling(store, other, boot="w2"):
        for number in range(5):
            await submit(store, f"r{number}")
        await until(lambda: len(one.told) + len(other.told) == 5)
    assert not (one.told and other.told)


# --- webhooks --------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def hook(url: str, **options: object) -> AsyncGenerator[WebhookSink]:
    async with httpx2.AsyncClient() as client:
        webhook = Webhook("team", url, **{name: value for name, value in options.items() if name != "give_up"})  # type: ignore[arg-type]
        yield WebhookSink(webhook, client, float(str(options.get("give_up", 60.0))))


@pytest.fixture
async def endpoint() -> AsyncGenerator[Receiver]:
    async with receiver() as found:
        yield found


def event(seq: int, type: str = "run.state", run: str = "r") -> EventView:
    return EventView(run, seq, None, type, None, {"n": seq})


async def test_a_webhook_is_signed_as_the_standard_says(endpoint: Receiver) -> None:
    # the example of the specification
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    signed = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body)
    assert signed == "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    async with hook(endpoint.url, secret=secret) as sink:
        await sink.tell([event(7)])
    (got,) = endpoint.received
    assert got.headers["webhook-id"] == "r/7"
    expected = signature(secret, "r/7", got.headers["webhook-timestamp"], got.body)
    assert got.headers["webhook-signature"] == f"v1,{expected}"
    assert got.event == {"run": "r", "seq": 7, "at": None, "type": "run.state", "todo": None, "data": {"n": 7}}


async def test_only_what_is_wanted_is_sent(endpoint: Receiver) -> None:
    async with hook(endpoint.url, events=("run.*", "todo.risk")) as sink:
        await sink.tell([event(1), event(2, "todo.log"), event(3, "todo.risk"), event(4, "run.progress")])
    assert [got.event["seq"] for got in endpoint.received] == [1, 3, 4]
    assert "webhook-signature" not in endpoint.received[0].headers


@pytest.mark.parametrize("status", [0, 301, 400, 429, 500, 503])
async def test_what_is_not_taken_is_sent_again(endpoint: Receiver, status: int) -> None:
    endpoint.answers, endpoint.extra = [status], "retry-after: 7\r\nlocation: /elsewhere\r\n"
    async with hook(endpoint.url) as sink:
        with pytest.raises(SinkAway, match="r/1") as caught:
            await sink.tell([event(1)])
        assert caught.value.after == (7.0 if status else None)
        await sink.tell([event(1)])
    assert [got.headers["webhook-id"] for got in endpoint.received] == ["r/1", "r/1"], "known by its id"


async def test_nobody_there_is_no_reason_to_forget() -> None:
    async with hook("http://127.0.0.1:9/") as sink:
        with pytest.raises(SinkAway, match="ConnectError"):
            await sink.tell([event(1)])


async def test_one_event_is_not_sent_for_ever(endpoint: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    endpoint.answers = [500, 410]
    async with hook(endpoint.url, give_up=0.0) as sink:
        await sink.tell([event(1)])
        await sink.tell([event(2)])
        await sink.tell([event(3)])
    assert [got.event["seq"] for got in endpoint.received] == [1, 2, 3]
    assert caplog.text.count("it is given up") == 2


async def test_a_run_is_told_to_an_endpoint_that_fails_now_and_then(store: SqliteStore, endpoint: Receiver) -> None:
    endpoint.answers, endpoint.extra = [500, 0, 503], "retry-after: 0\r\n"
    async with hook(endpoint.url, events=("*",)) as sink, telling(store, sink):
        await submit(store, "r")
        await finish(store, "r")
        last = await newest(store, "r")
        await until(lambda: any(got.event["seq"] == last for got in endpoint.received))
    seqs = [got.event["seq"] for got in endpoint.received]
    assert list(dict.fromkeys(seqs)) == list(range(1, last + 1))
    assert len(seqs) == last + 3


async def test_an_answer_without_an_end_is_an_answer(endpoint: Receiver) -> None:
    endpoint.endless = True
    async with hook(endpoint.url) as sink:
        for seq in (1, 2):
            await asyncio.wait_for(sink.tell([event(seq)]), 60)
    assert [json.loads(each.body)["seq"] for each in endpoint.received] == [1, 2]


async def test_an_answer_that_breaks_off_is_an_answer(endpoint: Receiver) -> None:
    endpoint.breaks_off = True
    async with hook(endpoint.url) as sink:
        for seq in (1, 2):
            await sink.tell([event(seq)])
    assert [json.loads(each.body)["seq"] for each in endpoint.received] == [1, 2]


# --- topic -----------------------------------------------------------------------------------------------------------


@pytest.mark.rabbitmq
async def test_events_arrive_on_the_topic_exchange(store: SqliteStore, rabbit: Rabbit, peer: Peer) -> None:
    queue = await peer.channel.declare_queue(exclusive=True)
    await queue.bind(rabbit.topology.events, "#")
    async with telling(store, TopicSink(rabbit)):
        await submit(store, "r", todos=3)
        await finish(store, "r")
        last = await newest(store, "r")
        for seq in range(1, last + 1):
            message = await peer.take_from(queue)
            body = json.loads(message.body)
            assert (body["seq"], body["run"], message.message_id) == (seq, "r", f"r/{seq}")
            assert message.routing_key == body["type"]
            await message.ack()


@pytest.mark.rabbitmq
async def test_who_begins_to_listen_misses_nothing_from_then_on(rabbit: Rabbit, peer: Peer) -> None:
    sink = TopicSink(rabbit)
    await sink.tell([event(seq) for seq in range(1, 5)])  # nobody listens
    await sink.tell([event(seq) for seq in range(5, 9)])
    queue = await peer.channel.declare_queue(exclusive=True)
    await queue.bind(rabbit.topology.events, "#")
    await sink.tell([event(seq) for seq in range(9, 13)])
    await sink.tell([event(13)])
    taken: list[int] = []
    while taken[-1:] != [13]:
        message = await peer.take_from(queue)
        await message.ack()
        taken.append(json.loads(message.body)["seq"])
    assert list(dict.fromkeys(taken)) == list(range(9, 14))


@pytest.mark.rabbitmq
async def test_who_begins_to_listen_to_some_hears_them_in_order(rabbit: Rabbit, peer: Peer) -> None:
    sink = TopicSink(rabbit)
    some, all_of_them = [await peer.channel.declare_queue(exclusive=True) for _ in range(2)]
    await some.bind(rabbit.topology.events, "a")
    types = "abcbacbba"
    await sink.tell([event(seq, type) for seq, type in enumerate(types, 1)])
    await all_of_them.bind(rabbit.topology.events, "#")
    await sink.tell([event(seq, type) for seq, type in enumerate(types, 11)])
    taken: list[int] = []
    while taken[-1:] != [10 + len(types)]:
        message = await peer.take_from(all_of_them)
        await message.ack()
        taken.append(json.loads(message.body)["seq"])
    assert taken == list(range(11, 11 + len(types)))


@pytest.mark.rabbitmq
async def test_a_broker_that_is_away_is_told_later(store: SqliteStore, rabbit_url_nobody_answers: str) -> None:
    rabbit = Rabbit(rabbit_url_nobody_answers)
    with pytest.raises(SinkAway, match="topic: RabbitMQ"):
        await TopicSink(rabbit).tell([event(1)])


@pytest.fixture
def rabbit_url_nobody_answers() -> str:
    return "amqp://guest:guest@127.0.0.1:9/"


def test_names_of_sinks_stay() -> None:
    """Cursors are kept under them."""
    names: list[Callable[[], str]] = [lambda: TopicSink.name, lambda: WebhookSink(Webhook("a", "http://x"), None).name]  # type: ignore[arg-type]
    assert [name() for name in names] == ["topic", "webhook:a"]
    assert replace(Webhook("a", "http://x"), name="b").name == "b"
