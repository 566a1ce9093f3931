"""What follows for the dependents when a TODO settles (design §4): the scheduler.

A need that completed as wanted counts one unmet need down; the last one makes the TODO `ready` (a gate: asks its
question). A need that ended badly makes it `skipped`; a gate answered otherwise, `not_applicable`; both run on through
everything behind them. A blocked need changes nothing: its dependents stay `pending`. A need that any end meets counts
down whatever it was.
"""

from __future__ import annotations

import json
from typing import Literal

from state.records import ANY_END, BAD_ENDS, TERMINAL
from state.transitions import Entry
from state.work import QuestionState, TodoState, Work, encode

Standing = Literal["met", "open", "bad", "moot"]
"""Of a need: ``bad``, it ended badly; ``moot``, a gate was answered otherwise."""


def start(work: Work, todo: TodoState, *, entry: Entry = "moved") -> None:
    """A pending (or reopened) TODO whose needs are all met becomes claimable, or asks."""
    if todo.kind == "ask":
        ask(work, todo, entry=entry)
    else:
        work.move(todo, "ready", entry=entry)


def ask(work: Work, todo: TodoState, *, entry: Entry = "moved") -> None:
    """Put a gate's question: question row and state in one transaction, no worker involved."""
    spec = json.loads(todo.ask or "{}")
    expires = spec.get("expires")
    choices = encode(spec.get("choices") or [])
    question = QuestionState(
        id=work.new_id(), run_id=todo.run_id, todo_id=todo.id, epoch=todo.epoch, key=None, text=spec["text"],
        choices=choices, state="pending", answer=None, answered_by=None,
        expires_at=work.now + expires if expires else None, asked_at=work.now, answered_at=None,
    )  # fmt: skip
    work.questions[question.id] = question
    work.new_questions.add(question.id)
    todo.started_at = work.now
    work.move(todo, "awaiting_input", entry=entry)
    data = {
        "question": question.id, "text": question.text, "choices": json.loads(choices),
        "expires_at": question.expires_at,
    }  # fmt: skip
    work.event(work.runs[todo.run_id], todo.id, "question.asked", encode(data))


def settled(work: Work, todo: TodoState) -> None:
    """Tell the dependents of a TODO that has just reached a terminal state, and theirs."""
    pending = [todo]
    while pending:
        need = pending.pop()
        for id, wanted in sorted(work.dependents.get(need.id, ())):
            dependent = work.todos[id]
            if dependent.state == "pending" and _inform(work, need, wanted, dependent):
                pending.append(dependent)


def standing(need: TodoState, wanted: str | None) -> Standing:
    """What a need means for who needs it."""
    if wanted == ANY_END:
        return "met" if need.state in TERMINAL else "open"
    if need.state in BAD_ENDS:
        return "bad"
    if need.state == "not_applicable":
        return "moot"
    if need.state != "completed":
        return "open"
    return "met" if wanted in (None, need.answer) else "moot"


def _inform(work: Work, need: TodoState, wanted: str | None, dependent: TodoState) -> bool:
    """Apply one settled need to one pending dependent; True when that settled the dependent in turn."""
    match standing(need, wanted):
        case "bad":
            work.move(dependent, "skipped", detail=f"{need.key} {need.state}")
        case "moot":
            work.move(dependent, "not_applicable", detail=f"{need.key} was not {wanted}" if wanted else None)
        case _:
            dependent.unmet_needs -= 1
            work.dirty[dependent.id] = dependent
            if dependent.unmet_needs == 0:
                start(work, dependent)
            return False
    dependent.ended_at = work.now
    return True
