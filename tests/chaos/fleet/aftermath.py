"""How the world is after the troubles: rows, effects, files, bills. What `invariants` judge."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row
from sqlalchemy import make_url

from tests.chaos.fleet.effects import Effect, read_effects
from tests.services.model_server import ModelServer

Row = dict[str, Any]
_ROWS = {
    "runs": "SELECT * FROM run ORDER BY id",
    "todos": "SELECT * FROM todo ORDER BY id",
    "needs": "SELECT * FROM todo_need",
    "attempts": "SELECT * FROM attempt ORDER BY todo_id, fence",
    "events": "SELECT * FROM event ORDER BY run_id, seq",
    "evidence": "SELECT * FROM evidence ORDER BY todo_id, fence, number",
    "artifacts": "SELECT * FROM artifact",
    "outbox": "SELECT * FROM outbox",
    "calls": "SELECT * FROM model_call ORDER BY id",
    "budgets": "SELECT * FROM budget",
    "messages": "SELECT call_id, todo_id FROM message WHERE call_id IS NOT NULL",
}


@dataclass(frozen=True, slots=True)
class Billed:
    """A request as the model server has it: tokens of its reply, and whether that was sent to its end."""

    input: int
    cached: int
    written: int
    output: int
    whole: bool
    raw: bytes = field(default=b"", repr=False)

    @property
    def tokens(self) -> int:
        """Of all kinds."""
        return self.input + self.cached + self.written + self.output


@dataclass(frozen=True, slots=True)
class Promise:
    """What somebody asked for: the run of this name, and for each of its keys the ends it may have (state, reason).
    `cancelled`: by a person, so that any of it may end so."""

    ends: Mapping[str, frozenset[tuple[str, str | None]]]
    cancelled: bool = False


@dataclass(frozen=True)
class Aftermath:
    """See the module. `published` is by URL; `left` are processes, containers and directories that should be gone;
    `broken` are complaints of workers about themselves."""

    runs: list[Row] = field(default_factory=list[Row])
    todos: list[Row] = field(default_factory=list[Row])
    needs: list[Row] = field(default_factory=list[Row])
    attempts: list[Row] = field(default_factory=list[Row])
    events: list[Row] = field(default_factory=list[Row])
    evidence: list[Row] = field(default_factory=list[Row])
    artifacts: list[Row] = field(default_factory=list[Row])
    outbox: list[Row] = field(default_factory=list[Row])
    calls: list[Row] = field(default_factory=list[Row])
    budgets: list[Row] = field(default_factory=list[Row])
    messages: list[Row] = field(default_factory=list[Row])
    effects: list[Effect] = field(default_factory=list[Effect])
    published: dict[str, str] = field(default_factory=dict[str, str])
    billed: list[Billed] = field(default_factory=list[Billed])
    promises: dict[str, Promise] = field(default_factory=dict[str, Promise])
    left: list[str] = field(default_factory=list[str])
    broken: list[str] = field(default_factory=list[str])

    @cached_property
    def todo(self) -> dict[str, Row]:
        """By id."""
        return {row["id"]: row for row in self.todos}

    @cached_property
    def run(self) -> dict[str, Row]:
        """By id."""
        return {row["id"]: row for row in self.runs}

    @cached_property
    def attempts_of(self) -> Mapping[str, list[Row]]:
        """By TODO."""
        return grouped(self.attempts, "todo_id")

    def name(self, todo: str) -> str:
        """Of a TODO, for people."""
        row = self.todo.get(todo)
        return f"{self.run[row['run_id']]['name']}/{row['key']}" if row else f"(no TODO {todo})"

    def winner(self, todo: str) -> int | None:
        """The fence of the attempt that completed it."""
        won = [row["fence"] for row in self.attempts_of[todo] if row["outcome"] == "completed"]
        return won[-1] if won else None


def grouped(rows: Iterable[Row], key: str) -> Mapping[str, list[Row]]:
    """By the value of a column; none for what is not there."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[key]].append(row)
    return found


def query(url: str, sql: str, *values: object) -> list[Row]:
    """Rows, past the program."""
    conninfo = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(conninfo, autocommit=True, connect_timeout=10) as connection:
        return connection.cursor(row_factory=dict_row).execute(sql.encode(), values or None).fetchall()


def in_database(url: str) -> Aftermath:
    """What the rows say, and nothing else."""
    return Aftermath(**{name: query(url, sql) for name, sql in _ROWS.items()})  # pyright: ignore[reportArgumentType]


def look(
    url: str, log: Path, published: Path, server: ModelServer, promises: dict[str, Promise], left: Sequence[str],
    broken: Sequence[str],
) -> Aftermath:  # fmt: skip
    """Read everything."""
    lines = log.read_text().splitlines() if log.exists() else []
    files = {
        f"file://{path}": path.read_text()
        for path in published.rglob("*")
        if path.is_file() and ".atlas" not in path.parts and not path.name.startswith(".")
    }
    return replace(
        in_database(url), effects=read_effects(lines), published=files, billed=bills(server), promises=promises,
        left=[*left], broken=[*broken],
    )  # fmt: skip


def bills(server: ModelServer) -> list[Billed]:
    """What the server has answered, or begun to."""
    return [
        Billed(used.input, used.cached, used.written, asked.billed, asked.whole, asked.raw)
        for asked in server.asked
        if (used := asked.answer.usage) and asked.answer.status == 200 and asked.begun.is_set()
    ]
