"""The hot path's SQL in PostgreSQL's dialect, made once from the tables.

Writes take one JSON parameter: an array of objects whose keys are the positions of the columns, which keeps it short
and cannot be confused with a column's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, LiteralString, Protocol, cast

import psycopg
from sqlalchemy import Table, inspect
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlmodel import SQLModel

from state.agent_tables import BudgetRow, ModelCall
from state.commands import ClaimNext
from state.limits import ROOM_SECONDS
from state.loading import Row
from state.room import bounds
from state.statements import (
    BUDGET_COLUMNS,
    BUSY_LANES,
    CALL_COLUMNS,
    CLAIMABLE,
    CLAIMABLE_OF_RUN,
    CLAIMABLE_RUNS,
    DELETES,
    DESCENDANTS,
    FEW_RUNS,
    INSERTS,
    LANE_FREE,
    PUTS,
    QUESTION_COLUMNS,
    ROOM_FITS,
    RUN_COLUMNS,
    SINK_COLUMNS,
    TODO_COLUMNS,
    UPDATES,
    Delete,
    Insert,
    Put,
    Update,
    columns_of,
)
from state.tables import ANY_RUN, HAS_CLAIMABLE, Question, Run, Sink, Submission, Todo, TodoNeed
from state.work import encode

BEGUN = "SELECT extract(epoch FROM clock_timestamp())::float8, pg_current_xact_id()::text"
"""Seconds since the epoch, and the transaction's number, by which its fate can be asked after a lost connection."""
FATE = "SELECT pg_xact_status(%s::xid8)"
DELIVERED = "DELETE FROM outbox WHERE todo_id = ANY(%s::varchar[])"
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
CHANNEL = "atlas"
QUEUED = "queued"
"""Behind the sender in a notification: there is something to claim that was not there before."""
Connection = psycopg.Connection[Row]


def run_sql(connection: Connection, sql: str, values: Sequence[Any] | dict[str, Any] = ()) -> psycopg.Cursor[Row]:
    """Execute SQL of this module: made here from names, never from data."""
    return connection.execute(cast(LiteralString, sql), values)


def bulk(rows: Iterable[Row]) -> str:
    """Rows as the one JSON parameter."""
    return encode([dict(zip(_POSITIONS, row, strict=False)) for row in rows])


_POSITIONS = [str(position) for position in range(64)]


def _recordset(model: type[SQLModel], columns: Sequence[str]) -> str:
    types = [f'"{place}" {_type(model, name)}' for place, name in enumerate(columns)]
    return f"json_to_recordset(%s::json) AS new({', '.join(types)})"


def _type(model: type[SQLModel], column: str) -> str:
    table = cast(Table, inspect(model).local_table)
    return table.c[column].type.compile(dialect=PGDialect_psycopg())


def _insert(insert: Insert) -> str:
    table, names = columns_of(insert.model, insert.columns)
    values = ", ".join(f'"{position}"' for position in range(len(names)))
    ignore = " ON CONFLICT DO NOTHING" if insert.ignore else ""
    return f"INSERT INTO {table} ({', '.join(names)}) SELECT {values} FROM {_recordset(insert.model, insert.columns)}{ignore}"  # noqa: S608, E501


def _put(put: Put) -> str:
    columns = put.columns
    keys = ", ".join(columns_of(put.model, put.key)[1])
    table, names = columns_of(put.model, columns)
    grown = columns_of(put.model, (put.grows,))[1] if put.grows else ()
    sets = ", ".join(
        f"{name} = " + (f"greatest({table}.{name}, excluded.{name})" if name in grown else f"excluded.{name}")
        for name in names
    )
    return f"{_insert(Insert(put.model, columns))} ON CONFLICT ({keys}) DO UPDATE SET {sets}"


def _delete(delete: Delete) -> str:
    columns = (*delete.keys, delete.before) if delete.before else delete.keys
    table, names = columns_of(delete.model, columns)
    signs = ["="] * len(delete.keys) + ["<"]
    pairs = [
        f'{table}.{name} {sign} new."{place}"' for place, (name, sign) in enumerate(zip(names, signs, strict=False))
    ]
    source = _recordset(delete.model, columns)
    return f"DELETE FROM {table} USING {source} WHERE {' AND '.join(pairs)}{delete.condition}"  # noqa: S608


def _update(update: Update) -> str:
    """A guarded one takes the number of its rows besides, and fails, in words, when it misses one."""
    columns = (*update.columns, *update.keys)
    table, names = columns_of(update.model, columns)
    pairs = [f'{name} = new."{position}"' for position, name in enumerate(names)]
    sets, keys = pairs[: len(update.columns)], [f"{table}.{pair}" for pair in pairs[len(update.columns) :]]
    values = {name: f'new."{position}"' for position, name in enumerate(update.columns)}
    guard = [update.guard.format(**values)] if update.guard else []
    plain = f"UPDATE {table} SET {', '.join(sets)} FROM {_recordset(update.model, columns)} WHERE {' AND '.join([*keys, *guard])}"  # noqa: S608, E501
    if not guard:
        return plain
    words = f"({table!r} || ': ' || count(*) || ' row(s) only were as they had been read')::int"
    return f"WITH hit AS ({plain} RETURNING 1) SELECT CASE WHEN count(*) = %s::int THEN 0 ELSE {words} END FROM hit"  # noqa: S608


def _select(model: type[SQLModel], columns: Iterable[str], key: str, end: str = "") -> str:
    table, names = columns_of(model, (*columns, key))
    return f"SELECT {', '.join(names[:-1])} FROM {table} WHERE {names[-1]} = ANY(%s::varchar[]){end}"  # noqa: S608


INSERT_SQL = {name: _insert(insert) for name, insert in INSERTS.items()}
PUT_SQL = {name: _put(put) for name, put in PUTS.items()}
DELETE_SQL = {name: _delete(delete) for name, delete in DELETES.items()}
UPDATE_SQL = {name: _update(update) for name, update in UPDATES.items()}
_TODOS = _select(Todo, TODO_COLUMNS, "id", " ORDER BY id FOR UPDATE")
_RUNS = _select(Run, RUN_COLUMNS, "id", " ORDER BY id FOR UPDATE")
_AND_OF_TODOS = "ANY(%s::varchar[] || ARRAY(SELECT run_id FROM todo WHERE id = ANY(%s::varchar[])))"
_RUNS_OF = _RUNS.replace("ANY(%s::varchar[])", _AND_OF_TODOS)
_QUESTIONS = _select(Question, QUESTION_COLUMNS, "id")
_BUDGETS = _select(BudgetRow, BUDGET_COLUMNS, "run_id").replace("ANY(%s::varchar[])", _AND_OF_TODOS)
_CALLS = _select(ModelCall, CALL_COLUMNS, "id")
_CALLED_BY = _select(ModelCall, ("id", "run_id"), "id")
_SINKS = _select(Sink, SINK_COLUMNS, "name", " ORDER BY name FOR UPDATE")
_SUBMITTED = _select(Submission, ("key", "run_id"), "key")
_BUSY_LANES = f"{BUSY_LANES} = ANY(%s::varchar[])"
_ASKED_BY = _select(Question, ("id", "todo_id"), "id")
_DEPENDENTS = _select(TodoNeed, ("need_id", "todo_id", "answer"), "need_id")
_NEEDS = _select(TodoNeed, ("todo_id", "need_id", "answer"), "todo_id")
_DESCENDANTS = DESCENDANTS.format(roots="SELECT unnest(%s::varchar[])")
_ALL_OF_RUNS = _select(Todo, ("id",), "run_id")
_PENDING_QUESTIONS = _select(Question, ("id",), "run_id", " AND state = 'pending'")
_DOCUMENTS = (
    "SELECT todo.id, todo.document, run.provenance FROM todo JOIN run ON run.id = todo.run_id"
    " WHERE todo.id = ANY(%s::varchar[])"
)
_LABELS_FIT = (
    "(todo.labels IS NULL OR NOT EXISTS (SELECT 1 FROM json_array_elements_text(todo.labels::json) AS asked(value)"
    " WHERE asked.value <> ALL(%(labels)s::text[])))"
)
_NOW = "coalesce(%(now)s::float8, extract(epoch FROM now())::float8)"
"""When it is not known yet: the beginning of the transaction, which comes before the time that its decisions see."""
_ROOM_FITS = ROOM_FITS.format(
    cpus="%(cpus)s::float8",
    memory="%(memory)s::float8",
    all_cpus="%(all_cpus)s::float8",
    all_memory="%(all_memory)s::float8",
    waiting_since=f"{_NOW} - {ROOM_SECONDS}",
)
_CLAIMABLE_RUNS = CLAIMABLE_RUNS.format(
    runs="run", placement="%(placement)s", has_claimable=HAS_CLAIMABLE, limit="%(few)s::int",
    scope="(%(run)s::text IS NULL OR id = %(run)s::text)",
)  # fmt: skip
_CLAIMABLE_OF_RUN = CLAIMABLE_OF_RUN.format(
    run="few.id", now=_NOW, labels_fit=_LABELS_FIT, room_fits=_ROOM_FITS, lane_free=LANE_FREE,
    limit=f"CASE WHEN (SELECT count(*) FROM few) > {FEW_RUNS} THEN 0 ELSE least(few.free, %(limit)s::int) END",  # noqa: S608
)  # fmt: skip
_CLAIMABLE_OF_FEW = f"""
WITH few(id, free) AS MATERIALIZED ({_CLAIMABLE_RUNS} {{locks}})
SELECT found.id, found.run_id, (SELECT count(*) FROM few) FROM (VALUES (1)) AS one LEFT JOIN (
  SELECT found.id, few.id AS run_id, found.priority FROM few CROSS JOIN LATERAL
  ({_CLAIMABLE_OF_RUN} FOR UPDATE SKIP LOCKED) AS found
) AS found ON true ORDER BY found.priority DESC, found.id LIMIT greatest(%(limit)s::int, 1)
"""  # noqa: S608
CLAIMABLE_OF_FEW = _CLAIMABLE_OF_FEW.format(locks="")
"""(TODO, run, how many runs have any): once without a TODO when there is none, or when too many runs have some."""
CLAIMABLE_OF_FEW_UNLOCKED = _CLAIMABLE_OF_FEW.format(locks="FOR UPDATE SKIP LOCKED")
"""Of runs that nobody else has locked."""
CLAIMABLE_OF_MANY = CLAIMABLE.format(
    # Hidden from the planner, which else might look through the index of claimable runs, once for each TODO.
    # And no index leads from a run to its TODOs by this, so that the search begins with TODOs, whatever is known.
    ready="todo JOIN run ON run.id = todo.run_id || ''", any_run=ANY_RUN,
    has_claimable=f"coalesce({HAS_CLAIMABLE}, false)", placement="%(placement)s", now=_NOW,
    labels_fit=_LABELS_FIT, room_fits=_ROOM_FITS, limit="%(limit)s::int", lane_free=LANE_FREE,
)  # fmt: skip


def claiming(command: ClaimNext, now: float | None) -> dict[str, Any]:
    """Values of the statements that look for work."""
    return {
        "now": now, "placement": command.placement, "labels": sorted(command.labels), "run": command.run,
        "limit": max(command.limit, 0), "few": FEW_RUNS + 1, **bounds(command),
    }  # fmt: skip


class Asked(Protocol):
    """A connection: see `postgres_wire.Wire`."""

    def later(self, sql: str, values: Sequence[Any] = ()) -> Iterable[Row]: ...
    def rows(self, sql: str, values: Sequence[Any] | dict[str, Any] = ()) -> list[Row]: ...


class PostgresRows:
    """`loading.Rows` on a connection inside a transaction; what is asked for is sent when the first of its rows is
    looked at, together. Locks: TODOs by id, then runs by id, so that two transactions never wait for each other.
    ``first=False``: locks are held already, so nothing new is waited for where there is a choice, which is when looking
    for work. `begun`: the answer to `BEGUN`. `now`: in its place."""

    alone = False

    def __init__(self, wire: Asked, begun: Iterable[Row], now: float | None, *, first: bool) -> None:
        self._wire = wire
        self._begun = begun
        self._now = now
        self._first = first

    def now(self) -> float:
        return next(iter(self._begun))[0] if self._now is None else self._now

    def _by_key(self, sql: str, *ids: list[str]) -> Iterable[Row]:
        return self._wire.later(sql, ids)

    def todos(self, ids: list[str]) -> Iterable[Row]:
        return self._by_key(_TODOS, ids)

    def runs(self, ids: list[str], todos: list[str]) -> Iterable[Row]:
        return self._by_key(_RUNS_OF, ids, todos) if todos else self._by_key(_RUNS, ids)

    def questions(self, ids: list[str]) -> Iterable[Row]:
        return self._by_key(_QUESTIONS, ids)

    def asked_by(self, questions: list[str]) -> Iterable[Row]:
        return self._by_key(_ASKED_BY, questions)

    def dependents(self, needs: list[str]) -> Iterable[Row]:
        return self._by_key(_DEPENDENTS, needs)

    def needs(self, todos: list[str]) -> Iterable[Row]:
        return self._by_key(_NEEDS, todos)

    def descendants(self, roots: list[str]) -> Iterable[Row]:
        return self._by_key(_DESCENDANTS, roots)

    def unsettled(self, runs: list[str]) -> Iterable[Row]:
        """All of them: what is settled now may have been reopened by the time it is locked."""
        return self._by_key(_ALL_OF_RUNS, runs)

    def pending_questions(self, runs: list[str]) -> Iterable[Row]:
        return self._by_key(_PENDING_QUESTIONS, runs)

    def documents(self, todos: list[str]) -> Iterable[Row]:
        return self._by_key(_DOCUMENTS, todos)

    def budgets(self, runs: list[str], todos: list[str]) -> Iterable[Row]:
        return self._by_key(_BUDGETS, runs, todos)

    def called_by(self, calls: list[str]) -> Iterable[Row]:
        return self._by_key(_CALLED_BY, calls)

    def calls(self, ids: list[str]) -> Iterable[Row]:
        return self._by_key(_CALLS, ids)

    def submitted(self, keys: list[str]) -> Iterable[Row]:
        return self._by_key(_SUBMITTED, keys)

    def sinks(self, names: list[str]) -> Iterable[Row]:
        return self._by_key(_SINKS, names)

    def busy_lanes(self, runs: list[str]) -> Iterable[Row]:
        return self._by_key(_BUSY_LANES, runs)

    def claimable(self, command: ClaimNext) -> list[Row]:
        """Rows that others hold are theirs: skipped."""
        values = claiming(command, self._now if self._first else self.now())
        found = self._wire.rows(CLAIMABLE_OF_FEW if self._first else CLAIMABLE_OF_FEW_UNLOCKED, values)
        if found[0][2] <= FEW_RUNS:
            return [row[:2] for row in found if row[0] is not None][: max(command.limit, 0)]
        locks = " FOR UPDATE OF todo SKIP LOCKED" if self._first else " FOR UPDATE SKIP LOCKED"
        return self._wire.rows(CLAIMABLE_OF_MANY + locks, values)
