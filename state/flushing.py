"""Writing a `Work` back: rows for each statement, in a fixed order; the last third of load -> decide -> flush."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from state.statements import INSERTS
from state.work import BudgetState, RunState, TodoState, Work

Row = tuple[Any, ...]
UNHEARD = frozenset(("cursor",))
"""Tables whose changes nobody waits to hear of: how far a sink has been told. Nor does anybody for `delivered`."""


def inserts(work: Work) -> Iterator[tuple[str, list[Row]]]:
    """(table, rows) in the order of `statements.INSERTS`."""
    rows = work.new | {
        "run": [_run(work, run) for run in work.new_runs],
        "todo": [_todo(work, todo) for todo in work.new_todos],
        "question": [_question(work, id) for id in sorted(work.new_questions)],
        "event": work.events,
        "budget": [_budget(work.budgets[run]) for run in sorted(work.new_budgets)],
        "outbox": [(todo, work.now) for todo in sorted(work.wakes)],
    }
    for name in INSERTS:
        if found := rows.get(name):
            yield name, found


def puts(work: Work) -> Iterator[tuple[str, list[Row]]]:
    """(table, rows), in one order whatever was done first."""
    for name in sorted(work.puts):
        yield name, [row for _, row in sorted(work.puts[name].items())]


def deletes(work: Work) -> Iterator[tuple[str, list[Row]]]:
    """(statement, rows). Come first: what is written after them stays."""
    yield from sorted(work.deletes.items())


def delivered(work: Work) -> list[str]:
    """TODOs whose wake-ups leave the outbox. Comes first: a later wake-up of the same TODO stays."""
    return sorted(work.delivered)


def updates(work: Work) -> Iterator[tuple[str, list[Row]]]:
    """(statement, rows) in an order in which two transactions cannot wait for each other."""
    todos = [_put_todo(todo) for id, todo in sorted(work.dirty.items()) if id not in work.new_todos]
    if todos:
        yield "todo", todos
    runs = [
        _put_run(run, work.now)
        for id, run in sorted(work.runs.items())
        if run.last_event != run.loaded_event and id not in work.new_runs
    ]
    if runs:
        yield "run", runs
    questions = [
        (question.state, question.answer, question.answered_by, question.answered_at, question.id)
        for id, question in sorted(work.dirty_questions.items())
        if id not in work.new_questions
    ]
    if questions:
        yield "question", questions
    budgets = sorted(work.dirty_budgets - work.new_budgets)
    if budgets:
        yield "budget", [(*_budget(work.budgets[run])[1:], run) for run in budgets]
    if work.dirty_calls:
        yield "call_settled", [
            (
                call.state, call.input, call.cached, call.written, call.output, call.nano, call.estimated, work.now, id,
            )
            for id, call in sorted(work.dirty_calls.items())
        ]  # fmt: skip
    for name in ("attempt_ended", "published", "worker_ended", "token_revoked", "sessions_revoked"):
        if name in work.updates:
            yield name, work.updates[name]


def _budget(budget: BudgetState) -> Row:
    return (
        budget.run_id, budget.tokens_limit, budget.nano_limit, budget.seconds_limit, budget.tokens, budget.cached,
        budget.nano, budget.tokens_held, budget.nano_held, budget.tokens_withheld, budget.nano_withheld, budget.calls,
        budget.warned,
    )  # fmt: skip


def _run(work: Work, id: str) -> Row:
    command, run = work.new_runs[id], work.runs[id]
    return (
        id, command.name, command.goal, run.placement, command.concurrency, command.provenance, command.source,
        command.spec, run.state, run.reason, run.held, run.cancelled, run.budget_exhausted, run.head,
        run.planning, run.worked, run.since, run.last_event, *run.count.values(), work.now, work.now, run.ended_at,
    )  # fmt: skip


def _todo(work: Work, id: str) -> Row:
    new, position = work.new_todos[id]
    todo = work.todos[id]
    return (
        todo.id, todo.run_id, todo.key, todo.kind, todo.state, todo.reason, todo.detail, todo.fence, todo.attempt,
        todo.crash_count, todo.epoch, todo.unmet_needs, todo.owner, todo.not_before, todo.deadline, todo.timeout,
        todo.labels, todo.lane, todo.ask, todo.answer, todo.started_at, todo.ended_at, todo.cpus, todo.memory,
        todo.ready_at, position, new.title, new.priority, new.document,
    )  # fmt: skip


def _question(work: Work, id: str) -> Row:
    question = work.questions[id]
    return (
        question.id, question.run_id, question.todo_id, question.epoch, question.key, question.text, question.choices,
        question.state, question.answer, question.answered_by, question.expires_at, question.asked_at,
        question.answered_at,
    )  # fmt: skip


def _put_todo(todo: TodoState) -> Row:
    return (
        todo.state, todo.reason, todo.detail, todo.fence, todo.attempt, todo.crash_count, todo.epoch, todo.unmet_needs,
        todo.owner, todo.not_before, todo.deadline, todo.answer, todo.started_at, todo.ended_at,
        todo.ready_at, todo.id, todo.loaded_fence,
    )  # fmt: skip


def _put_run(run: RunState, now: float) -> Row:
    return (
        run.placement, run.held, run.cancelled, run.budget_exhausted, run.head, run.planning, run.worked, run.since,
        run.state, run.reason, run.last_event,
        *run.count.values(), now, run.ended_at,
        run.id, run.loaded_event,
    )  # fmt: skip
