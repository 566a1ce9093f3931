"""What sweepers look for. Every worker does, once a second or more often, and mostly finds nothing: what is due is read
in one look, by statements that are put together once."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import BindParameter, bindparam, literal_column, select
from sqlmodel import Session

from state.agent_tables import BudgetRow, ModelCall
from state.frequent import table
from state.limits import PAGE
from state.reading import now
from state.tables import ArtifactRow, Outbox, Question, Run, Todo

_TODO, _RUN, _QUESTION, _OUTBOX = (table(each).c for each in (Todo, Run, Question, Outbox))
_CALL, _BUDGET, _ARTIFACT = (table(each).c for each in (ModelCall, BudgetRow, ArtifactRow))
_NOW: BindParameter[float] = bindparam("now")

_OWNERS = select(_TODO.owner).where(_TODO.owner.is_not(None)).distinct()
_OWNED = select(_TODO.id, _TODO.fence, _TODO.attempt, _TODO.document)
_OWNED_BY = _OWNED.where(_TODO.owner == bindparam("owner"))
_OVERDUE = _OWNED.where(_TODO.owner.is_not(None), _TODO.deadline < _NOW)
# not a parameter: an index has only those that are pending
_EXPIRED = select(_QUESTION.id).where(_QUESTION.state == literal_column("'pending'"), _QUESTION.expires_at <= _NOW)
_LOST = (
    select(_CALL.id)
    .join_from(table(ModelCall), table(Todo), _TODO.id == _CALL.todo_id)
    .where(_CALL.state == literal_column("'reserved'"), _TODO.owner.is_(None) | (_TODO.fence > _CALL.fence))
    .limit(PAGE)
)
_OUT_OF_TIME = (
    select(_RUN.id)
    .join_from(table(Run), table(BudgetRow), _BUDGET.run_id == _RUN.id)
    .where(_RUN.since.is_not(None), _RUN.worked + _NOW - _RUN.since >= _BUDGET.seconds_limit)
    .where(_RUN.budget_exhausted.is_(False))
    .limit(PAGE)
)
_LOCAL = select(_RUN.id, _RUN.placement).where(
    _RUN.ended_at.is_(None), _RUN.placement.startswith("local:"), _RUN.held.is_(False),
    _RUN.budget_exhausted.is_(False), _RUN.n_ready + _RUN.n_in_progress + _RUN.n_verifying > 0,
)  # fmt: skip
_STALE = select(_OUTBOX.todo_id).where(_OUTBOX.at < _NOW - bindparam("seconds")).limit(PAGE)
_UNPUBLISHED = select(_ARTIFACT.todo_id).where(_ARTIFACT.published_at.is_(None)).limit(1)


@dataclass(slots=True)
class Owned:
    """A TODO that some worker owns."""

    todo: str
    fence: int
    attempt: int
    document: str


@dataclass(slots=True)
class Due:
    """What the clock, or somebody's death, has decided: TODOs past their deadline, questions that nobody answered in
    time, model calls whose TODO nobody works on any more under the fence that they were made under, and runs that were
    in progress for as long as their budget allows."""

    overdue: list[Owned]
    expired: list[str]
    lost_calls: list[str]
    out_of_time: list[str]


def due(session: Session) -> Due:
    """By the database's clock."""
    connection, values = session.connection(), {"now": now(session)}
    return Due(
        [Owned(*row) for row in connection.execute(_OVERDUE, values)],
        [row[0] for row in connection.execute(_EXPIRED, values)],
        [row[0] for row in connection.execute(_LOST)],
        [row[0] for row in connection.execute(_OUT_OF_TIME, values)],
    )


def owners(session: Session) -> list[str]:
    """Boot ids that own TODOs."""
    return [row[0] for row in session.connection().execute(_OWNERS)]


def owned_by(session: Session, owner: str) -> list[Owned]:
    """What this worker owns."""
    return [Owned(*row) for row in session.connection().execute(_OWNED_BY, {"owner": owner})]


def local_runs(session: Session) -> list[tuple[str, str]]:
    """(run, boot id) of runs that belong to one process, with work left that it should be doing."""
    return [(id, place.removeprefix("local:")) for id, place in session.connection().execute(_LOCAL)]


def stale_wake_ups(session: Session, seconds: float) -> list[str]:
    """TODOs whose wake-up nobody has confirmed for so long."""
    values = {"now": now(session), "seconds": seconds}
    return [row[0] for row in session.connection().execute(_STALE, values)]


def anything_unpublished(session: Session) -> bool:
    """Whether there are outputs whose canonical copy is not known to exist."""
    return session.connection().execute(_UNPUBLISHED).first() is not None
