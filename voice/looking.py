"""What the event log says that was not heard yet: reads of one store, each of one moment."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlmodel import Session, col, select

from orchestrator.views import EventView, QuestionView, event_view, question_view, run_view
from state import frequent, reading
from state.frequent import News
from state.limits import PAGE
from state.tables import Todo
from voice.hearing import WORTH, Known
from voice.wording.facts import Trouble

_OF_TODOS = ("todo.state", "todo.risk", "worker.took_over")
_TROUBLES = 20


@dataclass(frozen=True, slots=True)
class Look:
    """`events` that may be worth a word, of each run in order; `titles` of their TODOs; `complete`: runs of which these
    are all. `more`: it was not all there is."""

    events: Sequence[EventView]
    titles: Mapping[str, str]
    known: Sequence[Known]
    complete: Sequence[News]
    more: bool


def open_runs(session: Session) -> dict[str, int]:
    """And the number of the newest event of each."""
    return reading.stirring(session, 0.0)


def waiting_questions(session: Session) -> list[QuestionView]:
    """Of all runs, oldest first."""
    return [question_view(row) for row in reading.questions(session)]


def look(session: Session, wanted: Sequence[News], unknown: Collection[str]) -> Look:
    """What happened to the runs `wanted`; and of those that are `unknown`, how they stand."""
    rows = frequent.events_of(session, wanted, PAGE, WORTH)
    events = [event_view(row) for row in rows]
    todos = {event.todo for event in events if event.todo and event.type in _OF_TODOS}
    more = len(events) == PAGE
    done = {event.run for event in events} - {events[-1].run} if more else None
    complete = [each for each in wanted if done is None or each.run in done]
    return Look(events, _titles(session, todos), standing(session, unknown), complete, more)


def standing(session: Session, runs: Collection[str]) -> list[Known]:
    """How these runs stand (by id)."""
    if not runs:
        return []
    found: list[Known] = []
    for row in reading.these_runs(session, list(runs)):
        view = run_view(row)
        bad = reading.todos_in(session, row.id, ("failed", "blocked"), _TROUBLES)
        troubles = {todo.id: (todo.state, Trouble(todo.title, todo.reason, todo.detail)) for todo in bad}
        progress = view.progress
        found.append(Known(row.id, row.name, row.state, progress.settled, progress.total, troubles))
    return found


def _titles(session: Session, todos: Collection[str]) -> dict[str, str]:
    if not todos:
        return {}
    found = session.exec(select(Todo.id, Todo.title, Todo.key).where(col(Todo.id).in_(todos))).all()
    return {id: title or key for id, title, key in found}
