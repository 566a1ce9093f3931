"""What faces show a page or a part of: runs and TODOs by page, one TODO whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from sqlmodel import Session

from orchestrator.references import named
from orchestrator.views import QuestionView, RunView, TodoView, moment, question_view, run_view, todo_views
from state import agent_reading, reading
from state.ports import Store
from state.tables import Attempt, Todo


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One time that a worker had a TODO. `fence` counts these; `attempt` the failures before it."""

    fence: int
    attempt: int
    worker: str
    started_at: str | None
    ended_at: str | None
    outcome: str | None
    reason: str | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class TodoDetail(TodoView):
    """A TODO with what has become of it."""

    attempts: list[AttemptView] = field(default_factory=list[AttemptView])
    questions: list[QuestionView] = field(default_factory=list[QuestionView])


@dataclass(frozen=True, slots=True)
class Looking:
    """References to runs and TODOs are what `state.reading.find_*` take."""

    store: Store

    async def runs(self, limit: int, before: str | None = None) -> tuple[list[RunView], str | None]:
        """Newest first, and the `before` of the next page, if there is one."""

        def look(session: Session) -> tuple[list[RunView], str | None]:
            found = reading.runs(session, limit + 1, before)
            page = found[:limit]
            budgets = agent_reading.budgets(session, [run.id for run in page])
            more = page[-1].id if len(found) > limit else None
            return [run_view(run, budgets.get(run.id)) for run in page], more

        return await self.store.read(look)

    async def todos(self, run: str, limit: int, after: int = -1) -> tuple[list[TodoView], int | None]:
        """In the order of the plan, and the `after` of the next page, if there is one."""

        def look(session: Session) -> tuple[list[TodoView], int | None]:
            found = reading.todo_page(session, reading.find_run(session, named(run)).id, after, limit + 1)
            page = found[:limit]
            return _views(session, page), page[-1].position if len(found) > limit else None

        return await self.store.read(look)

    async def troubles(self, run: str, limit: int) -> list[TodoView]:
        """Of the run with this id: the first TODOs that have failed or are blocked."""

        def look(session: Session) -> list[TodoView]:
            return _views(session, reading.todos_in(session, run, ("failed", "blocked"), limit))

        return await self.store.read(look)

    async def todo(self, run: str, todo: str) -> TodoDetail:
        """One, whole."""

        def look(session: Session) -> TodoDetail:
            row = reading.find_todo(session, reading.find_run(session, named(run)).id, named(todo))
            (view,) = _views(session, [row])
            attempts = [_attempt_view(each) for each in reading.attempts(session, row.id)]
            asked = [question_view(each) for each in reading.questions_of(session, row.id)]
            return TodoDetail(**_fields(view), attempts=attempts, questions=asked)

        return await self.store.read(look)


def _views(session: Session, todos: Sequence[Todo]) -> list[TodoView]:
    ids = [todo.id for todo in todos]
    return todo_views(todos, reading.needs_of(session, ids), agent_reading.checklists_of(session, ids))


def _fields(view: TodoView) -> dict[str, Any]:
    return {each.name: getattr(view, each.name) for each in fields(view)}


def _attempt_view(row: Attempt) -> AttemptView:
    return AttemptView(
        row.fence, row.attempt, row.worker, moment(row.started_at), moment(row.ended_at), row.outcome, row.reason,
        row.detail,
    )  # fmt: skip
