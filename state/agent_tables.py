"""What roles leave behind (design §4, §5): conversations, calls of models and tools, checkpoints, notes, spend.

Everything that belongs to an attempt is keyed by (TODO, epoch, attempt): a takeover goes on with the same attempt under
another fence, and finds it there. Money is counted in nano-dollars (10⁻⁹ USD), so that sums are exact.
"""

from __future__ import annotations

# pyright: reportIncompatibleVariableOverride=false
# SQLModel declares `__tablename__` as a property of its metaclass; a plain string is its documented use.
from typing import ClassVar

from sqlalchemy import BigInteger, Column, Float, Index, Text, text
from sqlmodel import Field, SQLModel

_WITHOUT_ROWID = {"sqlite_with_rowid": False}


def _text() -> Column[str]:
    return Column(Text, nullable=False)


class BudgetRow(SQLModel, table=True):
    """What a run may use up and has used. ``held`` is reserved by calls in flight; ``withheld`` is what calls whose
    cost is only estimated may have used beyond the estimate: it never comes back, so that the limit holds whatever they
    did."""

    __tablename__: ClassVar[str] = "budget"

    run_id: str = Field(primary_key=True)
    tokens_limit: int | None = Field(default=None, sa_type=BigInteger)
    nano_limit: int | None = Field(default=None, sa_type=BigInteger)
    seconds_limit: float | None = Field(default=None, sa_type=Float)
    tokens: int = Field(default=0, sa_type=BigInteger)
    cached: int = Field(default=0, sa_type=BigInteger)
    nano: int = Field(default=0, sa_type=BigInteger)
    tokens_held: int = Field(default=0, sa_type=BigInteger)
    nano_held: int = Field(default=0, sa_type=BigInteger)
    tokens_withheld: int = Field(default=0, sa_type=BigInteger)
    nano_withheld: int = Field(default=0, sa_type=BigInteger)
    calls: int = 0
    warned: bool = False


class ModelCall(SQLModel, table=True):
    """The ledger: one call of a model. `state`: ``reserved``, then how it ended. Tokens by kind as in
    `roles.models.port.Usage`."""

    __tablename__: ClassVar[str] = "model_call"
    __table_args__ = (
        Index(
            "model_call_open",
            "todo_id",
            sqlite_where=text("state = 'reserved'"),
            postgresql_where=text("state = 'reserved'"),
        ),
        Index("model_call_of_run", "run_id"),
    )

    id: str = Field(primary_key=True)
    run_id: str
    todo_id: str
    epoch: int
    attempt: int
    fence: int
    role: str
    model: str
    state: str
    reserved_tokens: int = Field(sa_type=BigInteger)
    reserved_nano: int = Field(sa_type=BigInteger)
    input: int = Field(default=0, sa_type=BigInteger)
    cached: int = Field(default=0, sa_type=BigInteger)
    written: int = Field(default=0, sa_type=BigInteger)
    output: int = Field(default=0, sa_type=BigInteger)
    nano: int = Field(default=0, sa_type=BigInteger)
    estimated: bool = False
    at: float = Field(sa_type=Float)
    ended_at: float | None = Field(default=None, sa_type=Float)


class MessageRow(SQLModel, table=True):
    """One turn of a conversation (`talk` counts an attempt's). `blocks` is JSON; `call_id` is the model call it came
    from."""

    __tablename__: ClassVar[str] = "message"
    __table_args__ = (_WITHOUT_ROWID,)

    todo_id: str = Field(primary_key=True)
    epoch: int = Field(primary_key=True)
    attempt: int = Field(primary_key=True)
    talk: int = Field(primary_key=True)
    seq: int = Field(primary_key=True)
    role: str
    speaker: str
    blocks: str = Field(sa_column=_text())
    stop: str | None = None
    call_id: str | None = None
    at: float = Field(sa_type=Float)


class ToolCallRow(SQLModel, table=True):
    """A tool that the message (talk, seq) wants called, `number` among its calls. `state`: ``intent``, then ``done``,
    ``failed`` or ``unknown`` (its worker died; whether it had an effect can't be known). `snapshot` is the commit of
    the working tree after it; `digest` is of (name, arguments, result)."""

    __tablename__: ClassVar[str] = "tool_call"
    __table_args__ = (_WITHOUT_ROWID,)

    todo_id: str = Field(primary_key=True)
    epoch: int = Field(primary_key=True)
    attempt: int = Field(primary_key=True)
    talk: int = Field(primary_key=True)
    seq: int = Field(primary_key=True)
    number: int = Field(primary_key=True)
    call: str = Field(sa_column=_text())
    name: str = Field(sa_column=_text())
    arguments: str = Field(sa_column=_text())
    fence: int
    state: str
    result: str | None = Field(default=None, sa_column=Column(Text))
    digest: str | None = None
    snapshot: str | None = None
    at: float = Field(sa_type=Float)


class AgentRow(SQLModel, table=True):
    """Where an attempt of a role stands: the enforcer's counters, what was spent, the checklist, the working tree."""

    __tablename__: ClassVar[str] = "agent"
    __table_args__ = (_WITHOUT_ROWID,)

    todo_id: str = Field(primary_key=True)
    epoch: int = Field(primary_key=True)
    attempt: int = Field(primary_key=True)
    continuations: int = 0
    fruitless: int = 0
    credit: int = 0
    consultations: int = 0
    errors: int = 0
    turns: int = 0
    tool_calls: int = 0
    tokens: int = Field(default=0, sa_type=BigInteger)
    seconds: float = Field(default=0.0, sa_type=Float)
    checklist: str | None = Field(default=None, sa_column=Column(Text))
    base: str | None = None
    snapshot: str | None = None
    outcome: str | None = Field(default=None, sa_column=Column(Text))


class CheckpointRow(SQLModel, table=True):
    """A LangGraph checkpoint; `body` is base64 of its serializer's bytes, `meta` is JSON."""

    __tablename__: ClassVar[str] = "checkpoint"
    __table_args__ = (_WITHOUT_ROWID,)

    thread: str = Field(primary_key=True)
    ns: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    parent: str | None = None
    fence: int
    type: str
    body: str = Field(sa_column=_text())
    meta: str = Field(sa_column=_text())


class CheckpointWriteRow(SQLModel, table=True):
    """A write of a task on top of a checkpoint; `value` is base64."""

    __tablename__: ClassVar[str] = "checkpoint_write"
    __table_args__ = (_WITHOUT_ROWID,)

    thread: str = Field(primary_key=True)
    ns: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    task: str = Field(primary_key=True)
    idx: int = Field(primary_key=True)
    path: str = Field(sa_column=_text())
    channel: str
    type: str
    value: str = Field(sa_column=_text())


class CommitRow(SQLModel, table=True):
    """A commit of a run's repository: the artifact `digest` has what `oid` has and `base` has not."""

    __tablename__: ClassVar[str] = "commit_pack"
    __table_args__ = (_WITHOUT_ROWID,)

    run_id: str = Field(primary_key=True)
    oid: str = Field(primary_key=True)
    base: str = Field(primary_key=True)
    digest: str
    size: int = Field(sa_type=BigInteger)
    at: float = Field(sa_type=Float)


class NoteRow(SQLModel, table=True):
    """What was learned: `kind` is learning, decision, issue or problem."""

    __tablename__: ClassVar[str] = "note"
    __table_args__ = (Index("note_of_run", "run_id"),)

    id: str = Field(primary_key=True)
    run_id: str
    todo_id: str
    kind: str
    text: str = Field(sa_column=_text())
    author: str
    at: float = Field(sa_type=Float)


__all__ = [
    "AgentRow", "BudgetRow", "CheckpointRow", "CheckpointWriteRow", "CommitRow", "MessageRow", "ModelCall", "NoteRow",
    "ToolCallRow",
]  # fmt: skip
