"""Reads for people and for sweepers: functions over a session, for `Store.read`. Nothing here writes."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Sequence
from typing import TypeVar

from sqlalchemy import ColumnElement, false, func, literal, text
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from state.errors import Ambiguous, NotFound
from state.limits import PAGE
from state.room import BOUNDLESS, Room
from state.tables import (
    ArtifactRow,
    Attempt,
    Event,
    EvidenceRow,
    Lease,
    Plan,
    Question,
    Run,
    Sink,
    Todo,
    TodoNeed,
    Worker,
)

T = TypeVar("T")
_CANDIDATES = 10
_PART = 4
"""The shortest part of an id that names it."""

# --- finding what a person named -----------------------------------------------------------------------------------


def _part_of_id(id: str, reference: str) -> ColumnElement[bool]:
    """Its beginning, or its end: UUIDv7s made together begin alike, so lists show how they end."""
    if len(reference) < _PART:
        return false()
    column = col(id)
    return column.startswith(reference, autoescape=True) | column.endswith(reference, autoescape=True)


def find_run(session: Session, reference: str) -> Run:
    """By id, by name (the newest of that name), by a unique part of an id, or ``last``."""
    newest = select(Run).order_by(col(Run.id).desc()).limit(1)
    if reference == "last":
        run = session.exec(newest).first()
        if run is None:
            raise NotFound("there are no runs yet", "Start one with `atlas run plan.yaml`.")
        return run
    run = session.get(Run, reference) or session.exec(newest.where(Run.name == reference)).first()
    if run:
        return run
    fits = _part_of_id(Run.id, reference)
    found = session.exec(select(Run).where(fits).limit(_CANDIDATES)).all()
    return _one("run", reference, [(run.id, run) for run in found], "`atlas runs` lists them.")


def find_todo(session: Session, run: str, reference: str) -> Todo:
    """By key, by id, or by a unique beginning of a key."""
    todo = session.exec(select(Todo).where(Todo.run_id == run, Todo.key == reference)).first()
    todo = todo or session.exec(select(Todo).where(Todo.run_id == run, Todo.id == reference)).first()
    if todo:
        return todo
    begins = col(Todo.key).startswith(reference, autoescape=True)
    found = session.exec(select(Todo).where(Todo.run_id == run, begins).limit(_CANDIDATES)).all()
    return _one("TODO", reference, [(todo.key, todo) for todo in found], f"`atlas todos {run[-8:]}` lists them.")


def find_question(session: Session, reference: str) -> Question:
    """By id, by a unique part of one, or by the key of a gate: its question that is pending, else the newest."""
    if question := session.get(Question, reference):
        return question
    fits = _part_of_id(Question.id, reference)
    found = session.exec(select(Question).where(fits).limit(_CANDIDATES)).all()
    if not found:
        gate = col(Question.todo_id).in_(select(Todo.id).where(Todo.key == reference))
        found = session.exec(select(Question).where(gate, Question.state == "pending").limit(_CANDIDATES)).all()
        if not found:
            found = session.exec(select(Question).where(gate).order_by(col(Question.id).desc()).limit(1)).all()
    return _one("question", reference, [(question.id, question) for question in found], "`atlas questions` lists them.")


def _one(what: str, reference: str, found: Sequence[tuple[str, T]], hint: str) -> T:
    if not found:
        raise NotFound(f"no {what} {reference!r}", hint)
    if len(found) > 1:
        raise Ambiguous(f"{reference!r} fits several {what}s: {', '.join(name for name, _ in found)}", hint)
    return found[0][1]


# --- what faces show -----------------------------------------------------------------------------------------------


def runs(session: Session, limit: int = 50, before: str | None = None, *, going_on: bool = False) -> Sequence[Run]:
    """Newest first; `before` is the last id of the page before. `going_on`: only those that have not ended."""
    query = select(Run).order_by(col(Run.id).desc()).limit(min(limit, PAGE + 1))
    query = query.where(col(Run.ended_at).is_(None)) if going_on else query
    return session.exec(query.where(col(Run.id) < before) if before else query).all()


def todos(session: Session, run: str) -> Sequence[Todo]:
    """A run's TODOs in the order of its plan."""
    return session.exec(select(Todo).where(Todo.run_id == run).order_by(col(Todo.position))).all()


def todo_page(session: Session, run: str, after: int, limit: int) -> Sequence[Todo]:
    """Those behind this position in the plan."""
    query = select(Todo).where(Todo.run_id == run, col(Todo.position) > after)
    return session.exec(query.order_by(col(Todo.position)).limit(min(limit, PAGE + 1))).all()


def todos_in(session: Session, run: str, states: Sequence[str], limit: int) -> Sequence[Todo]:
    """Those in one of these states, in the order of the plan."""
    query = select(Todo).where(Todo.run_id == run, col(Todo.state).in_(states))
    return session.exec(query.order_by(col(Todo.position)).limit(limit)).all()


def needs_of(session: Session, todos: Sequence[str]) -> dict[str, list[tuple[str, str | None]]]:
    """TODO id -> [(need's key, wanted answer)], of these TODOs."""
    query = select(TodoNeed, Todo.key).join(Todo, col(Todo.id) == col(TodoNeed.need_id))
    found: dict[str, list[tuple[str, str | None]]] = defaultdict(list)
    for row, key in session.exec(query.where(col(TodoNeed.todo_id).in_(todos))):
        found[row.todo_id].append((key, row.answer))
    return found


def needs(session: Session, run: str) -> dict[str, list[tuple[str, str | None]]]:
    """TODO id -> [(need's id, wanted answer)]"""
    query = select(TodoNeed).join(Todo, col(Todo.id) == col(TodoNeed.todo_id)).where(Todo.run_id == run)
    found: dict[str, list[tuple[str, str | None]]] = defaultdict(list)
    for row in session.exec(query):
        found[row.todo_id].append((row.need_id, row.answer))
    return found


def plan(session: Session, run: str) -> Plan:
    """The newest revision."""
    query = select(Plan).where(Plan.run_id == run).order_by(col(Plan.revision).desc()).limit(1)
    return session.exec(query).one()


def first_plan(session: Session, run: str) -> Plan:
    """What was submitted."""
    query = select(Plan).where(Plan.run_id == run).order_by(col(Plan.revision)).limit(1)
    return session.exec(query).one()


def attempts(session: Session, todo: str) -> Sequence[Attempt]:
    """Oldest first."""
    return session.exec(select(Attempt).where(Attempt.todo_id == todo).order_by(col(Attempt.fence))).all()


def evidence(session: Session, todo: str) -> Sequence[EvidenceRow]:
    """Oldest attempt first, items in order."""
    order = (col(EvidenceRow.fence), col(EvidenceRow.number))
    return session.exec(select(EvidenceRow).where(EvidenceRow.todo_id == todo).order_by(*order)).all()


def artifacts(session: Session, todo: str) -> Sequence[ArtifactRow]:
    """The manifest of a TODO's outputs: of the attempt that ended it, the last one if it was retried."""
    query = select(ArtifactRow).where(ArtifactRow.todo_id == todo, _of_the_last_attempt())
    return session.exec(query.order_by(col(ArtifactRow.internal))).all()


def _of_the_last_attempt() -> ColumnElement[bool]:
    other = aliased(ArtifactRow)
    newest = select(func.max(other.fence)).where(other.todo_id == ArtifactRow.todo_id).scalar_subquery()
    return col(ArtifactRow.fence) == newest


def questions(session: Session, run: str | None = None, *, pending: bool = True) -> Sequence[Question]:
    """Oldest first."""
    query = select(Question).order_by(col(Question.id)).limit(PAGE)
    if run:
        query = query.where(Question.run_id == run)
    return session.exec(query.where(Question.state == "pending") if pending else query).all()


def questions_of(session: Session, todo: str) -> Sequence[Question]:
    """All that a TODO ever asked, oldest first."""
    return session.exec(select(Question).where(Question.todo_id == todo).order_by(col(Question.id)).limit(PAGE)).all()


def events(session: Session, run: str, after: int, limit: int = PAGE) -> Sequence[Event]:
    """At most `limit` events with numbers above `after`; dense, so that nothing is missed."""
    query = select(Event).where(Event.run_id == run, col(Event.seq) > after).order_by(col(Event.seq)).limit(limit)
    return session.exec(query).all()


def last_events(session: Session, runs: Sequence[str]) -> dict[str, int]:
    """The number of the newest event of each of these runs."""
    return dict(session.exec(select(Run.id, Run.last_event).where(col(Run.id).in_(runs))).all())


def stirring(session: Session, seconds: float) -> dict[str, int]:
    """The number of the newest event of each run that is open, or has ended in the last `seconds`."""
    recent = now(session) - seconds
    found: dict[str, int] = {}
    for which in (col(Run.ended_at).is_(None), col(Run.ended_at) >= recent):  # an index for each
        found.update(session.exec(select(Run.id, Run.last_event).where(which)).all())
    return found


def these_runs(session: Session, runs: Sequence[str]) -> Sequence[Run]:
    """By id, as far as there are such."""
    return session.exec(select(Run).where(col(Run.id).in_(runs)).order_by(col(Run.updated_at))).all()


# --- what workers and sweepers need --------------------------------------------------------------------------------


def manifest(session: Session, run: str, remote: str) -> ArtifactRow | None:
    """The completed output of this run that belongs at `remote`; the staged copy is what dependents read."""
    query = select(ArtifactRow).where(ArtifactRow.run_id == run, ArtifactRow.remote == remote)
    return session.exec(query.order_by(col(ArtifactRow.at).desc()).limit(1)).first()


def unpublished(session: Session, run: str | None = None, seconds: float = 0.0) -> Sequence[ArtifactRow]:
    """Outputs whose canonical copy is not known to exist, since so many `seconds`. What a later attempt left instead of
    them is not among them."""
    query = select(ArtifactRow).where(col(ArtifactRow.published_at).is_(None), _of_the_last_attempt()).limit(PAGE)
    if seconds:
        query = query.where(ArtifactRow.at <= now(session) - seconds)
    return session.exec(query.where(ArtifactRow.run_id == run) if run else query).all()


def leases(session: Session) -> int:
    """How many workers have one; where leases are files, none."""
    return session.exec(select(func.count()).where(col(Lease.until) > now(session))).one()


def queue_workers(session: Session) -> list[str]:
    """Boot ids of the workers that take from the queue and have not said that they end. Not all of them are alive."""
    its_own = select(Run.id).where(col(Run.ended_at).is_(None), Run.placement == literal("local:") + col(Worker.id))
    return list(session.exec(select(Worker.id).where(col(Worker.ended_at).is_(None), ~its_own.exists())))


def workers_have(session: Session, workers: Sequence[str]) -> list[tuple[set[str], Room]]:
    """(labels, room) of each of these workers."""
    rows = session.exec(select(Worker).where(col(Worker.id).in_(workers))).all()
    return [
        (set(json.loads(row.labels)), BOUNDLESS if row.cpus is None else Room(row.cpus, row.memory or 0))
        for row in rows
    ]


def wanted_of_workers(session: Session, run: str) -> list[tuple[set[str], Room]]:
    """(labels, room) that the ready TODOs of a run want of a worker, each once; not of those that want nothing."""
    ready = select(Todo.labels, Todo.cpus, Todo.memory).where(Todo.run_id == run, Todo.state == "ready")
    rows = session.exec(ready.distinct()).all()
    wanted = [(set(json.loads(labels or "[]")), Room(cpus or 0.0, memory or 0)) for labels, cpus, memory in rows]
    return [(labels, room) for labels, room in wanted if labels or room]


def now(session: Session) -> float:
    """The database's clock, in seconds since the epoch."""
    sqlite = session.get_bind().dialect.name == "sqlite"
    sql = "(julianday('now') - 2440587.5) * 86400.0" if sqlite else "extract(epoch FROM clock_timestamp())"
    return float(session.connection().execute(text(f"SELECT {sql}")).scalar_one())


def sink_since(session: Session, sink: str) -> float:
    """Of what ended before, a sink has been told."""
    found = session.get(Sink, sink)
    return found.since if found else 0.0


def times_hindered(session: Session, todo: str) -> int:
    """How often in a row it was released as `hindered`, up to now."""
    ended = select(Attempt.outcome, Attempt.reason).where(Attempt.todo_id == todo, col(Attempt.ended_at).is_not(None))
    last = session.exec(ended.order_by(col(Attempt.fence).desc()).limit(PAGE)).all()
    hindered = (outcome == "released" and reason == "hindered" for outcome, reason in last)
    return sum(1 for _ in itertools.takewhile(bool, hindered))
