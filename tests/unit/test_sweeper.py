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
from state.commands import ClaimNext, NewTodo, SubmitRun
from state.errors import StoreUnavailable
from state.liveness import FileCensus, FileLiveness
from state.records import QUEUE, new_id
from state.sqlite import SqliteStore
from state.tables import Todo

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
