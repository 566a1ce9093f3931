"""Which rows a batch of commands concerns, and reading them: the first third of load -> decide -> flush."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from state.commands import (
    Answer,
    BeginVerifying,
    Block,
    Cancel,
    Claim,
    ClaimNext,
    Command,
    Complete,
    Expire,
    Fail,
    Hold,
    Release,
    Resume,
    Retry,
    Say,
    SubmitRun,
)
from state.work import QuestionState, RunState, TodoState, Work

Row = tuple[Any, ...]


class Rows(Protocol):
    """Keyed reads inside the open transaction; rows that are returned are locked until its end."""

    def todos(self, ids: list[str]) -> Iterable[Row]:
        """`statements.TODO_COLUMNS`."""
        ...

    def runs(self, ids: list[str]) -> Iterable[Row]:
        """`statements.RUN_COLUMNS`."""
        ...

    def questions(self, ids: list[str]) -> Iterable[Row]:
        """`statements.QUESTION_COLUMNS`."""
        ...

    def dependents(self, needs: list[str]) -> Iterable[Row]:
        """(need, TODO, wanted answer)"""
        ...

    def needs(self, todos: list[str]) -> Iterable[Row]:
        """(TODO, need, wanted answer)"""
        ...

    def descendants(self, roots: list[str]) -> Iterable[Row]:
        """(TODO,): the roots and everything behind them."""
        ...

    def unsettled(self, runs: list[str]) -> Iterable[Row]:
        """(TODO,): those of these runs that are open or blocked."""
        ...

    def pending_questions(self, runs: list[str]) -> Iterable[Row]:
        """(question,)"""
        ...

    def documents(self, todos: list[str]) -> Iterable[Row]:
        """(TODO, document, provenance)"""
        ...

    def claimable(self, command: ClaimNext, now: float, limit: int) -> Iterable[Row]:
        """(TODO,): by priority and age."""
        ...


@dataclass(slots=True)
class Wanted:
    """Keys that a batch needs."""

    todos: set[str] = field(default_factory=set[str])
    documents: set[str] = field(default_factory=set[str])
    completing: set[str] = field(default_factory=set[str])
    roots: set[str] = field(default_factory=set[str])
    retried: set[str] = field(default_factory=set[str])
    runs: set[str] = field(default_factory=set[str])
    whole_runs: set[str] = field(default_factory=set[str])
    answered: set[str] = field(default_factory=set[str])
    questions: set[str] = field(default_factory=set[str])
    claims: list[ClaimNext] = field(default_factory=list[ClaimNext])


def wanted(commands: Sequence[Command]) -> Wanted:
    """What these commands concern."""
    want = Wanted()
    for command in commands:
        _want(want, command)
    return want


def _want(want: Wanted, command: Command) -> None:  # noqa: C901  one flat table
    match command:
        case Claim():
            want.todos.add(command.todo)
            want.documents.add(command.todo)
        case ClaimNext():
            want.claims.append(command)
        case Complete():
            want.completing.add(command.todo)
        case BeginVerifying() | Say() | Block():
            want.todos.add(command.todo)
        case Fail():
            (want.roots if command.retry_after is None else want.todos).add(command.todo)
        case Release():
            (want.roots if command.cause == "died" else want.todos).add(command.todo)
        case Retry():
            want.retried.add(command.todo)
        case Answer():
            want.answered.add(command.question)
        case Expire():
            want.questions.add(command.question)
        case SubmitRun() | Hold():
            want.runs.add(command.run)
        case Cancel() | Resume():
            want.whole_runs.add(command.run)
        case _:
            pass


def load(work: Work, commands: Sequence[Command], rows: Rows) -> None:
    """Read everything the commands concern into `work`."""
    want = wanted(commands)
    _whole_runs(work, want, rows)
    _questions(work, want, rows)
    _claimable(work, want, rows)
    _graph(work, want, rows)
    for row in rows.todos(sorted(want.todos)) if want.todos else ():
        work.todos[row[0]] = TodoState(*row)
    want.runs.update(todo.run_id for todo in work.todos.values())
    for row in rows.runs(sorted(want.runs)) if want.runs else ():
        work.runs[row[0]] = RunState(row)
    ready = [id for id in want.documents if id in work.todos and work.todos[id].state == "ready"]
    for id, document, provenance in rows.documents(ready) if ready else ():
        work.documents[id] = (document, provenance)


def _whole_runs(work: Work, want: Wanted, rows: Rows) -> None:
    if want.whole_runs:
        runs = sorted(want.whole_runs)
        want.runs.update(runs)
        want.todos.update(row[0] for row in rows.unsettled(runs))
        want.questions.update(row[0] for row in rows.pending_questions(runs))


def _questions(work: Work, want: Wanted, rows: Rows) -> None:
    ids = want.questions | want.answered
    for row in rows.questions(sorted(ids)) if ids else ():
        question = QuestionState(*row)
        work.questions[question.id] = question
        want.todos.add(question.todo_id)
        if question.id in want.answered:
            want.roots.add(question.todo_id)


def _claimable(work: Work, want: Wanted, rows: Rows) -> None:
    """Candidates for all `ClaimNext` of a placement are loaded at once, enough for all of them."""
    for command in want.claims:
        limit = sum(other.limit for other in want.claims if other.placement == command.placement)
        known = work.candidates.setdefault(command.placement, [])
        known.extend(row[0] for row in rows.claimable(command, work.now, limit) if row[0] not in known)
        want.todos.update(known)
        want.documents.update(known)


def _graph(work: Work, want: Wanted, rows: Rows) -> None:
    """Edges and TODOs behind what settles: one step behind what completes, everything behind what may end badly."""
    roots = want.roots | want.retried
    behind = {row[0] for row in rows.descendants(sorted(roots))} | roots if roots else set[str]()
    want.todos |= behind | want.completing
    needs = behind | want.completing
    for need, todo, answer in rows.dependents(sorted(needs)) if needs else ():
        work.dependents.setdefault(need, []).append((todo, answer))
        want.todos.add(todo)
    if want.retried:
        for todo, need, answer in rows.needs(sorted(behind)):
            work.needs.setdefault(todo, []).append((need, answer))
            want.todos.add(need)
