"""A database of the version before, with runs in the middle of their lives, goes on in this one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import create_engine, inspect, text
from sqlmodel import SQLModel

from state.agent_commands import Remember, ReserveCall, Said
from state.commands import BeginVerifying, Complete
from state.errors import StoreError
from state.migrations import configuration, upgrade, upgrade_sqlite
from state.ports import Store
from state.sqlite import SqliteStore
from tests.contract.store_world import START, Dump, FakeClock, World, counted, gate, proof, task, todo_id

NEW_TABLES = {
    "agent", "budget", "checkpoint", "checkpoint_write", "commit_pack", "message", "model_call", "note", "tool_call",
}  # fmt: skip
NEW_COLUMNS = {
    "run": {"head", "planning", "worked", "since"}, "question": {"key"},
    "todo": {"lane", "cpus", "memory", "ready_at"}, "worker": {"cpus", "memory"},
}  # fmt: skip


async def half_lived(open_store: Callable[[FakeClock], Store]) -> Dump:
    """Nothing in it that the version before could not have written."""
    store = open_store(FakeClock())
    world = World(store, FakeClock())
    await world.submit(
        task("done"), task("working", "done"), gate("asks", "done"), task("last", "working", "asks"), task("waits")
    )
    await world.finish("done")
    claim = await world.claim("working")
    await world.done(BeginVerifying(claim.todo, claim.fence))
    await world.submit(task("broken", run="other"), task("behind", "broken", run="other"), run="other")
    await world.fail("broken", run="other")
    found = await world.dump()
    await store.close()
    assert all(not found[table] for table in NEW_TABLES)
    return as_upgraded(found)


def as_upgraded(found: Dump) -> Dump:
    """Since when a TODO is ready is not told of those that are not."""
    columns = [column.name for column in SQLModel.metadata.tables["todo"].columns]
    rows = [dict(zip(columns, row, strict=True)) for row in found["todo"]]
    assert [row["ready_at"] for row in rows if row["state"] == "ready"] == [START]
    todos = [tuple((row | {"ready_at": row["state"] == "ready"}).values()) for row in rows]
    return found | {"todo": todos}


async def goes_on(open_store: Callable[[FakeClock], Store], before: Dump) -> None:
    """With old commands and new ones."""
    store = open_store(FakeClock())
    world = World(store, FakeClock())
    assert as_upgraded(await world.dump()) == before
    working = todo_id("working")
    await world.done(ReserveCall("call", working, 1, "hephaestus", "model", 1, 1))
    await world.done(Remember(working, 1, said=[Said(0, 0, "user", "hephaestus", '"go on"')]))
    await world.done(Complete(working, 1, [proof()], head=(None, "c1")))
    await world.answer("asks", "yes")
    await world.finish("last")
    await world.finish("waits")
    run = await world.run()
    assert (run.state, run.head) == ("completed", "c1")
    assert (await world.run("other")).state == "failed"
    await store.close()


def take_back(url: str) -> None:
    """To the version before."""
    command.downgrade(configuration(url), "0001")
    engine = create_engine(url)
    seen = inspect(engine)
    assert NEW_TABLES.isdisjoint(seen.get_table_names())
    for table, columns in NEW_COLUMNS.items():
        assert columns.isdisjoint(each["name"] for each in seen.get_columns(table))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM todo")).scalar() == 7
    engine.dispose()


async def test_a_sqlite_file_is_upgraded_when_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "atlas.db"
    upgrade_sqlite(path)
    ids = counted("q")

    def open_store(clock: FakeClock) -> Store:
        return SqliteStore(path, now=clock, ids=ids)

    before = await half_lived(open_store)
    take_back(f"sqlite:///{path}")
    await goes_on(open_store, before)


@pytest.mark.postgres
async def test_a_postgresql_database_is_upgraded_when_it_is_asked_for(postgres_database: str) -> None:
    from state.postgres import PostgresStore

    ids = counted("q")

    def open_store(clock: FakeClock) -> Store:
        return PostgresStore(postgres_database, now=clock, ids=ids)

    before = await half_lived(open_store)
    take_back(postgres_database)
    with pytest.raises(StoreError, match="atlas db upgrade"):
        open_store(FakeClock())
    upgrade(postgres_database)
    await goes_on(open_store, before)
