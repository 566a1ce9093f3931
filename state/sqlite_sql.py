"""The hot path's SQL in SQLite's dialect, made once from the tables."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from itertools import chain
from typing import Any

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

NOW = "(julianday('now') - 2440587.5) * 86400.0"
"""Seconds since the epoch, milliseconds exact: `unixepoch('subsec')` is younger than the SQLite we must run on."""


CHUNK = 16
"""Rows that one INSERT of many writes. The driver lets go of the interpreter at every statement and has to get it back
from the event loop: row by row costs twice as much. SQLite takes 999 values at least; the widest row has 30."""


def _insert(insert: Insert, rows: int = 1) -> str:
    table, names = columns_of(insert.model, insert.columns)
    verb = "INSERT OR IGNORE" if insert.ignore else "INSERT"
    row = f"({', '.join('?' * len(names))})"
    return f"{verb} INTO {table} ({', '.join(names)}) VALUES {', '.join([row] * rows)}"


def _put(put: Put) -> str:
    table, names = columns_of(put.model, put.columns)
    values = f"INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
    if put.grows is None:
        return f"INSERT OR REPLACE {values}"
    keys, column = ", ".join(put.key), put.grows
    return f"INSERT {values} ON CONFLICT ({keys}) DO UPDATE SET {column} = max({column}, excluded.{column})"


def _delete(delete: Delete) -> str:
    table, keys = columns_of(delete.model, delete.keys)
    conditions = [f"{key} = ?" for key in keys] + ([f"{delete.before} < ?"] if delete.before else [])
    return f"DELETE FROM {table} WHERE {' AND '.join(conditions)}{delete.condition}"  # noqa: S608


def _update(update: Update) -> str:
    table, names = columns_of(update.model, (*update.columns, *update.keys))
    marks = [f"?{number}" for number in range(1, len(names) + 1)]
    values = dict(zip(update.columns, marks, strict=False))
    pairs = [f"{name} = {mark}" for name, mark in zip(names, marks, strict=True)]
    sets, keys = pairs[: len(update.columns)], pairs[len(update.columns) :]
    guard = [update.guard.format(**values)] if update.guard else []
    return f"UPDATE {table} SET {', '.join(sets)} WHERE {' AND '.join([*keys, *guard])}"  # noqa: S608


def _select(model: type[Any], columns: Iterable[str], key: str, where: str = "") -> str:
    table, names = columns_of(model, (*columns, key))
    ids = "(SELECT value FROM json_each(?))"
    return f"SELECT {', '.join(names[:-1])} FROM {table} WHERE {names[-1]} IN {ids}{where}"  # noqa: S608


_INSERT_SQL = {name: _insert(insert) for name, insert in INSERTS.items()}
_INSERT_CHUNK_SQL = {name: _insert(insert, CHUNK) for name, insert in INSERTS.items()}
PUT_SQL = {name: _put(put) for name, put in PUTS.items()}
DELETE_SQL = {name: _delete(delete) for name, delete in DELETES.items()}
UPDATE_SQL = {name: _update(update) for name, update in UPDATES.items()}
DELIVERED = "DELETE FROM outbox WHERE todo_id IN (SELECT value FROM json_each(?))"
_TODOS = _select(Todo, TODO_COLUMNS, "id")
_RUNS = _select(Run, RUN_COLUMNS, "id")
_OF_TODOS = "SELECT run_id FROM todo WHERE id IN (SELECT value FROM json_each(?))"
_QUESTIONS = _select(Question, QUESTION_COLUMNS, "id")
_BUDGETS = _select(BudgetRow, BUDGET_COLUMNS, "run_id")
_CALLS = _select(ModelCall, CALL_COLUMNS, "id")
_CALLED_BY = _select(ModelCall, ("id", "run_id"), "id")
_SINKS = _select(Sink, SINK_COLUMNS, "name")
_SUBMITTED = _select(Submission, ("key", "run_id"), "key")
_BUSY_LANES = f"{BUSY_LANES} IN (SELECT value FROM json_each(?))"  # noqa: S608
_ASKED_BY = _select(Question, ("id", "todo_id"), "id")
_DEPENDENTS = _select(TodoNeed, ("need_id", "todo_id", "answer"), "need_id")
_NEEDS = _select(TodoNeed, ("todo_id", "need_id", "answer"), "todo_id")
_DESCENDANTS = DESCENDANTS.format(roots="SELECT value FROM json_each(?)")
_UNSETTLED = _select(
    Todo, ("id",), "run_id", " AND state IN ('pending','ready','in_progress','verifying','awaiting_input','blocked')"
)
_PENDING_QUESTIONS = _select(Question, ("id",), "run_id", " AND state = 'pending'")
_DOCUMENTS = (
    "SELECT todo.id, todo.document, run.provenance FROM todo JOIN run ON run.id = todo.run_id"
    " WHERE todo.id IN (SELECT value FROM json_each(?))"
)
_LABELS_FIT = (
    "(todo.labels IS NULL OR NOT EXISTS (SELECT 1 FROM json_each(todo.labels) AS asked"
    " WHERE asked.value NOT IN (SELECT value FROM json_each(:labels))))"
)
_ROOM_FITS = ROOM_FITS.format(
    cpus=":cpus",
    memory=":memory",
    all_cpus=":all_cpus",
    all_memory=":all_memory",
    waiting_since=f":now - {ROOM_SECONDS}",
)
# SQLite keeps no statistics unless asked to: left alone, it would walk all runs there ever were.
_CLAIMABLE_RUNS = {
    scope: CLAIMABLE_RUNS.format(
        runs="run INDEXED BY run_claimable", placement=":placement", has_claimable=HAS_CLAIMABLE, scope=sql,
        limit=":few",
    )
    for scope, sql in (("run", "id = :run"), ("all", "1=1"))
}  # fmt: skip
_CLAIMABLE_OF_RUN = CLAIMABLE_OF_RUN.format(
    run=":run", now=":now", labels_fit=_LABELS_FIT, room_fits=_ROOM_FITS, limit=":limit", lane_free=LANE_FREE
)
_CLAIMABLE = CLAIMABLE.format(
    ready="todo INDEXED BY todo_next CROSS JOIN run ON run.id = todo.run_id", any_run=ANY_RUN, placement=":placement",
    has_claimable=HAS_CLAIMABLE, now=":now", labels_fit=_LABELS_FIT, room_fits=_ROOM_FITS, limit=":limit",
    lane_free=LANE_FREE,
)  # fmt: skip


def insert_rows(connection: sqlite3.Connection, table: str, rows: list[Row]) -> None:
    """All of them, most in chunks."""
    whole = len(rows) - len(rows) % CHUNK
    if whole:
        chunks = [tuple(chain.from_iterable(rows[start : start + CHUNK])) for start in range(0, whole, CHUNK)]
        connection.executemany(_INSERT_CHUNK_SQL[table], chunks)
    if whole < len(rows):
        connection.executemany(_INSERT_SQL[table], rows[whole:])


def claiming(command: ClaimNext, now: float) -> dict[str, Any]:
    """Values of the statements that look for work."""
    return {
        "now": now, "placement": command.placement, "labels": encode(sorted(command.labels)), "run": command.run,
        "limit": max(command.limit, 0), "few": FEW_RUNS + 1, **bounds(command),
    }  # fmt: skip


class SqliteRows:
    """`loading.Rows` on a connection inside a write transaction, which locks everything."""

    alone = True

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.begun = 0.0
        """When the open transaction began."""

    def _by_key(self, sql: str, ids: list[str]) -> list[Row]:
        return self._connection.execute(sql, (encode(ids),)).fetchall()

    def _and_of(self, runs: list[str], todos: list[str]) -> list[str]:
        """These, and the runs of these TODOs."""
        return [*runs, *{row[0] for row in self._by_key(_OF_TODOS, todos)}] if todos else runs

    def now(self) -> float:
        return self.begun

    def todos(self, ids: list[str]) -> list[Row]:
        return self._by_key(_TODOS, ids)

    def runs(self, ids: list[str], todos: list[str]) -> list[Row]:
        return self._by_key(_RUNS, self._and_of(ids, todos))

    def questions(self, ids: list[str]) -> list[Row]:
        return self._by_key(_QUESTIONS, ids)

    def asked_by(self, questions: list[str]) -> list[Row]:
        return self._by_key(_ASKED_BY, questions)

    def dependents(self, needs: list[str]) -> list[Row]:
        return self._by_key(_DEPENDENTS, needs)

    def needs(self, todos: list[str]) -> list[Row]:
        return self._by_key(_NEEDS, todos)

    def descendants(self, roots: list[str]) -> list[Row]:
        return self._by_key(_DESCENDANTS, roots)

    def unsettled(self, runs: list[str]) -> list[Row]:
        return self._by_key(_UNSETTLED, runs)

    def pending_questions(self, runs: list[str]) -> list[Row]:
        return self._by_key(_PENDING_QUESTIONS, runs)

    def documents(self, todos: list[str]) -> list[Row]:
        return self._by_key(_DOCUMENTS, todos)

    def budgets(self, runs: list[str], todos: list[str]) -> list[Row]:
        return self._by_key(_BUDGETS, self._and_of(runs, todos))

    def called_by(self, calls: list[str]) -> list[Row]:
        return self._by_key(_CALLED_BY, calls)

    def calls(self, ids: list[str]) -> list[Row]:
        return self._by_key(_CALLS, ids)

    def submitted(self, keys: list[str]) -> list[Row]:
        return self._by_key(_SUBMITTED, keys)

    def sinks(self, names: list[str]) -> list[Row]:
        return self._by_key(_SINKS, names)

    def busy_lanes(self, runs: list[str]) -> list[Row]:
        return self._by_key(_BUSY_LANES, runs)

    def claimable(self, command: ClaimNext) -> list[Row]:
        execute = self._connection.execute
        values = claiming(command, self.begun)
        runs = execute(_CLAIMABLE_RUNS["run" if command.run else "all"], values).fetchall()
        if len(runs) > FEW_RUNS:
            return execute(_CLAIMABLE, values).fetchall()
        found: list[Row] = []
        for run, free in runs:
            values |= {"run": run, "limit": min(max(command.limit, 0), free)}
            found += [(id, run, priority) for id, priority in execute(_CLAIMABLE_OF_RUN, values)]
        found.sort(key=lambda row: (-row[2], row[0]))
        return [row[:2] for row in found[: max(command.limit, 0)]]
