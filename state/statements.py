"""The SQL of the hot path, described once over the tables and compiled once per engine.

Reads are by key; writes are inserts and keyed updates. An engine turns `INSERTS` and `UPDATES` into its own bulk form
(`executemany`, or one JSON parameter). A column that no longer exists fails here, at import of the engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from sqlalchemy import Table, inspect
from sqlmodel import SQLModel

from state.tables import (
    ArtifactRow,
    Attempt,
    Event,
    EvidenceRow,
    Outbox,
    Plan,
    Question,
    Run,
    Todo,
    TodoNeed,
    Worker,
)
from state.work import COUNTED

TODO_COLUMNS = (
    "id", "run_id", "key", "kind", "state", "reason", "detail", "fence", "attempt", "crash_count", "epoch",
    "unmet_needs", "owner", "not_before", "deadline", "timeout", "labels", "ask", "answer", "started_at", "ended_at",
)  # fmt: skip
COUNTERS = tuple(f"n_{state}" for state in COUNTED)
RUN_COLUMNS = (
    "id", "placement", "concurrency", "held", "cancelled", "budget_exhausted", "state", "reason", "last_event",
    "ended_at", *COUNTERS,
)  # fmt: skip
QUESTION_COLUMNS = (
    "id", "run_id", "todo_id", "epoch", "text", "choices", "state", "answer", "answered_by", "expires_at", "asked_at",
    "answered_at",
)  # fmt: skip


def columns_of(model: type[SQLModel], names: Sequence[str]) -> tuple[str, list[str]]:
    """(table, quoted column names); a column that does not exist is a `KeyError` here, not in the field."""
    table = cast(Table, inspect(model).local_table)
    return table.name, [f'"{table.c[name].name}"' for name in names]


@dataclass(frozen=True, slots=True)
class Insert:
    """Rows of `columns` into `table`; ``ignore`` leaves a row that is there already as it is."""

    model: type[SQLModel]
    columns: tuple[str, ...]
    ignore: bool = False


@dataclass(frozen=True, slots=True)
class Update:
    """Set `columns` where `keys` match; row values come in that order. `guard` is extra SQL over the row as it is, with
    values of `columns` as ``{name}``. A guarded update that misses a row is a defect and undoes the transaction."""

    model: type[SQLModel]
    columns: tuple[str, ...]
    keys: tuple[str, ...]
    guard: str = ""


INSERTS: dict[str, Insert] = {
    "run": Insert(
        Run,
        (
            "id", "name", "goal", "placement", "concurrency", "provenance", "source", "spec", "state", "reason", "held",
            "cancelled", "budget_exhausted", "last_event", *COUNTERS, "created_at", "updated_at", "ended_at",
        ),
    ),
    "plan": Insert(Plan, ("run_id", "revision", "hash", "document", "author", "at")),
    "todo": Insert(Todo, (*TODO_COLUMNS, "position", "title", "priority", "document")),
    "todo_need": Insert(TodoNeed, ("need_id", "todo_id", "answer")),
    "attempt": Insert(Attempt, ("todo_id", "fence", "epoch", "attempt", "worker", "started_at")),
    "evidence": Insert(
        EvidenceRow,
        (
            "todo_id", "fence", "number", "epoch", "attempt", "subject", "item", "item_hash", "passed", "command",
            "exit_code", "output_tail", "digest", "verifier", "seconds", "at",
        ),
    ),
    "artifact": Insert(
        ArtifactRow,
        (
            "todo_id", "fence", "internal", "run_id", "remote", "staged", "digest", "size", "tree", "listing", "at",
        ),
    ),
    "question": Insert(Question, QUESTION_COLUMNS),
    "worker": Insert(Worker, ("id", "host", "pid", "labels", "started_at")),
    "event": Insert(Event, ("run_id", "seq", "at", "type", "todo_id", "data")),
    "outbox": Insert(Outbox, ("todo_id", "at"), ignore=True),
}  # fmt: skip
"""In an order that respects references."""

UPDATES: dict[str, Update] = {
    "todo": Update(
        Todo,
        (
            "state", "reason", "detail", "fence", "attempt", "crash_count", "epoch", "unmet_needs", "owner",
            "not_before", "deadline", "answer", "started_at", "ended_at",
        ),
        ("id", "fence"),
        guard="(ended_at IS NULL OR state = {state} OR epoch < {epoch})",  # what has ended stays so in its epoch
    ),
    "run": Update(
        Run,
        (
            "placement", "held", "cancelled", "budget_exhausted", "state", "reason", "last_event", *COUNTERS,
            "updated_at", "ended_at",
        ),
        ("id", "last_event"),
        guard="1=1",
    ),
    "question": Update(Question, ("state", "answer", "answered_by", "answered_at"), ("id",)),
    "attempt_ended": Update(Attempt, ("ended_at", "outcome", "reason", "detail"), ("todo_id", "fence")),
    "published": Update(ArtifactRow, ("published_at",), ("todo_id", "internal")),
    "worker_ended": Update(Worker, ("ended_at",), ("id",)),
}  # fmt: skip

FEW_RUNS = 64
"""Up to so many claimable runs are looked at one by one, so that none hides behind the crowd of another."""
CLAIMABLE_RUNS = """
SELECT id, concurrency - n_in_progress - n_verifying FROM {runs}
WHERE placement = {placement} AND {has_claimable} AND {scope} ORDER BY id LIMIT {limit}
"""
"""(run, how many more of its TODOs may be in progress), from an index that holds such runs only."""
CLAIMABLE_OF_RUN = """
SELECT todo.id, todo.priority FROM todo
WHERE todo.run_id = {run} AND todo.state = 'ready' AND todo.not_before <= {now} AND {labels_fit}
ORDER BY todo.priority DESC, todo.id LIMIT {limit}
"""
CLAIMABLE = """
SELECT todo.id FROM {ready} ON run.id = todo.run_id
WHERE todo.state = 'ready' AND todo.not_before <= {now} AND {labels_fit}
  AND run.placement = {placement} AND {has_claimable}
ORDER BY todo.priority DESC, todo.id LIMIT {limit}
"""
"""Among many runs: along the index of what is ready."""
DESCENDANTS = """
WITH RECURSIVE behind(id) AS (
  {roots} UNION SELECT todo_need.todo_id FROM todo_need JOIN behind ON todo_need.need_id = behind.id
) SELECT id FROM behind
"""
