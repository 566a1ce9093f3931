"""A run begins."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from state.admission import unstorable_text
from state.commands import Done, NewTodo, Refused, SubmitRun
from state.decisions import scheduling
from state.records import ANY_END, TodoKind
from state.work import COUNTED, BudgetState, RunState, TodoState, Work, encode, quote


def submit(work: Work, command: SubmitRun) -> Done | Refused:
    """Write the whole run; TODOs without needs start at once."""
    if command.run in work.runs:
        return Refused("exists", f"run {command.run} exists already")
    if command.once and (known := work.submitted.get(command.once)):
        return Refused("repeated", known)
    if flaw := flaw_of_todos(work, command.todos, ()):
        return Refused("invalid", flaw)
    flags = (False, False, False)
    planning = [todo.kind for todo in command.todos] == ["plan"]
    row = (
        command.run,
        command.placement,
        command.concurrency,
        *flags,
        None,
        None,
        0,
        None,
        None,
        planning,
        0.0,
        None,
        *[0] * len(COUNTED),
    )
    run = work.runs[command.run] = RunState(row)
    work.new_runs[command.run] = command
    work.insert("plan", (command.run, 1, command.plan_hash, command.plan, command.provenance, work.now))
    if (command.tokens, command.nano, command.seconds) != (None, None, None):
        work.budgets[command.run] = BudgetState(command.run, command.tokens, command.nano, command.seconds)
        work.new_budgets.add(command.run)
    if command.once:
        work.submitted[command.once] = command.run
        work.insert("submission", (command.once, command.run, work.now))
    run.percent = 0
    run.last_event = 1  # kept for run.submitted, which says the state that follows from the TODOs
    for position, new in enumerate(command.todos):
        add(work, run, new, position)
    run.enter(run.derived(), work.now)
    goal = quote(command.goal) if command.goal else "null"
    data = f'{{"name":{quote(command.name)},"goal":{goal},"total":{len(command.todos)},"state":"{run.state}"}}'
    work.events.append((run.id, 1, work.now, "run.submitted", None, data))
    return Done(work.ready)


def flaw_of_todos(work: Work, todos: Sequence[NewTodo], standing: Sequence[TodoState]) -> str | None:
    """What would make a run of these, after those that it has, wait for ever or fail half-way. Plans are checked where
    they are read: this is the store's own guarantee that every run it holds can end."""
    before: dict[str, TodoKind] = {todo.id: todo.kind for todo in standing}
    keys = {todo.key for todo in standing}
    for new in todos:
        if new.id in before or new.id in work.todos:
            return f"{new.key}: there is a TODO with its id already"
        if flaw := _flaw_of_needs(new, before) or (_flaw_of_gate(new) if new.kind == "ask" else None):
            return f"{new.key}: {flaw}"
        if new.key in keys:
            return f"two TODOs have the same key: {new.key}"
        before[new.id] = new.kind
        keys.add(new.key)
    return None if before else "a run needs at least one TODO"


def _flaw_of_needs(new: NewTodo, before: Mapping[str, TodoKind]) -> str | None:
    for need, answer in new.needs:
        if need not in before:
            return "needs a TODO that is not before it in its run"
        if answer not in (None, ANY_END) and before[need] != "ask":
            return "wants an answer of a TODO that asks nothing"
    return "needs a TODO twice" if len(dict(new.needs)) != len(new.needs) else None


def _flaw_of_gate(new: NewTodo) -> str | None:
    try:
        spec: dict[str, Any] = json.loads(new.ask or "")
        texts = [spec["text"], *(spec.get("choices") or ())]
        expires = spec.get("expires")
        if not (expires is None or (isfinite(expires) and expires > 0)):
            return "expires at no moment"
        return unstorable_text("".join(texts))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return "its question can't be read"


def add(work: Work, run: RunState, new: NewTodo, position: int) -> None:
    """A new TODO of the run; starts at once when it needs nothing."""
    todo = TodoState(
        id=new.id, run_id=run.id, key=new.key, kind=new.kind, state="pending", reason=None, detail=None, fence=0,
        attempt=0, crash_count=0, epoch=0, unmet_needs=len(new.needs), owner=None, not_before=0.0, deadline=None,
        timeout=new.timeout, labels=encode(sorted(new.labels)) if new.labels else None, lane=new.lane, ask=new.ask,
        answer=None, started_at=None, ended_at=None, cpus=new.cpus, memory=new.memory, ready_at=None,
    )  # fmt: skip
    work.todos[new.id] = todo
    work.new_todos[new.id] = (new, position)
    for need, answer in new.needs:
        work.insert("todo_need", (need, new.id, answer))
        work.dependents.setdefault(need, []).append((new.id, answer))
        work.needs.setdefault(new.id, []).append((need, answer))
    if new.needs:
        work.move(todo, "pending", entry="new")
    else:
        scheduling.start(work, todo, entry="new")
