"""Reads of what roles leave behind, for people: spend, checklists, conversations, notes. Nothing here writes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from sqlmodel import Session, col, select

from state.agent_tables import AgentRow, BudgetRow, MessageRow, NoteRow, ToolCallRow
from state.tables import Event, Todo

_TOLD = ("todo.progress", "role.note")


def budgets(session: Session, runs: Sequence[str]) -> dict[str, BudgetRow]:
    """By run; runs without one have asked no model, and have no limit."""
    query = select(BudgetRow).where(col(BudgetRow.run_id).in_(runs))
    return {row.run_id: row for row in session.exec(query)}


def needs(session: Session, run: str) -> tuple[int, float] | None:
    """(tokens, USD) that limits must allow for, as it was said when the budget was used up last; None: it never was."""
    query = select(Event).where(Event.run_id == run, Event.type == "run.budget").order_by(col(Event.seq).desc())
    for event in session.exec(query):
        data = json.loads(event.data)
        if "needs_tokens" in data:
            return int(data["needs_tokens"]), float(data["needs_usd"])
    return None


def checklists(session: Session, run: str) -> dict[str, str]:
    """TODO id -> JSON of the checklist of its newest attempt; only of TODOs that have one."""
    query = select(AgentRow).join(Todo, col(Todo.id) == col(AgentRow.todo_id)).where(Todo.run_id == run)
    return _newest(session.exec(query.order_by(col(AgentRow.epoch), col(AgentRow.attempt))))


def checklists_of(session: Session, todos: Sequence[str]) -> dict[str, str]:
    """The same, of these TODOs."""
    query = select(AgentRow).where(col(AgentRow.todo_id).in_(todos))
    return _newest(session.exec(query.order_by(col(AgentRow.epoch), col(AgentRow.attempt))))


def newest_attempt(session: Session, todo: str) -> AgentRow | None:
    """Where the newest attempt of a TODO stands; None: no role was ever at it."""
    query = select(AgentRow).where(AgentRow.todo_id == todo)
    return session.exec(query.order_by(col(AgentRow.epoch).desc(), col(AgentRow.attempt).desc()).limit(1)).first()


def _newest(rows: Iterable[AgentRow]) -> dict[str, str]:
    newest = {row.todo_id: row.checklist for row in rows}
    return {todo: checklist for todo, checklist in newest.items() if checklist}


def messages(session: Session, todo: str) -> Sequence[MessageRow]:
    """Turns of all attempts, in the order in which they were said."""
    order = (MessageRow.epoch, MessageRow.attempt, MessageRow.at, MessageRow.talk, MessageRow.seq)
    return session.exec(select(MessageRow).where(MessageRow.todo_id == todo).order_by(*map(col, order))).all()


def tool_calls(session: Session, todo: str) -> dict[tuple[int, int, int, int], list[ToolCallRow]]:
    """By (epoch, attempt, talk, seq of the turn that wants them), in order."""
    found: dict[tuple[int, int, int, int], list[ToolCallRow]] = {}
    query = select(ToolCallRow).where(ToolCallRow.todo_id == todo).order_by(col(ToolCallRow.number))
    for row in session.exec(query):
        found.setdefault((row.epoch, row.attempt, row.talk, row.seq), []).append(row)
    return found


def told(session: Session, run: str, todo: str) -> Sequence[Event]:
    """What the house said about a TODO while it was worked on: decisions, notes."""
    query = select(Event).where(Event.run_id == run, Event.todo_id == todo, col(Event.type).in_(_TOLD))
    return session.exec(query.order_by(col(Event.seq))).all()


def notes(session: Session, run: str) -> Sequence[NoteRow]:
    """Oldest first."""
    return session.exec(select(NoteRow).where(NoteRow.run_id == run).order_by(col(NoteRow.id))).all()
