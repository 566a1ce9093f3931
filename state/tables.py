"""The tables (design §4): one definition for migrations, typed reads and the SQL of the hot path.

Times are seconds since the Unix epoch by the database's clock. JSON is text: only programs read it.
"""

from __future__ import annotations

# pyright: reportIncompatibleVariableOverride=false
# SQLModel declares `__tablename__` as a property of its metaclass; a plain string is its documented use.
from typing import ClassVar

from sqlalchemy import BigInteger, Column, Float, Index, Text, false, text
from sqlmodel import Field, SQLModel

HAS_CLAIMABLE = (
    "n_ready > 0 AND NOT held AND NOT cancelled AND NOT budget_exhausted AND concurrency > n_in_progress + n_verifying"
)
"""Of a run: a worker that fits may take a TODO of it now. Alike in the index and in the queries that use it; and with
a column to the left of each comparison, as SQLite turns others around and then finds no likeness."""
ANY_RUN = "fence >= 0"
"""Of a TODO, always true. Only the query over all runs says it, and so may use the index `todo_next`: for a planner
that knows nothing of a table yet, that would be as good for the TODOs of one run as `todo_ready`."""
_WITHOUT_ROWID = {"sqlite_with_rowid": False}


def _text() -> Column[str]:
    return Column(Text, nullable=False)


class Run(SQLModel, table=True):
    """One submitted plan. `state` is derived from the counters and the three flags in the same transaction. `head` is
    the newest commit of its branch; None: still the pinned one. `planning`: its plan is still being made. `worked`
    seconds it was in progress, until `since`, when it was not yet or again."""

    __tablename__: ClassVar[str] = "run"
    __table_args__ = (
        Index("run_by_name", "name"),
        Index(
            "run_open", "placement", sqlite_where=text("ended_at IS NULL"), postgresql_where=text("ended_at IS NULL")
        ),
        Index(
            "run_ended",
            "ended_at",
            sqlite_where=text("ended_at IS NOT NULL"),
            postgresql_where=text("ended_at IS NOT NULL"),
        ),
        Index(
            "run_claimable",
            "placement",
            "id",
            sqlite_where=text(HAS_CLAIMABLE),
            postgresql_where=text(HAS_CLAIMABLE),
        ),
    )

    id: str = Field(primary_key=True)
    name: str = Field(sa_column=_text())
    goal: str | None = Field(default=None, sa_column=Column(Text))
    placement: str = Field(sa_column=_text())
    concurrency: int
    provenance: str
    source: str
    spec: str = Field(sa_column=_text())
    state: str
    reason: str | None = None
    held: bool = False
    cancelled: bool = False
    budget_exhausted: bool = False
    head: str | None = None
    planning: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    worked: float = Field(default=0.0, sa_type=Float, sa_column_kwargs={"server_default": "0"})
    since: float | None = Field(default=None, sa_type=Float)
    last_event: int = 0
    n_pending: int = 0
    n_ready: int = 0
    n_in_progress: int = 0
    n_verifying: int = 0
    n_awaiting_input: int = 0
    n_blocked: int = 0
    n_completed: int = 0
    n_failed: int = 0
    n_cancelled: int = 0
    n_skipped: int = 0
    n_not_applicable: int = 0
    created_at: float = Field(sa_type=Float)
    updated_at: float = Field(sa_type=Float)
    ended_at: float | None = Field(default=None, sa_type=Float)


class Plan(SQLModel, table=True):
    """A run's document, by revision: canonical JSON and its SHA-256."""

    __tablename__: ClassVar[str] = "plan"

    run_id: str = Field(primary_key=True, foreign_key="run.id")
    revision: int = Field(primary_key=True)
    hash: str
    document: str = Field(sa_column=_text())
    author: str
    at: float = Field(sa_type=Float)


class Todo(SQLModel, table=True):
    """One thing to get done. Owned by `owner` (a boot id) while in progress or verifying, under `fence`. It asks for
    `cpus` cores and `memory` bytes of its worker; None: for no more than a place. `ready_at`: when it became ready, or
    is to be looked at again, last."""

    __tablename__: ClassVar[str] = "todo"
    __table_args__ = (
        Index("todo_by_key", "run_id", "key", unique=True),
        Index("todo_by_position", "run_id", "position"),
        Index(
            "todo_ready",
            "run_id",
            text("priority DESC"),
            "id",
            sqlite_where=text("state = 'ready'"),
            postgresql_where=text("state = 'ready'"),
        ),
        Index(
            "todo_next",
            text("priority DESC"),
            "id",
            sqlite_where=text(f"state = 'ready' AND {ANY_RUN}"),
            postgresql_where=text(f"state = 'ready' AND {ANY_RUN}"),
        ),
        Index(
            "todo_lane",
            "run_id",
            "lane",
            sqlite_where=text("lane IS NOT NULL AND owner IS NOT NULL"),
            postgresql_where=text("lane IS NOT NULL AND owner IS NOT NULL"),
        ),
        Index(
            "todo_owned",
            "owner",
            sqlite_where=text("owner IS NOT NULL"),
            postgresql_where=text("owner IS NOT NULL"),
        ),
    )

    id: str = Field(primary_key=True)
    run_id: str = Field(foreign_key="run.id")
    key: str
    position: int
    title: str = Field(sa_column=_text())
    kind: str
    state: str
    reason: str | None = None
    detail: str | None = Field(default=None, sa_column=Column(Text))
    fence: int = 0
    attempt: int = 0
    crash_count: int = 0
    epoch: int = 0
    unmet_needs: int = 0
    owner: str | None = None
    not_before: float = Field(default=0.0, sa_type=Float)
    deadline: float | None = Field(default=None, sa_type=Float)
    timeout: float = Field(sa_type=Float)
    priority: int = 0
    labels: str | None = None
    lane: str | None = None
    cpus: float | None = Field(default=None, sa_type=Float)
    memory: int | None = Field(default=None, sa_type=BigInteger)
    ready_at: float | None = Field(default=None, sa_type=Float)
    ask: str | None = Field(default=None, sa_column=Column(Text))
    answer: str | None = Field(default=None, sa_column=Column(Text))
    document: str = Field(sa_column=_text())
    started_at: float | None = Field(default=None, sa_type=Float)
    ended_at: float | None = Field(default=None, sa_type=Float)


class TodoNeed(SQLModel, table=True):
    """`todo_id` waits for `need_id`; with `answer`, for that answer of a gate."""

    __tablename__: ClassVar[str] = "todo_need"
    __table_args__ = (Index("need_of_todo", "todo_id"), _WITHOUT_ROWID)

    need_id: str = Field(primary_key=True)
    todo_id: str = Field(primary_key=True)
    answer: str | None = None


class Attempt(SQLModel, table=True):
    """One claim and what became of it."""

    __tablename__: ClassVar[str] = "attempt"
    __table_args__ = (_WITHOUT_ROWID,)

    todo_id: str = Field(primary_key=True)
    fence: int = Field(primary_key=True)
    epoch: int
    attempt: int
    worker: str
    started_at: float = Field(sa_type=Float)
    ended_at: float | None = Field(default=None, sa_type=Float)
    outcome: str | None = None
    reason: str | None = None
    detail: str | None = Field(default=None, sa_column=Column(Text))


class EvidenceRow(SQLModel, table=True):
    """See `state.records.Evidence`; `number` counts the items of one attempt."""

    __tablename__: ClassVar[str] = "evidence"

    todo_id: str = Field(primary_key=True)
    fence: int = Field(primary_key=True)
    number: int = Field(primary_key=True)
    epoch: int
    attempt: int
    subject: str
    item: str = Field(sa_column=_text())
    item_hash: str
    passed: bool
    command: str | None = Field(default=None, sa_column=Column(Text))
    exit_code: int | None = None
    output_tail: str = Field(sa_column=_text())
    digest: str
    verifier: str
    seconds: float = Field(sa_type=Float)
    at: float = Field(sa_type=Float)


class ArtifactRow(SQLModel, table=True):
    """The manifest: see `state.records.Output`. `published_at` is set when the canonical copy exists."""

    __tablename__: ClassVar[str] = "artifact"
    __table_args__ = (
        Index("artifact_by_remote", "run_id", "remote"),
        Index(
            "artifact_unpublished",
            "run_id",
            sqlite_where=text("published_at IS NULL"),
            postgresql_where=text("published_at IS NULL"),
        ),
    )

    todo_id: str = Field(primary_key=True)
    fence: int = Field(primary_key=True)
    internal: str = Field(primary_key=True)
    run_id: str
    remote: str = Field(sa_column=_text())
    staged: str = Field(sa_column=_text())
    digest: str
    size: int = Field(sa_type=BigInteger)
    tree: bool
    listing: str | None = Field(default=None, sa_column=Column(Text))
    at: float = Field(sa_type=Float)
    published_at: float | None = Field(default=None, sa_type=Float)


class Question(SQLModel, table=True):
    """A person is asked, by a gate or (with the `key` of its call) a role. `answer` stays None when it expires: expired
    is never "no"."""

    __tablename__: ClassVar[str] = "question"
    __table_args__ = (
        Index(
            "question_pending",
            "expires_at",
            sqlite_where=text("state = 'pending'"),
            postgresql_where=text("state = 'pending'"),
        ),
        Index("question_of_todo", "todo_id"),
        Index("question_of_run", "run_id"),
    )

    id: str = Field(primary_key=True)
    run_id: str
    todo_id: str
    epoch: int
    key: str | None = None
    text: str = Field(sa_column=_text())
    choices: str = Field(sa_column=_text())
    state: str
    answer: str | None = Field(default=None, sa_column=Column(Text))
    answered_by: str | None = None
    expires_at: float | None = Field(default=None, sa_type=Float)
    asked_at: float = Field(sa_type=Float)
    answered_at: float | None = Field(default=None, sa_type=Float)


class Event(SQLModel, table=True):
    """Dense per run: a reader that saw `seq` n has seen all below n."""

    __tablename__: ClassVar[str] = "event"
    __table_args__ = (_WITHOUT_ROWID,)

    run_id: str = Field(primary_key=True)
    seq: int = Field(primary_key=True)
    at: float = Field(sa_type=Float)
    type: str
    todo_id: str | None = None
    data: str = Field(sa_column=_text())


class Submission(SQLModel, table=True):
    """What may be submitted once only, and the run that it became; `key` is a digest of what names it."""

    __tablename__: ClassVar[str] = "submission"

    key: str = Field(primary_key=True)
    run_id: str = Field(foreign_key="run.id")
    at: float = Field(sa_type=Float)


class Outbox(SQLModel, table=True):
    """A wake-up that the broker has not confirmed yet."""

    __tablename__: ClassVar[str] = "outbox"

    todo_id: str = Field(primary_key=True)
    at: float = Field(sa_type=Float)


class Sink(SQLModel, table=True):
    """Somebody who is told what happens: see `orchestrator.sinks`. The worker that tells it has it until `until`; what
    ended before `since` has been told."""

    __tablename__: ClassVar[str] = "sink"

    name: str = Field(primary_key=True)
    owner: str
    until: float = Field(sa_type=Float)
    since: float = Field(sa_type=Float)


class Cursor(SQLModel, table=True):
    """How far a sink has been told of a run: up to the event `seq`."""

    __tablename__: ClassVar[str] = "cursor"

    sink: str = Field(primary_key=True)
    run_id: str = Field(primary_key=True)
    seq: int


class Worker(SQLModel, table=True):
    """A process that claims TODOs; `id` is its boot id. `cpus` and `memory` (bytes) are what it has; None: no bound."""

    __tablename__: ClassVar[str] = "worker"

    id: str = Field(primary_key=True)
    host: str
    pid: int
    labels: str
    cpus: float | None = Field(default=None, sa_type=Float)
    memory: int | None = Field(default=None, sa_type=BigInteger)
    started_at: float = Field(sa_type=Float)
    ended_at: float | None = Field(default=None, sa_type=Float)


class Lease(SQLModel, table=True):
    """A worker's, on PostgreSQL: see `state.postgres_liveness`. `lock` is the advisory lock that it holds, `server` the
    start of the server that it took it from. (Beside SQLite it is a file.)"""

    __tablename__: ClassVar[str] = "lease"

    boot: str = Field(primary_key=True)
    lock: int = Field(sa_type=BigInteger)
    until: float = Field(sa_type=Float)
    server: float = Field(sa_type=Float)


__all__ = [
    "ArtifactRow", "Attempt", "Cursor", "Event", "EvidenceRow", "Lease", "Outbox", "Plan", "Question", "Run", "Sink",
    "Submission", "Todo", "TodoNeed", "Worker",
]  # fmt: skip
