"""PostgreSQL under the store: lost connections, commits in doubt, restarts, several writers on one run."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Literal

import psycopg
import pytest
from sqlalchemy import URL, make_url
from sqlmodel import select

from state import postgres_writer
from state.commands import (
    Cancel,
    Claim,
    Claimed,
    ClaimedMany,
    ClaimNext,
    Command,
    Complete,
    Done,
    Hold,
    Outcome,
    Refused,
    SubmitRun,
)
from state.errors import StoreError, StoreUnavailable
from state.postgres import PostgresStore
from state.postgres_liveness import PostgresLiveness
from state.postgres_wire import Wire
from state.postgres_writer import PostgresWriter
from state.records import QUEUE, new_id
from state.tables import Run, Todo
from state.work import Work
from tests.contract.store_world import FakeClock, World, gate, proof, submission, task, todo_id
from tests.services.ports import free_port
from tests.services.postgres import PostgresServer, private_server, statement

pytestmark = pytest.mark.postgres


def _run(name: str, *keys: str, concurrency: int = 100) -> SubmitRun:
    todos = [task(key, run=name) for key in keys or ("a",)]
    return submission(*todos, run=name, concurrency=concurrency)


async def _names(store: PostgresStore) -> set[str]:
    return set(await store.read(lambda session: session.exec(select(Run.id)).all()))


Open = Callable[[str], PostgresStore]


@pytest.fixture
async def opened() -> AsyncGenerator[Open]:
    """Opens stores that are closed when the test ends, however it does."""
    stores: list[PostgresStore] = []

    def open_store(url: str) -> PostgresStore:
        stores.append(PostgresStore(url))
        return stores[-1]

    yield open_store
    await asyncio.gather(*(store.close() for store in stores))


def _kill_connections(url: str) -> None:
    statement(
        url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )


def _read_only(url: URL, how: str) -> None:
    unhindered = url.update_query_dict({"options": "-cdefault_transaction_read_only=off"}).render_as_string(False)
    statement(unhindered, f'ALTER DATABASE "{url.database}" SET default_transaction_read_only = {how}')


# --- connections that break ------------------------------------------------------------------------------------------


async def test_a_connection_that_broke_while_idle_is_replaced_unnoticed(opened: Open, postgres_database: str) -> None:
    store = opened(postgres_database)
    for number in range(3):
        await store.apply([_run(f"r{number}")])
        await _names(store)
        _kill_connections(postgres_database)
    await store.apply([_run("last")])
    assert await _names(store) == {"r0", "r1", "r2", "last"}


@pytest.mark.parametrize("asked", ["", "read-write", "of a server that does not tell"])
async def test_who_was_led_to_what_may_only_be_read_goes_on_when_it_may_be_written_to(
    opened: Open, postgres_database: str, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failover that leads to the old primary for a while; or a provider's answer to a full disk."""
    url = make_url(postgres_database)
    if asked.startswith("of a server"):
        asked = ""
        monkeypatch.setattr(postgres_writer, "WRITABLE", {})
    store = opened(url.update_query_dict({"target_session_attrs": asked} if asked else {}).render_as_string(False))
    await store.apply([_run("first")])
    _read_only(url, "on")
    _kill_connections(postgres_database)
    for each in (store, store, opened(postgres_database)):
        with pytest.raises(StoreUnavailable, match="read-only") as raised:
            await each.apply([_run("second")])
        assert "Name the primary" in raised.value.hint
        assert await _names(each) == {"first"}, "who comes now can look, too"
    with pytest.raises(StoreUnavailable, match="read-only"):
        PostgresLiveness(postgres_database)
    _read_only(url, "off")
    await store.apply([_run("second")])
    assert await _names(store) == {"first", "second"}


async def test_connections_that_break_under_load_lose_nothing_and_repeat_nothing(
    opened: Open, postgres_database: str
) -> None:
    """Whatever is answered is true: done is done, and what raised is known not to have happened."""
    store = opened(postgres_database)
    done: set[str] = set()
    raised: set[str] = set()
    ended = asyncio.Event()

    async def work(worker: int) -> None:
        for number in range(60):
            run = f"r{worker}-{number}"
            try:
                (outcome,) = await store.apply([_run(run)])
            except StoreUnavailable:
                raised.add(run)
            else:
                assert isinstance(outcome, Done), outcome
                done.add(run)

    async def interrupt() -> None:
        while not ended.is_set():
            await asyncio.to_thread(_kill_connections, postgres_database)

    async with asyncio.TaskGroup() as group:
        interrupting = group.create_task(interrupt())
        workers = [group.create_task(work(worker)) for worker in range(8)]
        await asyncio.wait(workers)
        ended.set()
        await interrupting
    assert await _names(store) == done
    assert done.isdisjoint(raised)


class CuttingWriter(PostgresWriter):
    """Loses its connection around COMMIT, as a network may: when nothing of it has arrived yet, when what it commits
    has, or when all has, and only the answer is lost."""

    arrived: Literal["nothing", "the writes", "all"] = "nothing"
    cuts = 0

    def _commit(self, wire: Wire, number: str) -> None:
        connection = wire.connection
        if self.cuts:
            self.cuts -= 1
            pid = connection.info.backend_pid
            if self.arrived != "nothing":
                assert wire.send()
            if self.arrived == "all":
                connection.execute("COMMIT")
            connection.execute("SELECT 1")
            with psycopg.connect(self._conninfo, autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s)", (pid,))
        super()._commit(wire, number)


@pytest.mark.parametrize("arrived", ["nothing", "the writes", "all"])
async def test_a_commit_whose_answer_was_lost_is_resolved(
    opened: Open, postgres_database: str, arrived: Literal["nothing", "the writes", "all"]
) -> None:
    changes = 0

    def changed() -> None:
        nonlocal changes
        changes += 1

    def use(writer: CuttingWriter) -> list[Outcome]:
        writer.open()
        writer.cuts, writer.arrived = 1, arrived
        try:
            return writer.transact([_run("r1"), _run("r2")])
        finally:
            writer.close()

    conninfo = make_url(postgres_database).set(drivername="postgresql").render_as_string(hide_password=False)
    writer = CuttingWriter(conninfo, "the database", "me", changed, now=None, new_id=new_id)
    outcomes = await asyncio.to_thread(use, writer)
    assert [type(outcome) for outcome in outcomes] == [Done, Done]
    assert changes == 1
    store = opened(postgres_database)
    assert await _names(store) == {"r1", "r2"}


class ForgetfulWriter(PostgresWriter):
    """Takes the run `r1` for another than it is."""

    def flush(self, work: Work) -> None:
        if "r1" in work.runs:
            work.runs["r1"].loaded_event += 100
        super().flush(work)


async def test_a_write_that_misses_its_row_undoes_the_commit_that_was_sent_behind_it(
    opened: Open, postgres_database: str
) -> None:
    store = opened(postgres_database)
    await store.apply([_run("r1"), _run("r2")])
    conninfo = make_url(postgres_database).set(drivername="postgresql").render_as_string(hide_password=False)
    writer = ForgetfulWriter(conninfo, "the database", "me", lambda: None, now=None, new_id=new_id)

    def use() -> list[Outcome]:
        writer.open()
        try:
            return writer.transact([Hold("r1", "wait"), Hold("r2", "wait")])
        finally:
            writer.close()

    refused, done = await asyncio.to_thread(use)
    assert isinstance(refused, Refused)
    assert "run: 0 row(s) only were as they had been read" in refused.message
    assert isinstance(done, Done)
    runs = await store.read(lambda session: session.exec(select(Run).order_by(Run.id)).all())
    assert [(run.id, run.held) for run in runs] == [("r1", False), ("r2", True)]


@pytest.fixture(scope="module")
def own_server() -> Generator[PostgresServer]:
    """One that may be stopped."""
    server = private_server(durable=True)
    yield server
    server.remove()


async def test_a_restart_of_the_server(opened: Open, own_server: PostgresServer) -> None:
    store = opened(own_server.url)
    await store.apply([_run("before")])
    number = await store.changed(0, 0.0)
    own_server.stop()
    with pytest.raises(StoreUnavailable):
        await store.apply([_run("meanwhile")])
    with pytest.raises(StoreUnavailable):
        await _names(store)
    own_server.start()
    await store.apply([_run("after")])
    assert await _names(store) == {"before", "after"}
    other = opened(own_server.url)
    while (again := await store.changed(number, 5.0)) != number:  # until it listens again, and all is quiet
        number = again
    waiting = asyncio.ensure_future(store.changed(number, 60.0))
    await other.apply([_run("other")])
    assert await asyncio.wait_for(waiting, 30.0) > number


@pytest.fixture
def unused_port() -> int:
    return free_port()


async def test_no_server_there(unused_port: int) -> None:
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1"):
        PostgresStore(f"postgresql+psycopg://atlas:secret@127.0.0.1:{unused_port}/atlas")


async def test_a_password_is_in_no_message(unused_port: int) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        PostgresStore(f"postgresql://atlas:s3cret@127.0.0.1:{unused_port}/atlas")
    assert "s3cret" not in str(caught.value)


async def test_tables_that_vanish_are_a_store_error(opened: Open, postgres_database: str) -> None:
    store = opened(postgres_database)
    statement(postgres_database, "DROP TABLE event")
    with pytest.raises(StoreError):
        await store.apply([_run("r1")])
    assert await _names(store) == set()


async def test_a_reader_cannot_write(opened: Open, postgres_database: str) -> None:
    store = opened(postgres_database)
    with pytest.raises(StoreError):
        await store.read(lambda session: session.connection().exec_driver_sql("DELETE FROM run"))


async def test_threads_and_connections_end_with_the_store(postgres_database: str) -> None:
    for _ in range(3):
        store = PostgresStore(postgres_database)
        await store.apply([_run(new_id())])
        await store.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("atlas-store")]


async def test_others_hear_of_what_is_queued_and_of_nothing_else(opened: Open, postgres_database: str) -> None:
    mine, other = opened(postgres_database), opened(postgres_database)
    heard = await mine.queued(0, 0.0)
    waiting = asyncio.ensure_future(mine.queued(heard, 60.0))
    number = await mine.changed(0, 0.0)
    await mine.apply([_run("mine")])
    await other.apply([ClaimNext("w", QUEUE, 1)])
    await other.apply([submission(task("local", run="local"), run="local", placement="local:x")])
    while not await mine.read(lambda session: session.get(Run, "local")) or await mine.changed(number, 0.2) != number:
        number = await mine.changed(number, 5.0)
    assert not waiting.done()
    await other.apply([_run("other")])
    assert await asyncio.wait_for(waiting, 30.0) > heard


# --- several writers -------------------------------------------------------------------------------------------------


async def test_each_todo_goes_to_one_of_many_writers(opened: Open, postgres_database: str) -> None:
    """Four programs take from one run and from many, with limits; nothing is taken twice, all of it gets done."""
    stores = [opened(postgres_database) for _ in range(4)]
    size = 60
    await stores[0].apply([_run("big", *(f"a{n:02}" for n in range(size)), concurrency=7)])
    await stores[0].apply([_run(f"small{n:02}") for n in range(size)])
    taken: list[str] = []

    async def work(store: PostgresStore, name: str) -> None:
        number = 0
        while len(taken) < 2 * size:
            (outcome,) = await store.apply([ClaimNext(name, QUEUE, 3)])
            assert isinstance(outcome, ClaimedMany), outcome
            taken.extend(claim.todo for claim in outcome.claims)
            settled = await asyncio.gather(
                *(store.apply([Complete(claim.todo, claim.fence, [proof()])]) for claim in outcome.claims)
            )
            assert all(isinstance(answer, Done) for (answer,) in settled)
            if not outcome.claims:
                number = await store.changed(number, 0.5)

    await asyncio.gather(*(work(store, f"w{n}-{task}") for n, store in enumerate(stores) for task in range(2)))
    assert len(taken) == len(set(taken)) == 2 * size
    runs = await stores[0].read(lambda session: session.exec(select(Run)).all())
    assert {run.state for run in runs} == {"completed"}


async def test_cancel_among_completions_leaves_nothing_open(opened: Open, postgres_database: str) -> None:
    """A gate that begins to ask while its run is cancelled elsewhere must not stay open, nor its question."""
    stores = [opened(postgres_database) for _ in range(3)]
    for number in range(25):
        run = f"r{number}"
        todos = [task("a", run=run), gate("g", "a", run=run), task("b", "a", run=run), task("c", "b", run=run)]
        await stores[0].apply([submission(*todos, run=run)])
        (claim,) = await stores[0].apply([Claim(todo_id("a", run), "w", QUEUE)])
        assert isinstance(claim, Claimed)
        commands: list[Command] = [Complete(claim.todo, claim.fence, [proof()]), Cancel(run, "me")]
        await asyncio.gather(*(store.apply([command]) for store, command in zip(stores, commands, strict=False)))
        world = World(stores[2], FakeClock())
        assert (await world.run(run)).state == "cancelled"
        states = await world.states(run)
        assert set(states.values()) <= {"completed", "cancelled"}
        if states["a"] == "completed":
            assert (await world.question("g", run)).state == "cancelled"


async def test_random_writers_on_the_same_runs_keep_everything_right(opened: Open, postgres_database: str) -> None:
    """Long batches in different orders over the same runs: no deadlock surfaces, events stay dense."""
    stores = [opened(postgres_database) for _ in range(3)]
    runs = [f"r{n}" for n in range(6)]
    keys = [f"a{n}" for n in range(12)]
    await stores[0].apply([_run(run, *keys) for run in runs])

    async def work(store: PostgresStore, name: str, order: Callable[[list[str]], list[str]]) -> None:
        todos = order([todo_id(key, run) for run in runs for key in keys])
        for start in range(0, len(todos), 9):
            batch = todos[start : start + 9]
            claims = await store.apply([*(Claim(todo, name, QUEUE) for todo in batch), ClaimNext(name, QUEUE, 2)])
            flat = [
                c for outcome in claims for c in (outcome.claims if isinstance(outcome, ClaimedMany) else [outcome])
            ]
            await store.apply([Complete(c.todo, c.fence, [proof()]) for c in flat if isinstance(c, Claimed)])

    orders: list[Callable[[list[str]], list[str]]] = [sorted, lambda ids: ids[::-1], lambda ids: ids[::2] + ids[1::2]]
    await asyncio.gather(*(work(store, f"w{n}", orders[n]) for n, store in enumerate(stores)))
    world = World(stores[0], FakeClock())
    for run in runs:
        row = await world.run(run)
        assert (row.state, row.n_completed) == ("completed", len(keys))
        events = await world.events(run)
        assert [event.seq for event in events] == list(range(1, row.last_event + 1))
    rows = await stores[0].read(lambda session: session.exec(select(Todo)).all())
    assert {row.fence for row in rows} == {1}
