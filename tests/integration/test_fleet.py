"""How all of Atlas stands, on both engines, and what of it Prometheus is shown."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Connection, create_engine, event
from sqlmodel import Session

from orchestrator.fleet_metrics import KEPT_SECONDS, FleetMetrics
from orchestrator.metrics import ProcessMetrics
from state.agent_commands import AskPerson, ReserveCall, SettleCall
from state.commands import Claimed, Command, Complete, ExtendRun, Fail, Outcome, Resume
from state.errors import StoreUnavailable
from state.fleet import BOUNDS, Bounds, Fleet, Spend, Spending, fleet, oldest_claimable, spend_after
from state.migrations import driver_url
from state.ports import Store
from state.records import QUEUE, local_placement, new_id
from tests.contract.store_world import RUN, FakeClock, World, gate, proof, task, todo_id

T = TypeVar("T")
PATIENCE = 30.0
AGO = 1_000.0
ROUGHLY = 60.0
"""Seconds: what a test may take on a machine that is busy."""


@pytest.fixture
async def now(open_store: Callable[[FakeClock | None], Store]) -> AsyncGenerator[World]:
    """A world whose clock is `AGO` seconds behind the database's, which readers ask."""
    clock = FakeClock(time.time() - AGO)
    store = open_store(clock)
    yield World(store, clock)
    await store.close()


async def looked(world: World, bounds: Bounds = BOUNDS) -> Fleet:
    return await world.store.read(lambda session: fleet(session, bounds))


async def submit(world: World, run: str, *keys: str, placement: str = QUEUE) -> None:
    """A run of tasks."""
    await world.submit(*(task(key, run=run) for key in keys), run=run, placement=placement)


async def test_an_empty_database(world: World) -> None:
    assert await looked(world) == Fleet({}, {}, 0, None, 0, 0, whole=True)


async def test_runs_todos_wake_ups_and_questions_are_counted(world: World) -> None:
    await world.submit(task("a"), task("b", "a"), gate("g"))
    await submit(world, "done", "a")
    await world.finish("a", run="done")
    await submit(world, "bad", "a", "b")
    await world.fail("a", run="bad")
    await submit(world, "here", "a", "b", placement=local_placement("boot"))
    await submit(world, "held", "a")
    await world.hold(run="held")
    await world.claim("a")

    found = await looked(world)
    assert found.runs == {"in_progress": 3, "completed": 1, "held": 1}
    wanted = {"pending": 1, "ready": 2, "in_progress": 1, "awaiting_input": 1, "failed": 1}
    assert {state: number for state, number in found.todos.items() if number} == wanted
    assert found.ready == 4, "of all runs"
    assert (found.outbox, found.questions, found.whole) == (len(await world.outbox()), 1, True)


async def test_what_is_not_counted_is_told(world: World) -> None:
    for name in ("a", "b", "c"):
        await submit(world, name, "t")
    found = await looked(world, Bounds(runs=2))
    assert (found.runs, found.whole) == ({"in_progress": 2}, False)
    found = await looked(world, Bounds(rows=2))
    assert (found.ready, found.outbox, found.whole) == (2, 2, False)
    assert (await looked(world, Bounds(runs=4, rows=4))).whole


# --- what waits for a worker ---------------------------------------------------------------------------------------


async def waits(world: World) -> float | None:
    """Seconds by the test's clock since the oldest claimable TODO became ready."""
    found = await world.store.read(oldest_claimable)
    return None if found is None else found - (time.time() - world.clock.time)


def near(seconds: float) -> Any:
    return pytest.approx(seconds, abs=ROUGHLY)


async def test_a_todo_waits_since_its_run_was_submitted(now: World) -> None:
    assert await waits(now) is None
    await now.submit(task("a"))
    now.clock.advance(300)
    assert await waits(now) == near(300)
    await now.claim("a")
    assert await waits(now) is None


async def test_a_todo_waits_since_its_last_need_was_met(now: World) -> None:
    await now.submit(task("a"), task("b"), task("c", "a", "b"))
    await now.finish("a")
    now.clock.advance(300)
    await now.finish("b")
    now.clock.advance(200)
    assert await waits(now) == near(200)


async def test_a_todo_waits_since_its_last_attempt_and_its_backoff(now: World) -> None:
    await now.submit(task("a"))
    for backoff, wanted in ((0.0, near(300)), (200.0, near(100)), (10 * AGO, None)):
        claim = await now.claim("a")
        await now.done(Fail(claim.todo, claim.fence, "exit", "no", backoff))
        now.clock.advance(300)
        assert await waits(now) == wanted, "None: it may not be claimed yet"


async def test_a_todo_waits_since_its_question_was_answered(now: World) -> None:
    await now.submit(task("a"))
    claim = await now.claim("a")
    await now.done(AskPerson(claim.todo, claim.fence, "key", "Which?", ["this", "that"]))
    assert await waits(now) is None
    now.clock.advance(400)
    await now.answer("a", "this")
    now.clock.advance(200)
    assert await waits(now) == near(200)


async def test_a_run_that_was_held_waits_since_it_went_on(now: World) -> None:
    await now.submit(task("a"))
    await now.hold()
    now.clock.advance(600)
    assert await waits(now) is None
    await now.done(Resume(RUN, QUEUE, QUEUE))
    now.clock.advance(200)
    assert await waits(now) == near(200)


async def test_a_busy_lane_and_another_process_are_not_waited_for(now: World) -> None:
    await now.submit(task("a", lane="one"), task("b", lane="one"))
    await submit(now, "here", "a", placement=local_placement("boot"))
    await now.claim("a")
    now.clock.advance(300)
    assert await waits(now) is None
    await now.done(Complete(todo_id("a"), 1, [proof()]))
    assert await waits(now) is not None


async def test_the_oldest_of_many_runs_counts(now: World) -> None:
    for number in range(5):
        await submit(now, f"r{number}", "a", "b")
        now.clock.advance(150)
    assert await waits(now) == near(750)
    await now.finish("a", run="r0")
    await now.finish("b", run="r0")
    assert await waits(now) == near(600)


async def test_a_todo_that_a_plan_added_counts_since_it_was_added(now: World) -> None:
    """The run is older."""
    await now.submit(task("p", kind="plan"))
    claim = await now.claim("p")
    now.clock.advance(300)
    await now.done(ExtendRun(claim.todo, claim.fence, [proof()], "{}", "hash", [task("a")]))
    now.clock.advance(100)
    assert await waits(now) == near(100)


# --- spend ---------------------------------------------------------------------------------------------------------


async def call(world: World, claim: Claimed, model: str, *, settle: bool = True, id: str | None = None) -> str:
    """A model call of 10 tokens and 7 nano-dollars."""
    id = id or new_id()
    await world.done(ReserveCall(id, claim.todo, claim.fence, "hephaestus", model, 100, 50))
    if settle:
        await world.done(SettleCall(id, "answered", 1, 2, 3, 4, 7))
    return id


async def spent(world: World, spending: Spending, page: int) -> dict[str, Spend]:
    spending.begin()
    while not spending.take(await world.store.read(lambda session: spend_after(session, spending.after, page))):
        pass
    return spending.total()


@pytest.mark.parametrize("page", [1, 2, 3, 100])
async def test_spend_is_added_up_by_model_page_by_page(now: World, page: int) -> None:
    spending = Spending()
    assert await spent(now, spending, page) == {}
    await now.submit(task("a"))
    claim = await now.claim("a")
    for model in ("one", "two", "one", "one", "two"):
        await call(now, claim, model)
    assert await spent(now, spending, page) == {"one": Spend(3, 30, 21), "two": Spend(2, 20, 14)}
    assert spending.settled == spending.total(), "all of it is old: it is not read again"

    waiting = await call(now, claim, "two", settle=False)
    await call(now, claim, "one")
    now.clock.advance(AGO)  # to the present: what comes now is not settled for good yet
    young = await call(now, claim, "one")
    for _ in range(2):
        assert await spent(now, spending, page) == {"one": Spend(5, 50, 35), "two": Spend(2, 20, 14)}
    assert spending.upto < waiting < young

    await now.done(SettleCall(waiting, "lost", 0, 0, 0, 5, 3, estimated=True))
    assert await spent(now, spending, page) == {"one": Spend(5, 50, 35), "two": Spend(3, 25, 17)}
    assert waiting < spending.upto < young


# --- cost ----------------------------------------------------------------------------------------------------------


def _statements(url: str, plan: str) -> Iterator[tuple[str, str]]:
    """(statement, its plan) of all that is asked at a scrape."""
    engine = create_engine(driver_url(url) if url.startswith("postgresql") else url)
    asked: list[tuple[str, Any]] = []

    def note(_connection: Connection, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        asked.append((statement, parameters))

    with Session(engine) as session:
        event.listen(engine, "before_cursor_execute", note)
        fleet(session)
        spend_after(session, "")
        event.remove(engine, "before_cursor_execute", note)
        for statement, parameters in asked:
            rows = session.connection().exec_driver_sql(f"{plan} {statement}", parameters).all()
            yield statement, "\n".join(str(row[-1]) for row in rows)
    engine.dispose()


INDEXES = {
    "ended_at IS NULL": "run_open",
    "ended_at IS NOT NULL": "sqlite_autoindex_run_1",
    "n_ready > 0": "run_claimable",
    "FROM todo WHERE state": "todo_next",
    "FROM todo WHERE run_id": "todo_ready",
    "FROM question WHERE state": "question_pending",
    "FROM outbox": "sqlite_autoindex_outbox_1",
    "FROM model_call": "sqlite_autoindex_model_call_1",
}
"""What a statement goes along on SQLite until its limit; PostgreSQL has the same indexes."""


async def _filled(store: Store) -> None:
    world = World(store, FakeClock())
    await world.submit(task("a"), task("b"))
    await call(world, await world.claim("a"), "one")
    await store.close()


async def test_a_scrape_goes_along_indexes_on_sqlite(tmp_path: Path) -> None:
    from state.sqlite import SqliteStore

    await _filled(SqliteStore(tmp_path / "a.db"))
    seen: set[str] = set()
    for statement, plan in _statements(f"sqlite:///{tmp_path / 'a.db'}", "EXPLAIN QUERY PLAN"):
        for words in (words for words in INDEXES if words in statement):
            seen.add(words)
            assert INDEXES[words] in plan, f"{statement}\n{plan}"
        tables = {"run", "todo", "attempt", "question", "todo_need", "outbox", "model_call", "event"}
        scanned = [step for step in plan.splitlines() if step.removeprefix("SCAN ") in tables - {"todo"}]
        assert not scanned, f"{statement}\n{plan}"
    assert seen == INDEXES.keys()


@pytest.mark.postgres
async def test_a_scrape_can_do_without_reading_tables_on_postgresql(postgres_cleared: str) -> None:
    """A table as small as these is read as it is, if that is not forbidden."""
    from state.postgres import PostgresStore

    await _filled(PostgresStore(postgres_cleared))
    url = f"{postgres_cleared}{'&' if '?' in postgres_cleared else '?'}options=-c%20enable_seqscan%3Doff"
    plans = list(_statements(url, "EXPLAIN"))
    assert len(plans) >= len(INDEXES)
    assert [(statement, plan) for statement, plan in plans if "Seq Scan" in plan] == []


# --- Prometheus ----------------------------------------------------------------------------------------------------


class Counted:
    """A store that counts reads, holds them up until it is told to go on, and breaks when it is told to."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.reads = 0
        self.going = asyncio.Event()
        self.going.set()
        self.broken = False
        self.changed = store.changed
        self.queued = store.queued
        self.close = store.close

    async def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        return await self._store.apply(commands)

    async def read(self, query: Callable[[Session], T]) -> T:
        self.reads += 1
        await self.going.wait()
        if self.broken:
            raise StoreUnavailable("gone")
        return await self._store.read(query)


async def _two() -> int:
    return 2


class Scraped:
    """The fleet's numbers as they are shown, and a clock for their age."""

    def __init__(self, world: World, patience: float = PATIENCE) -> None:
        self.time = 0.0
        self.store = Counted(world.store)
        self.fleet = FleetMetrics(self.store, _two, lambda: self.time, patience)
        self._metrics = ProcessMetrics(slots=1)
        self._metrics.add(self.fleet)

    async def scrape(self) -> dict[tuple[str, ...], float]:
        """(name, values of labels) -> value"""
        await self.fleet.refresh()
        families = text_string_to_metric_families(self._metrics.text().decode())
        return {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}


async def test_the_fleet_is_shown(now: World) -> None:
    await now.submit(task("a"), task("b"), gate("g"))
    claim = await now.claim("a")
    for _ in range(3):
        await call(now, claim, "anthropic/claude")
    shown = await Scraped(now).scrape()
    assert shown["atlas_fleet_read",] == shown["atlas_fleet_whole",] == 1
    assert shown["atlas_runs", "in_progress"] == 1
    assert (shown["atlas_queue_todos", "ready"], shown["atlas_queue_todos", "in_progress"]) == (1, 1)
    assert (shown["atlas_todos_ready",], shown["atlas_questions_open",], shown["atlas_workers_alive",]) == (1, 1, 2)
    assert shown["atlas_outbox_rows",] == 1
    assert shown["atlas_oldest_claimable_seconds",] == near(AGO)
    assert shown["atlas_model_calls_total", "anthropic/claude"] == 3
    assert shown["atlas_model_tokens_total", "anthropic/claude"] == 30
    assert shown["atlas_model_usd_total", "anthropic/claude"] == pytest.approx(21e-9)
    assert not [name for name, *labels in shown if RUN in labels or todo_id("a") in labels], "no names"


async def test_the_database_is_asked_once_however_many_scrape(now: World) -> None:
    scraped = Scraped(now)
    await asyncio.gather(*(scraped.scrape() for _ in range(5)))
    first = scraped.store.reads
    scraped.time = KEPT_SECONDS - 0.1
    await scraped.scrape()
    assert scraped.store.reads == first
    await now.submit(task("a"))
    scraped.time = KEPT_SECONDS
    assert (await scraped.scrape())["atlas_runs", "in_progress"] == 1
    assert scraped.store.reads == 2 * first


async def test_a_database_that_is_gone_leaves_no_old_numbers(now: World) -> None:
    scraped = Scraped(now)
    await now.submit(task("a"))
    assert ("atlas_runs", "in_progress") in await scraped.scrape()
    scraped.store.broken = True
    scraped.time += KEPT_SECONDS
    shown = await scraped.scrape()
    assert shown["atlas_fleet_read",] == 0
    assert ("atlas_runs", "in_progress") not in shown
    assert ("atlas_worker_slots",) in shown, "what the process knows itself is shown all the same"
    scraped.store.broken = False
    scraped.time += KEPT_SECONDS
    assert (await scraped.scrape())["atlas_fleet_read",] == 1


async def test_a_database_that_hangs_is_waited_for_once_and_not_for_ever(now: World) -> None:
    scraped = Scraped(now, patience=0.05)
    scraped.store.going.clear()
    for _ in range(3):
        assert (await scraped.scrape())["atlas_fleet_read",] == 0
        scraped.time += KEPT_SECONDS
    assert scraped.store.reads == 1, "nobody stands in line behind it"
    scraped.store.going.set()
    async with asyncio.timeout(PATIENCE):
        while (await scraped.scrape())["atlas_fleet_read",] == 0:
            scraped.time += KEPT_SECONDS
    scraped.store.going.clear()
    scraped.time += KEPT_SECONDS
    await scraped.scrape()
    await asyncio.wait_for(scraped.fleet.close(), PATIENCE)
