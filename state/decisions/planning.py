"""Plans that are made while their run goes on: the first, and another for what is left."""

from __future__ import annotations

from collections.abc import Sequence

from state.commands import Done, ExtendRun, NewTodo, Refused, Replan
from state.decisions import scheduling, submission
from state.decisions.ownership import end_attempt, owned
from state.decisions.retrying import new_epoch, wait_again
from state.decisions.scheduling import standing
from state.decisions.settlement import record
from state.limits import DETAIL_CHARACTERS
from state.records import ANY_END, OPEN
from state.work import RunState, TodoState, Work, counts, encode


def extend(work: Work, command: ExtendRun) -> Done | Refused:
    """The plan is frozen in a new revision; its TODO completes, and those it plans begin. What waits for the one waits
    for the others too."""
    todo = owned(work, command.todo, command.fence)
    if isinstance(todo, Refused):
        return todo
    if todo.kind != "plan":
        return Refused("not_allowed", f"{todo.key} plans nothing: only a TODO that plans adds others")
    evidence = command.evidence
    if not evidence or not all(item.passed for item in evidence) or len({item.subject for item in evidence}) > 1:
        return Refused("evidence", f"{todo.key}: a plan needs evidence, all of it passed, all on one subject")
    others = _others(work, todo, command.todos)
    if flaw := _flaw_of_order(work, command.todos) or submission.flaw_of_todos(work, command.todos, [todo, *others]):
        return Refused("invalid", flaw)
    run = work.runs[todo.run_id]
    record(work, todo, evidence)
    end_attempt(work, todo, "completed")
    todo.ended_at = work.now
    revision = run.last_event + 1  # the submission's is 1
    work.insert("plan", (run.id, revision, command.plan_hash, command.plan, "model", work.now))
    run.planning = False
    work.event(run, todo.id, "run.planned", encode({"hash": command.plan_hash, "todos": len(command.todos)}))
    _add_all(work, run, todo, command.todos)
    work.move(todo, "completed")
    scheduling.settled(work, todo)
    return Done(work.ready)


def _others(work: Work, plan: TodoState, new: Sequence[NewTodo]) -> list[TodoState]:
    """TODOs of the run that these need."""
    needs = {need for each in new for need, _ in each.needs}
    found = (work.todos[need] for need in sorted(needs) if need in work.todos and need != plan.id)
    return [each for each in found if each.run_id == plan.run_id]


def _flaw_of_order(work: Work, new: Sequence[NewTodo]) -> str | None:
    """What has not begun waits for this plan, so that only a report can wait for it."""
    for each in new:
        for need, _ in each.needs if each.kind != "report" else ():
            if (old := work.todos.get(need)) and old.state == "pending":
                return f"{each.key}: needs {old.key}, which waits for this plan"
    return None


def _add_all(work: Work, run: RunState, plan: TodoState, new: Sequence[NewTodo]) -> None:
    waiting = list(work.dependents.get(plan.id, ()))
    for position, each in enumerate(new, start=1 + sum(run.count.values())):
        submission.add(work, run, each, position)
        _count_needs(work, work.todos[each.id], each.needs)
    planned = [work.todos[each.id] for each in new if each.kind != "report"]
    for id, wanted in waiting:
        todo = work.todos[id]
        for each in planned:
            _wait_for(work, todo, each, wanted)
        todo.unmet_needs += len(planned)
        work.dirty[id] = todo
        if _count_needs(work, todo, [(each.id, wanted) for each in planned]):
            scheduling.settled(work, todo)


def _count_needs(work: Work, todo: TodoState, needs: Sequence[tuple[str, str | None]]) -> bool:
    """What has ended before somebody needed it does not tell them; whether that was the end of who needs it."""
    if todo.state != "pending":
        return False
    standings = [standing(work.todos[need], wanted) for need, wanted in needs]
    if "bad" in standings or "moot" in standings:
        todo.ended_at = work.now
        work.move(todo, "skipped" if "bad" in standings else "not_applicable")
        return True
    if met := standings.count("met"):
        todo.unmet_needs -= met
        if todo.unmet_needs == 0:
            scheduling.start(work, todo)
    return False


def _wait_for(work: Work, todo: TodoState, need: TodoState, wanted: str | None) -> None:
    work.insert("todo_need", (need.id, todo.id, wanted))
    work.dependents.setdefault(need.id, []).append((todo.id, wanted))
    work.needs.setdefault(todo.id, []).append((need.id, wanted))


def replan(work: Work, command: Replan) -> Done | Refused:
    """Another plan is to be made. What it may replace and nobody is at makes place at once; what is done, or is being
    done, stays; what else has not begun waits for the new plan instead of for what has made place."""
    run = work.runs.get(command.run)
    if run is None:
        return Refused("missing", f"no run {command.run}")
    if run.state in ("completed", "cancelled"):
        return Refused("not_allowed", f"the run is {run.state}; nothing of it is left to plan")
    todos = work.of_run(run.id)
    known = {*command.replaced, *command.others}
    told = all(todo.id in known for todo in todos)
    if not told or sum(counts(todo, todo.state) for todo in todos) != sum(run.count.values()):
        return Refused("changed", "the run has other TODOs by now; ask again")
    if busy := [todo.key for todo in todos if todo.kind == "plan" and todo.state in OPEN]:
        return Refused("not_allowed", f"{busy[0]} is making a plan already; answer its questions, or wait for it")
    if flaw := submission.flaw_of_todos(work, [command.todo], todos):
        return Refused("invalid", flaw)
    why = f"by {command.by}: {command.why}"[:DETAIL_CHARACTERS]
    replaced = set(command.replaced)
    gone = {todo.id: todo for todo in todos if todo.id in replaced and _makes_place(todo)}
    for todo in gone.values():
        _make_place(work, todo, why)
    submission.add(work, run, command.todo, len(todos))
    plan = work.todos[command.todo.id]
    staying = [todo for todo in todos if todo.id not in gone]
    for todo in staying:
        if todo.kind == "report" or todo.state in ("pending", "skipped"):
            _wait_instead(work, todo, set(gone), plan)
    _reopen(work, [todo for todo in staying if todo.state == "skipped"])
    wait_again(work)
    return Done(work.ready)


def _makes_place(todo: TodoState) -> bool:
    if todo.state == "ready":
        return todo.fence == 0
    if todo.state == "awaiting_input":
        return todo.kind == "ask"
    return todo.state in ("pending", "blocked", "failed", "skipped")


def _make_place(work: Work, todo: TodoState, why: str) -> None:
    todo.epoch += todo.ended_at is not None  # an end is final in its epoch
    todo.ended_at = work.now
    work.move(todo, "not_applicable", "replanned", why, entry="replaced")
    for question in work.questions.values():
        if question.todo_id == todo.id and question.state == "pending":
            question.state = "cancelled"
            work.dirty_questions[question.id] = question


def _wait_instead(work: Work, todo: TodoState, gone: set[str], plan: TodoState) -> None:
    report = todo.kind == "report"
    needs = work.needs.get(todo.id, [])
    if not report:  # which tells of what has made place, too
        dropped = [(need, todo.id) for need, _ in needs if need in gone]
        for edge in dropped:
            work.delete("need", edge)
        if new := work.new.get("todo_need"):  # of this very transaction
            work.new["todo_need"] = [row for row in new if row[:2] not in dropped]
        needs = work.needs[todo.id] = [each for each in needs if each[0] not in gone]
    _wait_for(work, todo, plan, ANY_END if report else None)
    if todo.state == "pending":
        todo.unmet_needs = sum(standing(work.todos[need], wanted) != "met" for need, wanted in work.needs[todo.id])
        work.dirty[todo.id] = todo


def _reopen(work: Work, skipped: list[TodoState]) -> None:
    """What was skipped because of what has made place, by and by."""
    left = len(skipped) + 1
    while left > len(skipped):
        left = len(skipped)
        for todo in list(skipped):
            standings = [standing(work.todos[need], wanted) for need, wanted in work.needs[todo.id]]
            if "bad" in standings:
                continue
            skipped.remove(todo)
            new_epoch(todo)
            todo.unmet_needs = sum(each != "met" for each in standings)
            work.move(todo, "pending", entry="reopened")
            if "moot" in standings:
                todo.ended_at = work.now
                work.move(todo, "not_applicable")
