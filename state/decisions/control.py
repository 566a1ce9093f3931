"""What people do to a whole run: cancel, hold, resume."""

from __future__ import annotations

from state.commands import Cancel, Done, ExhaustTime, Hold, Refused, Resume
from state.decisions.allowance import said
from state.decisions.ownership import end_attempt
from state.records import OPEN, OWNED, RUN_ENDED
from state.work import BudgetState, RunState, Work


def _unended(work: Work, id: str, verb: str) -> RunState | Refused:
    run = work.runs.get(id)
    if run is None:
        return Refused("missing", f"no run {id}")
    if run.state in RUN_ENDED:
        return Refused("not_allowed", f"the run is {run.state}; there is nothing to {verb}")
    return run


def cancel(work: Work, command: Cancel) -> Done | Refused:
    """Final: every TODO that is not settled is cancelled, and its owner fenced off in the same transaction."""
    run = _unended(work, command.run, "cancel")
    if isinstance(run, Refused):
        return run
    run.cancelled, run.reason = True, f"cancelled by {command.by}"
    for todo in work.of_run(run.id):
        if todo.state not in OPEN and todo.state != "blocked":
            continue
        if todo.state in OWNED:
            end_attempt(work, todo, "cancelled")
        todo.fence += 1
        todo.ended_at = work.now
        work.move(todo, "cancelled")
    for question in work.questions.values():
        if question.run_id == run.id and question.state == "pending":
            question.state = "cancelled"
            work.dirty_questions[question.id] = question
    return Done()


def hold(work: Work, command: Hold) -> Done | Refused:
    """What runs may finish; nothing more is claimed."""
    run = _unended(work, command.run, "hold")
    if isinstance(run, Refused):
        return run
    if command.expected not in (None, run.placement):
        return Refused("not_allowed", "somebody has just resumed this run")
    run.held, run.reason = True, command.reason
    _say_state(work, run, command.reason)
    return Done()


def exhaust_time(work: Work, command: ExhaustTime) -> Done | Refused:
    """The working time is used up: what is in progress is given back as it stands, and nothing more is claimed."""
    run = _unended(work, command.run, "stop")
    if isinstance(run, Refused):
        return run
    budget = work.budgets.get(run.id)
    if budget is None or budget.seconds_limit is None or run.time(work.now) < budget.seconds_limit:
        return Refused("not_ready", "there is time left")
    if run.budget_exhausted:
        return Refused("not_ready", "the budget is used up already")
    for todo in work.of_run(run.id):
        if todo.state in OWNED:
            end_attempt(work, todo, "released", "budget")
            work.move(todo, "ready")
    run.budget_exhausted = True
    run.reason = f"the {budget.seconds_limit:,.0f} s of working time (wall_clock) are used up"
    work.event(run, None, "run.budget", said(budget, exhausted=True))
    return Done()


def resume(work: Work, command: Resume) -> Done | Refused:
    """Claimable again, from `placement`; deaths of earlier owners are forgotten."""
    run = _unended(work, command.run, "resume")
    if isinstance(run, Refused):
        return run
    if run.placement != command.expected:
        return Refused("not_allowed", "somebody else has just resumed this run")
    run.held = run.budget_exhausted = False
    run.reason = None
    if (command.tokens, command.nano, command.seconds) != (None, None, None):
        _raise_budget(work, command)
    run.placement = command.placement
    for todo in work.of_run(run.id):
        if todo.crash_count and todo.state in OPEN:
            todo.crash_count = 0
            work.dirty[todo.id] = todo
        if todo.state == "ready":
            work.wake(run, todo)
    _say_state(work, run, "resumed")
    return Done(work.ready)


def _raise_budget(work: Work, command: Resume) -> None:
    budget = work.budgets.get(command.run)
    if budget is None:
        budget = work.budgets[command.run] = BudgetState(command.run)
        work.new_budgets.add(command.run)
    budget.tokens_limit = command.tokens if command.tokens is not None else budget.tokens_limit
    budget.nano_limit = command.nano if command.nano is not None else budget.nano_limit
    budget.seconds_limit = command.seconds if command.seconds is not None else budget.seconds_limit
    budget.warned = False
    work.dirty_budgets.add(command.run)


def _say_state(work: Work, run: RunState, reason: str) -> None:
    """Also when the derived state stays the same: somebody did something."""
    _, settled, total = run.progress()
    work.run_state(run, run.derived(), settled, total, reason)
