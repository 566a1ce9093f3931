"""A run begins."""

from __future__ import annotations

from state.commands import Done, NewTodo, Refused, SubmitRun
from state.decisions import scheduling
from state.work import COUNTED, RunState, TodoState, Work, encode, quote


def submit(work: Work, command: SubmitRun) -> Done | Refused:
    """Write the whole run; TODOs without needs start at once."""
    if command.run in work.runs:
        return Refused("exists", f"run {command.run} exists already")
    flags = (False, False, False)
    row = (command.run, command.placement, command.concurrency, *flags, None, None, 0, None, *[0] * len(COUNTED))
    run = work.runs[command.run] = RunState(row)
    work.new_runs[command.run] = command
    work.insert("plan", (command.run, 1, command.plan_hash, command.plan, command.provenance, work.now))
    run.percent = 0
    run.last_event = 1  # kept for run.submitted, which says the state that follows from the TODOs
    for position, new in enumerate(command.todos):
        _add(work, run, new, position)
    run.state = run.derived()
    goal = quote(command.goal) if command.goal else "null"
    data = f'{{"name":{quote(command.name)},"goal":{goal},"total":{len(command.todos)},"state":"{run.state}"}}'
    work.events.append((run.id, 1, work.now, "run.submitted", None, data))
    return Done(work.ready)


def _add(work: Work, run: RunState, new: NewTodo, position: int) -> None:
    todo = TodoState(
        id=new.id, run_id=run.id, key=new.key, kind=new.kind, state="pending", reason=None, detail=None, fence=0,
        attempt=0, crash_count=0, epoch=0, unmet_needs=len(new.needs), owner=None, not_before=0.0, deadline=None,
        timeout=new.timeout, labels=encode(sorted(new.labels)) if new.labels else None, ask=new.ask, answer=None,
        started_at=None, ended_at=None,
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
