"""A person's `retry`: the only way back from an end, in a new epoch, together with what was skipped because of it."""

from __future__ import annotations

from state.commands import Done, Refused, Retry
from state.decisions import scheduling
from state.decisions.ownership import end_attempt
from state.decisions.scheduling import standing
from state.records import ANY_END, OWNED
from state.work import TodoState, Work


def retry(work: Work, command: Retry) -> Done | Refused:
    """Reopen a failed or blocked TODO, and its skipped descendants unless another need still stands against them."""
    todo = work.todos.get(command.todo)
    if todo is None:
        return Refused("missing", f"no TODO {command.todo}")
    if work.runs[todo.run_id].cancelled:
        return Refused("not_allowed", "the run was cancelled, which is final")
    if todo.state not in ("failed", "blocked"):
        return Refused("not_allowed", _why_not(work, todo))
    new_epoch(todo)
    todo.unmet_needs = 0
    scheduling.start(work, todo, entry="reopened")
    for descendant in _skipped_behind(work, todo):
        standings = [standing(work.todos[need], wanted) for need, wanted in work.needs[descendant.id]]
        if "bad" in standings:
            continue
        new_epoch(descendant)
        descendant.unmet_needs = sum(each != "met" for each in standings)
        work.move(descendant, "pending", entry="reopened")
        if "moot" in standings:  # then waiting for the other needs would be waiting for ever
            descendant.ended_at = work.now
            work.move(descendant, "not_applicable")
    wait_again(work)
    return Done(work.ready)


def wait_again(work: Work) -> None:
    """What waits for any end of what has been reopened waits for it again. So does a report, whatever became of it:
    it would tell of an end that was none."""
    for id, needs in sorted(work.needs.items()):
        todo = work.todos[id]
        if not any(wanted == ANY_END for _, wanted in needs):
            continue
        unmet = sum(standing(work.todos[need], wanted) != "met" for need, wanted in needs)
        if todo.kind == "report" and unmet and todo.state not in ("pending", "cancelled"):
            if todo.state in OWNED:
                end_attempt(work, todo, "released", "reopened")
                todo.fence += 1
            new_epoch(todo)
            work.move(todo, "pending", entry="rewritten")
        if todo.state == "pending" and todo.unmet_needs != unmet:
            todo.unmet_needs = unmet
            work.dirty[todo.id] = todo


def _why_not(work: Work, todo: TodoState) -> str:
    if todo.reason == "replanned":
        return f"{todo.key} made place for another plan, which is final"
    if todo.state in ("skipped", "not_applicable"):
        needs = (work.todos[need].key for need, _ in work.needs.get(todo.id, ()) if need in work.todos)
        return f"{todo.key} is {todo.state} because of what it needs ({', '.join(needs)}); retry that instead"
    return f"{todo.key} is {todo.state}; only failed or blocked TODOs can be retried"


def new_epoch(todo: TodoState) -> None:
    """From the beginning."""
    todo.epoch += 1
    todo.attempt = todo.crash_count = 0
    todo.not_before = 0.0
    todo.answer = todo.started_at = todo.ended_at = None


def _skipped_behind(work: Work, todo: TodoState) -> list[TodoState]:
    """The skipped descendants, needs before dependents, so that each sees what became of its needs."""
    order: list[TodoState] = []
    seen: set[str] = set()
    stack: list[tuple[str, bool]] = [(todo.id, False)]
    while stack:
        id, expanded = stack.pop()
        if expanded:
            order.append(work.todos[id])
            continue
        if id in seen:
            continue
        seen.add(id)
        stack.append((id, True))
        for dependent, _ in sorted(work.dependents.get(id, ())):
            if dependent not in seen and work.todos[dependent].state == "skipped":
                stack.append((dependent, False))
    order.reverse()
    return order[1:]
