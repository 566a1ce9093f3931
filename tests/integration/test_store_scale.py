"""The hot path finds its rows by index, however many there are: no statement of it reads a whole table."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from state import postgres_sql, sqlite_sql
from state.commands import Claimed, ClaimedMany, ClaimNext, Command, Complete, Outcome
from state.migrations import upgrade_sqlite
from state.postgres import PostgresStore
from state.postgres_writer import SETTINGS
from state.records import QUEUE, new_id
from state.sqlite_writer import SqliteWriter
from state.statements import FEW_RUNS, UPDATES
from state.tables import Run
from state.turnstile import Turnstile
from tests.contract.store_world import proof, submission, task
from tests.services.postgres import clear, statement


class Explained:
    """A connection that notes the plan of everything that is executed."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.plans: dict[str, list[str]] = {}

    def execute(self, sql: str, values: object = ()) -> sqlite3.Cursor:
        rows = self._connection.execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall()  # type: ignore[arg-type]
        self.plans[sql] = [row[3] for row in rows]
        return self._connection.execute(sql, values)  # type: ignore[arg-type]


def _scans(plan: list[str]) -> list[str]:
    """What reads everything; the ids that are asked for and what is behind them are all read, of course."""
    allowed = ("SCAN json_each", "SCAN asked", "SCAN behind", "SCAN todo USING INDEX todo_next", "SCAN CONSTANT ROW")
    return [step for step in plan if step.startswith("SCAN") and not step.startswith(allowed)]


def test_no_read_of_the_hot_path_scans_a_table(tmp_path: Path) -> None:
    upgrade_sqlite(tmp_path / "atlas.db")
    with sqlite3.connect(tmp_path / "atlas.db") as plain:
        connection = Explained(plain)
        rows = sqlite_sql.SqliteRows(connection)  # type: ignore[arg-type]
        for read in (
            rows.todos, rows.questions, rows.asked_by, rows.dependents, rows.needs, rows.descendants,
            rows.unsettled, rows.pending_questions, rows.documents,
        ):  # fmt: skip
            read(["a", "b"])
        rows.runs(["a", "b"], ["c", "d"])
        rows.budgets(["a", "b"], ["c", "d"])
        rows.claimable(ClaimNext("w", QUEUE, 4))
        rows.claimable(ClaimNext("w", QUEUE, 4, run="r"))
        for sql in (sqlite_sql._CLAIMABLE, sqlite_sql._CLAIMABLE_OF_RUN):  # pyright: ignore[reportPrivateUsage]
            connection.execute(sql, sqlite_sql.claiming(ClaimNext("w", QUEUE, 1, run="r"), 0.0))
        for name, sql in sqlite_sql.UPDATE_SQL.items():
            connection.execute(sql, [None] * (len(UPDATES[name].columns) + len(UPDATES[name].keys)))
    plain.close()
    assert {sql: scans for sql, plan in connection.plans.items() if (scans := _scans(plan))} == {}
    claiming = [" ".join(plan) for sql, plan in connection.plans.items() if "FROM run" in sql and "n_ready" in sql]
    assert claiming
    assert all("run_claimable" in plan or "todo_next" in plan or "(id=?)" in plan for plan in claiming)


class ExplainedPostgres:
    """As `Explained`, with the settings of the writing connection: plans for any values."""

    def __init__(self, connection: psycopg.Connection[tuple[str, ...]]) -> None:
        self._connection = connection
        self.plans: dict[str, str] = {}

    def execute(self, sql: str, values: object = ()) -> psycopg.Cursor[tuple[str, ...]]:
        unnamed = count(1)
        asked, names = re.subn(r"%s", lambda _: f"${next(unnamed)}", sql)
        named = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", sql)))
        for number, name in enumerate(named, 1):
            asked = asked.replace(f"%({name})s", f"${number}")
        self._connection.execute(f"PREPARE asked AS {asked}".encode())
        nulls = ", ".join(["NULL"] * (len(named) or names))
        plan = self._connection.execute(f"EXPLAIN EXECUTE asked{f'({nulls})' if nulls else ''}".encode()).fetchall()
        self._connection.execute(b"DEALLOCATE asked")
        self.plans[sql] = "\n".join(row[0] for row in plan)
        return self._connection.execute(sql, values)  # type: ignore[arg-type]

    def rows(self, sql: str, values: object = ()) -> list[tuple[str, ...]]:
        return self.execute(sql, values).fetchall()

    later = rows


async def _fill(url: str, runs: int, todos: int) -> None:
    store = PostgresStore(url)
    for _ in range(runs):
        await store.apply([submission(*(task(f"a{n:03}") for n in range(todos)))])
    await store.close()
    statement(url, "ANALYZE")


async def _known_while_empty(url: str) -> None:
    """What the planner knows of a queue that was full once: a moment later, it may be full again."""
    await _fill(url, 1, 500)
    clear(url)
    statement(url, "ANALYZE")


async def _known_before(url: str) -> None:
    """What it knows of the rows of tables of whose size it knows nothing."""
    await _fill(url, 40, 3)
    statement(url, f"TRUNCATE {', '.join(each.name for each in Run.metadata.sorted_tables)}")


async def _unknown(url: str) -> None:
    await _known_before(url)
    statement(url, "DELETE FROM pg_statistic")


@pytest.mark.postgres
@pytest.mark.parametrize("prepare", [_unknown, _known_before, _known_while_empty])
async def test_no_statement_of_the_hot_path_scans_a_postgresql_table(
    prepare: Callable[[str], Awaitable[None]], postgres_database: str
) -> None:
    await prepare(postgres_database)
    conninfo = make_url(postgres_database).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(conninfo) as plain:
        for name, value in SETTINGS.items():
            plain.execute("SELECT set_config(%s, %s, false)", (name, value))
        connection = ExplainedPostgres(plain)
        for first in (True, False):
            rows = postgres_sql.PostgresRows(connection, [(0.0, "1")], None, first=first)
            for read in (
                rows.todos, rows.questions, rows.asked_by, rows.dependents, rows.needs, rows.descendants,
                rows.unsettled, rows.pending_questions, rows.documents,
            ):  # fmt: skip
                read(["a", "b"])
            for and_of in (rows.runs, rows.budgets):
                and_of(["a", "b"], ["c", "d"])
            rows.runs(["a", "b"], [])
            rows.claimable(ClaimNext("w", QUEUE, 4))
        for name, sql in postgres_sql.UPDATE_SQL.items():
            row = (None,) * (len(UPDATES[name].columns) + len(UPDATES[name].keys))
            connection.execute(
                sql, (postgres_sql.bulk([row]), 0) if UPDATES[name].guard else (postgres_sql.bulk([row]),)
            )
        for now in (None, 0.0):
            claiming = postgres_sql.claiming(ClaimNext("w", QUEUE, 4), now)
            assert connection.execute(postgres_sql.CLAIMABLE_OF_FEW, claiming).fetchall() == [(None, None, 0)]
            assert connection.execute(postgres_sql.CLAIMABLE_OF_MANY, claiming).fetchall() == []
    assert {sql: plan for sql, plan in connection.plans.items() if "Seq Scan" in plan} == {}
    few, many = (connection.plans[sql] for sql in (postgres_sql.CLAIMABLE_OF_FEW, postgres_sql.CLAIMABLE_OF_MANY))
    for used, plan in (("using todo_ready on todo", few), ("using todo_next on todo", many), ("using run_pkey", many)):
        assert used in plan, f"whatever is known of the tables: {plan}"
    assert "Sort" not in many


class Engine:
    """The writer without its thread: what a transaction costs is the time of this thread."""

    def __init__(self, path: Path) -> None:
        upgrade_sqlite(path)
        self._turnstile = Turnstile(path)
        self._writer = SqliteWriter(path, self._turnstile, lambda: None, now=None, new_id=new_id, busy=60.0)
        self._writer.open()

    def apply(self, *commands: Command) -> list[Outcome]:
        return self._writer.transact(commands)

    def close(self) -> None:
        self._writer.close()
        self._turnstile.close()


def _fan(path: Path, size: int) -> float:
    """CPU seconds for a TODO of a fan, taken by workers that look for work after everything they complete."""
    engine = Engine(path)
    todos = [task(f"a{n:05}") for n in range(size)]
    engine.apply(submission(*todos, concurrency=8))
    start = time.process_time()
    done = 0
    owned: list[Claimed] = []
    while done < size:
        completed = [Complete(claim.todo, claim.fence, [proof()]) for claim in owned]
        done += len(completed)
        *_, taken, nothing = engine.apply(*completed, ClaimNext("w", QUEUE, 100), ClaimNext("w", QUEUE, 100))
        assert isinstance(taken, ClaimedMany)
        assert isinstance(nothing, ClaimedMany)
        assert not nothing.claims
        owned = taken.claims
    engine.close()
    return (time.process_time() - start) / size


def test_looking_for_work_costs_the_same_in_a_big_run(tmp_path: Path) -> None:
    small = _fan(tmp_path / "small.db", 300)
    assert _fan(tmp_path / "large.db", 6_000) <= 3.0 * small


def _queue(path: Path, size: int) -> float:
    """CPU seconds for a TODO of many runs of one, taken four at a time."""
    engine = Engine(path)
    for start in range(0, size, 300):
        names = [f"r{n:06}" for n in range(start, min(start + 300, size))]
        engine.apply(*(submission(task("a", run=name), run=name) for name in names))
    begin = time.process_time()
    for _ in range(50):
        (taken,) = engine.apply(ClaimNext("w", QUEUE, 4))
        assert isinstance(taken, ClaimedMany)
        assert len(taken.claims) == 4
    used = time.process_time() - begin
    engine.close()
    return used


@pytest.mark.parametrize("size", [20 * FEW_RUNS])
def test_looking_for_work_costs_the_same_in_a_long_queue(tmp_path: Path, size: int) -> None:
    small = _queue(tmp_path / "small.db", 5 * FEW_RUNS)
    assert _queue(tmp_path / "large.db", 4 * size) <= 3.0 * small
