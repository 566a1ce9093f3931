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

from state.access_tables import AuditRow, TokenRow
from state.agent_tables import (
    AgentRow,
    BudgetRow,
    CheckpointRow,
    CheckpointWriteRow,
    CommitRow,
    MessageRow,
    ModelCall,
    NoteRow,
    ToolCallRow,
)
from state.tables import (
    ArtifactRow,
    Attempt,
    Cursor,
    Event,
    EvidenceRow,
    Outbox,
    Plan,
    Question,
    Run,
    Sink,
    Submission,
    Todo,
    TodoNeed,
    Worker,
)
from state.work import COUNTED

TODO_COLUMNS = (
    "id", "run_id", "key", "kind", "state", "reason", "detail", "fence", "attempt", "crash_count", "epoch",
    "unmet_needs", "owner", "not_before", "deadline", "timeout", "labels", "lane", "ask", "answer", "started_at",
    "ended_at", "cpus", "memory", "ready_at",
)  # fmt: skip
COUNTERS = tuple(f"n_{state}" for state in COUNTED)
RUN_COLUMNS = (
    "id", "placement", "concurrency", "held", "cancelled", "budget_exhausted", "state", "reason", "last_event",
    "ended_at", "head", "planning", "worked", "since", *COUNTERS,
)  # fmt: skip
QUESTION_COLUMNS = (
    "id", "run_id", "todo_id", "epoch", "key", "text", "choices", "state", "answer", "answered_by", "expires_at",
    "asked_at", "answered_at",
)  # fmt: skip
BUDGET_COLUMNS = (
    "run_id", "tokens_limit", "nano_limit", "seconds_limit", "tokens", "cached", "nano", "tokens_held", "nano_held",
    "tokens_withheld", "nano_withheld", "calls", "warned",
)  # fmt: skip
CALL_COLUMNS = (
    "id", "run_id", "todo_id", "state", "reserved_tokens", "reserved_nano", "input", "cached", "written", "output",
    "nano", "estimated",
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


@dataclass(frozen=True, slots=True)
class Put:
    """Rows of `columns` into `table`, in the place of what has their key. `grows`: a column that keeps the greater of
    the two values."""

    model: type[SQLModel]
    columns: tuple[str, ...]
    grows: str | None = None

    @property
    def key(self) -> tuple[str, ...]:
        """The primary key."""
        return tuple(column.name for column in cast(Table, inspect(self.model).local_table).primary_key)


@dataclass(frozen=True, slots=True)
class Delete:
    """Rows where `keys` match, and `before`, if there is one, is smaller; row values come in that order. `newer`: only
    where there is a row of that table with a greater `id` in the same thread and namespace."""

    model: type[SQLModel]
    keys: tuple[str, ...]
    before: str | None = None
    newer: type[SQLModel] | None = None

    @property
    def condition(self) -> str:
        """More SQL that must hold; empty when nothing more must."""
        if self.newer is None:
            return ""
        table, other = (cast(Table, inspect(model).local_table).name for model in (self.model, self.newer))
        return (
            f" AND EXISTS (SELECT 1 FROM {other} AS newer WHERE newer.thread = {table}.thread"  # noqa: S608
            f" AND newer.ns = {table}.ns AND newer.id > {table}.id)"
        )


INSERTS: dict[str, Insert] = {
    "run": Insert(
        Run,
        (
            "id", "name", "goal", "placement", "concurrency", "provenance", "source", "spec", "state", "reason", "held",
            "cancelled", "budget_exhausted", "head", "planning", "worked", "since", "last_event",
            *COUNTERS, "created_at", "updated_at", "ended_at",
        ),
    ),
    "submission": Insert(Submission, ("key", "run_id", "at")),
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
    "worker": Insert(Worker, ("id", "host", "pid", "labels", "cpus", "memory", "started_at")),
    "event": Insert(Event, ("run_id", "seq", "at", "type", "todo_id", "data")),
    "outbox": Insert(Outbox, ("todo_id", "at"), ignore=True),
    "budget": Insert(BudgetRow, BUDGET_COLUMNS),
    "model_call": Insert(
        ModelCall,
        (
            "id", "run_id", "todo_id", "epoch", "attempt", "fence", "role", "model", "state", "reserved_tokens",
            "reserved_nano", "input", "cached", "written", "output", "nano", "estimated", "at",
        ),
    ),
    "message": Insert(
        MessageRow,
        ("todo_id", "epoch", "attempt", "talk", "seq", "role", "speaker", "blocks", "stop", "call_id", "at"),
        ignore=True,
    ),
    "note": Insert(NoteRow, ("id", "run_id", "todo_id", "kind", "text", "author", "at")),
    "commit_pack": Insert(CommitRow, ("run_id", "oid", "base", "digest", "size", "at"), ignore=True),
    "checkpoint_write": Insert(
        CheckpointWriteRow, ("thread", "ns", "id", "task", "idx", "path", "channel", "type", "value"), ignore=True
    ),
    "token": Insert(
        TokenRow,
        ("name", "kind", "digest", "scope", "trusted", "parent", "made_at", "made_by", "expires_at"),
        ignore=True,
    ),
    "audit": Insert(AuditRow, ("id", "at", "who", "act", "subject", "outcome", "detail")),
}  # fmt: skip
"""In an order that respects references."""

SINK_COLUMNS = ("name", "owner", "until", "since")
PUTS: dict[str, Put] = {
    "sink": Put(Sink, SINK_COLUMNS),
    "cursor": Put(Cursor, ("sink", "run_id", "seq"), grows="seq"),
    "tool_call": Put(
        ToolCallRow,
        (
            "todo_id", "epoch", "attempt", "talk", "seq", "number", "call", "name", "arguments", "fence", "state",
            "result", "digest", "snapshot", "at",
        ),
    ),
    "agent": Put(
        AgentRow,
        (
            "todo_id", "epoch", "attempt", "continuations", "fruitless", "credit", "consultations", "errors", "turns",
            "tool_calls", "tokens", "seconds", "checklist", "base", "snapshot", "outcome",
        ),
    ),
    "checkpoint": Put(CheckpointRow, ("thread", "ns", "id", "parent", "fence", "type", "body", "meta")),
    "checkpoint_write": Put(
        CheckpointWriteRow, ("thread", "ns", "id", "task", "idx", "path", "channel", "type", "value")
    ),
}  # fmt: skip

DELETES: dict[str, Delete] = {
    "need": Delete(TodoNeed, ("need_id", "todo_id")),
    "old_checkpoints": Delete(CheckpointRow, ("thread", "ns"), before="id"),
    "old_checkpoint_writes": Delete(CheckpointWriteRow, ("thread", "ns"), before="id"),
    "superseded_checkpoint_writes": Delete(CheckpointWriteRow, ("thread",), newer=CheckpointRow),
    "superseded_checkpoints": Delete(CheckpointRow, ("thread",), newer=CheckpointRow),
    "whole_checkpoint_writes": Delete(CheckpointWriteRow, ("thread",)),
    "whole_checkpoints": Delete(CheckpointRow, ("thread",)),
    "ended_sessions": Delete(TokenRow, ("kind",), before="expires_at"),
}

UPDATES: dict[str, Update] = {
    "todo": Update(
        Todo,
        (
            "state", "reason", "detail", "fence", "attempt", "crash_count", "epoch", "unmet_needs", "owner",
            "not_before", "deadline", "answer", "started_at", "ended_at", "ready_at",
        ),
        ("id", "fence"),
        guard="(ended_at IS NULL OR state = {state} OR epoch < {epoch})",  # what has ended stays so in its epoch
    ),
    "run": Update(
        Run,
        (
            "placement", "held", "cancelled", "budget_exhausted", "head", "planning", "worked", "since", "state",
            "reason", "last_event", *COUNTERS, "updated_at", "ended_at",
        ),
        ("id", "last_event"),
        guard="1=1",
    ),
    "question": Update(Question, ("state", "answer", "answered_by", "answered_at"), ("id",)),
    "attempt_ended": Update(Attempt, ("ended_at", "outcome", "reason", "detail"), ("todo_id", "fence")),
    "published": Update(ArtifactRow, ("published_at",), ("todo_id", "fence", "internal")),
    "worker_ended": Update(Worker, ("ended_at",), ("id",)),
    "token_revoked": Update(TokenRow, ("revoked_at", "revoked_by"), ("name",)),
    "sessions_revoked": Update(TokenRow, ("revoked_at", "revoked_by"), ("parent",)),
    "budget": Update(BudgetRow, BUDGET_COLUMNS[1:], ("run_id",)),
    "call_settled": Update(
        ModelCall, ("state", "input", "cached", "written", "output", "nano", "estimated", "ended_at"), ("id",)
    ),
}  # fmt: skip

LANE_FREE = (
    "(todo.lane IS NULL OR NOT EXISTS (SELECT 1 FROM todo AS other WHERE other.run_id = todo.run_id"
    " AND other.lane = todo.lane AND other.owner IS NOT NULL))"
)
ROOM_FITS = """(
  (todo.cpus IS NULL OR todo.cpus <= {cpus}) AND (todo.memory IS NULL OR todo.memory <= {memory})
  OR todo.ready_at <= {waiting_since}
    AND (todo.cpus IS NULL OR todo.cpus <= {all_cpus}) AND (todo.memory IS NULL OR todo.memory <= {all_memory})
)"""
"""What there is room for, and what has waited so long that room is kept for it."""
BUSY_LANES = "SELECT run_id, lane FROM todo WHERE lane IS NOT NULL AND owner IS NOT NULL AND run_id"
FEW_RUNS = 64
"""Up to so many claimable runs are looked at one by one, so that none hides behind the crowd of another."""
CLAIMABLE_RUNS = """
SELECT id, concurrency - n_in_progress - n_verifying FROM {runs}
WHERE placement = {placement} AND {has_claimable} AND {scope} ORDER BY id LIMIT {limit}
"""
"""(run, how many more of its TODOs may be in progress), from an index that holds such runs only."""
CLAIMABLE_OF_RUN = """
SELECT todo.id, todo.priority FROM todo
WHERE todo.run_id = {run} AND todo.state = 'ready' AND todo.not_before <= {now} AND {labels_fit} AND {room_fits}
  AND {lane_free}
ORDER BY todo.priority DESC, todo.id LIMIT {limit}
"""
CLAIMABLE = """
SELECT todo.id, todo.run_id FROM {ready}
WHERE todo.state = 'ready' AND todo.{any_run} AND todo.not_before <= {now} AND {labels_fit} AND {room_fits}
  AND {lane_free} AND run.placement = {placement} AND {has_claimable}
ORDER BY todo.priority DESC, todo.id LIMIT {limit}
"""
"""Among many runs: along the index of what is ready."""
DESCENDANTS = """
WITH RECURSIVE behind(id) AS (
  {roots} UNION SELECT todo_need.todo_id FROM todo_need JOIN behind ON todo_need.need_id = behind.id
) SELECT id FROM behind
"""
