"""The intake queue: what other programs put there becomes runs, or dead letters that say why not."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import func, select

from orchestrator.brokers.intake import Intake, message_id, take_in
from orchestrator.brokers.memory import MemoryBroker
from orchestrator.brokers.rabbitmq import Rabbit
from orchestrator.dispatch import Dispatch
from state.commands import Command, Outcome
from state.errors import StoreUnavailable
from state.limits import DOCUMENT_BYTES
from state.ports import Store
from state.tables import Plan, Run, Todo
from tests.contract.store_world import FakeClock
from tests.integration.task_workshop import TaskWorkshop, task_workshop
from tests.services.rabbit_client import Peer, until
from tests.services.rabbitmq import RabbitServer

pytestmark = pytest.mark.rabbitmq


@pytest.fixture
async def shop(
    tmp_path: Path, open_store: Callable[[FakeClock | None], Store]
) -> AsyncGenerator[TaskWorkshop]:  # fmt: skip
    store = open_store(None)
    async with task_workshop(tmp_path, store) as found:
        found.allow_host = True  # no engine here, and nobody at a terminal
        yield found
    await store.close()


@asynccontextmanager
async def taking_in(rabbit: Rabbit, shop: TaskWorkshop) -> AsyncGenerator[None]:
    task = asyncio.create_task(take_in(rabbit, shop.service, ["file:///", "s3://"]))
    try:
        yield
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.wait({task})


async def all_settled() -> None:
    """Once nothing that was taken in waits for its acknowledgement."""
    await until(lambda: not any("settle" in str(task.get_coro()) for task in asyncio.all_tasks()))


async def runs(shop: TaskWorkshop) -> Sequence[Run]:
    return await shop.store.read(lambda session: session.exec(select(Run).order_by(Run.id)).all())


async def first_run(shop: TaskWorkshop) -> Run:
    """Once there is one."""
    async with asyncio.timeout(20):
        number = 0
        while not (found := await runs(shop)):
            number = await shop.store.changed(number, 0.1)
    return found[0]


async def test_a_task_is_carried_out_and_comes_back(shop: TaskWorkshop, rabbit: Rabbit, peer: Peer) -> None:
    keys = {"stdout": {"remote": shop.url("log.txt")}, "name": "The bill", "priority": 7, "env": {"WHO": "you"}}
    document = shop.document("echo hello $WHO; echo x >out.txt", **keys)
    document["outputs"] = [{"internal": "out.txt", "remote": shop.url("out/")}]
    async with taking_in(rabbit, shop):
        await peer.send("intake", json.dumps(document).encode())
        run = await first_run(shop)
        await all_settled()
    assert (run.name, run.provenance, run.source, run.placement) == ("The bill", "outside", "intake", "queue")
    assert (await shop.todo(run.id)).priority == 7
    assert await shop.rest(run.id) == "completed"
    assert shop.published() == {"log.txt": b"hello you\n", "out/out.txt": b"x\n"}
    assert await peer.ready("intake") == 0


async def test_nobody_at_a_terminal_means_no_host(shop: TaskWorkshop, rabbit: Rabbit, peer: Peer) -> None:
    shop.allow_host = False
    async with taking_in(rabbit, shop):
        await peer.send("intake", json.dumps(shop.document("true")).encode())
        run = await first_run(shop)
    assert await shop.rest(run.id) == "blocked"
    assert (await shop.todo(run.id)).reason == "sandbox"


async def test_the_same_message_ten_times_is_one_run(
    shop: TaskWorkshop, rabbit: Rabbit, peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "orchestrator.brokers.intake")
    bodies = [json.dumps(shop.document("true", name=f"try {number}")).encode() for number in range(9)]
    async with taking_in(rabbit, shop):
        await peer.send("intake", json.dumps(shop.document("true")).encode())
        first = await first_run(shop)
        await asyncio.gather(*(peer.send("intake", body) for body in [*bodies, bodies[0]]))
        told = "test/1 was handed in before with another document"
        await until(lambda: sum(told in record.message for record in caplog.records) == len(bodies) + 1)
        await all_settled()
    assert [run.id for run in await runs(shop)] == [first.id]
    assert first.name == "test/1"
    assert await peer.ready("intake") == await peer.ready("dead") == 0


async def test_as_many_at_once_by_many_are_one_run_each(shop: TaskWorkshop, rabbit: Rabbit, peer: Peer) -> None:
    bodies = [json.dumps(shop.document("true", id=str(number))).encode() for number in range(10)]
    for _ in range(3):
        await asyncio.gather(*(peer.send("intake", body) for body in bodies))
    async with taking_in(rabbit, shop), taking_in(rabbit, shop), taking_in(rabbit, shop):
        await peer.send("intake", b"the end")
        await peer.take("dead")
    for number in range(10):  # whatever was under way when it ended is not lost: a repetition tells
        assert (await shop.submit(shop.document("true", id=str(number)))).repeated
    assert sorted(run.name for run in await runs(shop)) == sorted(f"test/{number}" for number in range(10))


GOOD: dict[str, Any] = {"schema": "atlas.task/1", "source": "billing", "id": "42", "command": ["true"]}
BAD: dict[str, tuple[bytes, str, str]] = {
    "no JSON": (b'{"schema": "atlas.task/1", ', "the-id", "not JSON: "),
    "YAML": (b"schema: atlas.task/1\nsource: billing\nid: a\ncommand: [x]\n", "the-id", "not JSON: "),
    "empty": (b"", "the-id", "not JSON: "),
    "a list": (b"[1, 2]", "the-id", "the document is a list"),
    "binary": (bytes(range(256)) * 40, "the-id", "is not UTF-8"),
    "broken UTF-8": (b'{"id": "\xe9\xff"}', "the-id", "is not UTF-8"),
    "huge": (json.dumps({**GOOD, "name": "x" * DOCUMENT_BYTES}).encode(), "the-id", "at most 4,194,304 bytes"),
    "deep": (b'{"a":' * 100_000, "the-id", "levels deep"),
    "another schema": (json.dumps({**GOOD, "schema": "atlas.task/9"}).encode(), "billing/42", "must be atlas.task/1"),
    "half a character": (json.dumps({**GOOD, "id": "a\ud800"}).encode(), "billing/a?", "surrogate pair"),
    "unknown key": (json.dumps({**GOOD, "comand": ["x"]}).encode(), "billing/42", 'did you mean "command"?'),
    "no command": (json.dumps({**GOOD, "command": []}).encode(), "billing/42", "the command is empty"),
    "no source": (json.dumps({**GOOD, "source": None}).encode(), "the-id", "source: has no value"),
    "leaves": (
        json.dumps({**GOOD, "outputs": [{"internal": "../x", "remote": "s3://b/x"}]}).encode(), "billing/42", "leaves",
    ),
}  # fmt: skip


async def test_what_is_no_task_is_a_dead_letter_with_the_reason(shop: TaskWorkshop, rabbit: Rabbit, peer: Peer) -> None:
    async with taking_in(rabbit, shop):
        for name, (body, _, _) in BAD.items():
            await peer.send("intake", body, message_id="the-id", headers={"name": name}, content_type="x/y")
        buried = [await peer.take("dead") for _ in BAD]
        await peer.send("intake", json.dumps(GOOD).encode())
        assert (await first_run(shop)).name == "billing/42", "it goes on"
    reasons = {bytes(letter.body): str(letter.headers["x-atlas-reason"]) for letter in buried}
    for name, (body, key, why) in BAD.items():
        assert reasons[body].startswith(f"{key}: task"), name
        assert why in reasons[body], name
    assert {letter.message_id for letter in buried} == {"the-id"}
    assert {str(letter.headers["x-atlas-source-queue"]) for letter in buried} == {f"{peer.prefix}.intake"}
    for table in (Run, Todo, Plan):
        counted = select(func.count()).select_from(table)
        assert await shop.store.read(lambda session, counted=counted: session.exec(counted).one()) == 1


class Away(Dispatch):
    """A database that is away for the first `times`."""

    def __init__(self, store: Store, times: int) -> None:
        super().__init__(store, MemoryBroker())
        self.times = times

    async def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        if self.times:
            self.times -= 1
            raise StoreUnavailable("the database does not answer")
        return await super().apply(commands)


async def test_a_message_outlives_a_database_that_is_away(
    shop: TaskWorkshop, rabbit: Rabbit, peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    shop.service._dispatch = Away(shop.store, 3)  # pyright: ignore[reportPrivateUsage]
    async with taking_in(rabbit, shop):
        await peer.send("intake", json.dumps(GOOD).encode(), message_id="m")
        assert (await first_run(shop)).name == "billing/42"
    assert await peer.ready("dead") == 0
    kept = [record.message for record in caplog.records if "is kept and tried again" in record.message]
    assert kept == [f"{peer.prefix}.intake: message m is kept and tried again: the database does not answer"]


async def test_a_broker_that_stops_and_starts_loses_nothing(
    shop: TaskWorkshop, rabbit: Rabbit, rabbitmq_own: RabbitServer
) -> None:
    await rabbit.submit(json.dumps(GOOD).encode(), "1")
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, rabbitmq_own.stop_app)
    try:
        async with taking_in(rabbit, shop):
            await loop.run_in_executor(None, rabbitmq_own.start_app)
            assert (await first_run(shop)).name == "billing/42"
    finally:
        await loop.run_in_executor(None, rabbitmq_own.start_app)


async def test_a_large_document_does_not_hold_up_the_worker(shop: TaskWorkshop) -> None:
    """The longest that the event loop does not answer; a worker that does not for some seconds loses its lease."""
    body = json.dumps({**GOOD, "outputs": [{"x": number} for number in range(200_000)]}).encode()
    assert len(body) > DOCUMENT_BYTES // 2
    loop, longest = asyncio.get_running_loop(), 0.0
    handling = asyncio.ensure_future(Intake(shop.service, ["file:///", "s3://"]).handle(body, {}, None))
    while not handling.done():
        before = loop.time()
        await asyncio.sleep(0.001)
        longest = max(longest, loop.time() - before)
    assert "outputs: may have at most 1,000 entries" in str(handling.result())
    assert longest < 2.0


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (json.dumps(GOOD).encode(), "billing/42"),
        (json.dumps({**GOOD, "id": "x" * 300}).encode(), f"billing/{'x' * 200}"),
        (json.dumps({**GOOD, "id": "é" * 200}).encode(), None),
        (json.dumps({"id": 1}).encode(), None),
        (b"\xff", None),
    ],
)
def test_a_message_id_is_one_that_amqp_can_have(body: bytes, expected: str | None) -> None:
    assert message_id(body) == expected


@pytest.mark.parametrize(
    ("remote", "allowed", "taken"),
    [
        ("file:///etc/passwd", ["s3://"], False),
        ("file:///srv/exchange/a", ["file:///srv/exchange/"], True),
        ("file:///srv/exchange/../a", ["file:///srv/exchange/"], False),
        ("file:///srv/exchanged/a", ["file:///srv/exchange/"], False),
        ("s3://bills/a", ["s3://bills/"], True),
        ("s3://others/a", ["s3://bills/"], False),
        ("s3://bills/a", [], False),
    ],
)
@pytest.mark.parametrize("place", ["inputs", "outputs", "stdout"])
async def test_only_what_the_operator_allows_is_named(
    shop: TaskWorkshop, remote: str, allowed: list[str], taken: bool, place: str
) -> None:
    named = {"inputs": [{"remote": remote, "internal": "a"}], "outputs": [{"internal": "a", "remote": remote}]}
    document = {**GOOD, place: {"remote": remote} if place == "stdout" else named[place]}
    said = await Intake(shop.service, allowed).handle(json.dumps(document).encode(), {}, None)
    assert (said is None) == taken
    if said is not None:
        assert said.startswith("billing/42: ")
