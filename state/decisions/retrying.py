"""A person's `retry`: the only way back from an end, in a new epoch, together with what was skipped because of it."""

from __future__ import annotations

from state.commands import Done, Refused, Retry
from state.decisions import scheduling
from state.records import BAD_ENDS, TERMINAL
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
    _new_epoch(todo)
    todo.unmet_needs = 0
    scheduling.start(work, todo, entry="reopened")
    for descendant in _skipped_behind(work, todo):
        standing = [work.todos[need] for need, _ in work.needs[descendant.id]]
        if any(need.state in BAD_ENDS for need in standing):
            continue
        _new_epoch(descendant)
        descendant.unmet_needs = sum(need.state != "completed" for need in standing)
        work.move(descendant, "pending", entry="reopened")
        if _moot(work, descendant):
            descendant.ended_at = work.now
            work.move(descendant, "not_applicable")
    _reports(work)
    return Done(work.ready)


def _reports(work: Work) -> None:
    """A report on what has been reopened waits for its end again, also when it was written already."""
    for report in [todo for todo in work.todos.values() if todo.kind == "report"]:
        unmet = sum(work.todos[need].state not in TERMINAL for need, _ in work.needs.get(report.id, ()))
        if report.state in TERMINAL and report.state != "cancelled" and unmet:
            _new_epoch(report)
            work.move(report, "pending", entry="reopened")
        if report.state == "pending":
            report.unmet_needs = unmet
            work.dirty[report.id] = report


def _moot(work: Work, todo: TodoState) -> bool:
    """Whether a gate before it was answered otherwise: then waiting for the other needs would be waiting for ever."""
    for id, wanted in work.needs[todo.id]:
        need = work.todos[id]
        if need.state == "not_applicable" or (need.state == "completed" and wanted not in (None, need.answer)):
            return True
    return False


def _why_not(work: Work, todo: TodoState) -> str:
    if todo.state in ("skipped", "not_applicable"):
        needs = (work.todos[need].key for need, _ in work.needs.get(todo.id, ()) if need in work.todos)
        return f"{todo.key} is {todo.state} because of what it needs ({', '.join(needs)}); retry that instead"
    return f"{todo.key} is {todo.state}; only failed or blocked TODOs can be retried"


def _new_epoch(todo: TodoState) -> None:
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
