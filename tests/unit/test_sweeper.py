"""A sweeper goes on taking over, whatever else it has to do. The store is real."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from sqlmodel import Session, select

from orchestrator.brokers.memory import MemoryBroker
from orchestrator.dispatch import Dispatch
from orchestrator.sweeper import Sweeper
from orchestrator.tasks import ended
from orchestrator.waking import Waking
from orchestrator.worker import Claims, Worker
from state.commands import Claimed, ClaimNext, NewTodo, SubmitRun
from state.errors import StoreUnavailable
from state.liveness import FileCensus, FileLiveness
from state.ports import Reporter, Result
from state.records import QUEUE, new_id
from state.sqlite import SqliteStore
from state.tables import Todo
from tests.contract.store_world import FakeClock

PATIENCE = 30.0


async def test_what_takes_for_ever_and_what_breaks_hold_up_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, broker = SqliteStore(tmp_path / "a.db"), MemoryBroker()
    dispatch, census = Dispatch(store, broker), FileCensus(tmp_path / "workers")
    dead, own = FileLiveness(tmp_path / "workers"), FileLiveness(tmp_path / "workers")
    tried = {"breaks": 0, "is away": 0}

    async def takes_for_ever() -> None:
        await asyncio.Event().wait()

    async def breaks() -> None:
        tried["breaks"] += 1
        raise ZeroDivisionError

    async def is_away() -> None:
        tried["is away"] += 1
        raise StoreUnavailable("the store is away", "Wait.")

    async def until(condition: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while await store.read(state) != condition or min(tried.values()) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    def state(session: Session) -> str:
        return session.exec(select(Todo.state)).one()

    todo = NewTodo(id=new_id(), key="t", title="t", kind="task", document="{}")
    await dispatch.one(SubmitRun(new_id(), "r", None, QUEUE, 9, "person", "test", "{}", "{}", "h", [todo]))
    sweeping = asyncio.create_task(
        Sweeper(dispatch, census, own.boot, (takes_for_ever, breaks, is_away)).run(), name="sweeper"
    )
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            await dispatch.one(ClaimNext(dead.boot, QUEUE, 1))
            assert await store.read(state) == "in_progress"
            dead.close()
            await until("ready")
            dead = FileLiveness(tmp_path / "workers")
    assert not sweeping.done()
    await ended(sweeping)
    told = [record.getMessage() for record in caplog.records if record.getMessage().startswith("sweep: ")]
    assert len(told) <= 2, "each is told of once, while it lasts"
    dead.close()
    own.close()
    await broker.close()
    await store.close()


async def test_a_clock_that_went_on_while_this_host_slept_ends_nothing(tmp_path: Path) -> None:
    """A laptop whose lid was closed: the deadline is long past, and the command has most of its time left."""
    clock = FakeClock()
    store, census = SqliteStore(tmp_path / "a.db", now=clock), FileCensus(tmp_path / "workers")
    dispatch, own = Dispatch(store, MemoryBroker()), FileLiveness(tmp_path / "workers")
    here, other = Sweeper(dispatch, census, own.boot), Sweeper(dispatch, census, own.boot)
    working = Worker(
        dispatch, Waking(MemoryBroker()), {"task": _Sleeps()}, Claims(boot=own.boot, placement=QUEUE, slots=1)
    )
    here.in_time = working.in_time
    todo = NewTodo(id=new_id(), key="t", title="t", kind="task", document="{}", timeout=1800.0)
    await dispatch.one(SubmitRun(new_id(), "r", None, QUEUE, 9, "person", "test", "{}", "{}", "h", [todo]))
    task = asyncio.create_task(working.run())

    async def state() -> str:
        return await store.read(lambda session: session.exec(select(Todo.state)).one())

    async with asyncio.timeout(PATIENCE):
        while not working.busy:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    clock.advance(8 * 3600)
    await here.due()
    assert await state() == "in_progress"
    await other.due()  # whoever does not carry it out goes by the deadline
    assert await state() == "failed"
    await working.drain(0.0)
    await task
    own.close()
    await store.close()


class _Sleeps:
    async def execute(self, claim: Claimed, report: Reporter) -> Result:
        await asyncio.Event().wait()
        raise AssertionError
