"""One budget for all model calls of a run: the worst case of each is reserved before it is made, and settled after.

The limit holds whatever happens: what a call may have used beyond what is known of it (it was cut off, its worker died)
is withheld and never given to others.
"""

from __future__ import annotations

from state.agent_commands import ReserveCall, SettleCall
from state.commands import Done, Refused
from state.decisions.allowance import room, said, shortage
from state.decisions.ownership import owned
from state.work import BudgetState, CallState, RunState, Work, encode

WARN_AT = 0.8
"""Of a limit: a risk worth telling."""


def reserve(work: Work, command: ReserveCall) -> Done | Refused:
    """Hold the worst case, if the budget has room for it. Asked again, since the commit was not confirmed, is done."""
    todo = owned(work, command.todo, command.fence)
    if isinstance(todo, Refused):
        return todo
    if made := work.calls.get(command.call):
        as_asked = ("reserved", todo.id, command.tokens, command.nano or 0)
        if (made.state, made.todo_id, made.reserved_tokens, made.reserved_nano) == as_asked:
            return Done()
        return Refused("exists", f"there is a call {command.call} already")
    budget = work.budgets.get(todo.run_id) or BudgetState(todo.run_id)
    if command.nano is None and budget.nano_limit is not None and budget.tokens_limit is None:
        return Refused("unpriced", f"what {command.model} costs is not known, and the budget is in money alone")
    nano = command.nano or 0
    found = room(budget, command.tokens, nano)
    if found != "enough":
        return Refused("budget" if found == "none" else "budget_busy", shortage(budget, command.tokens, nano))
    if todo.run_id not in work.budgets:
        work.budgets[todo.run_id] = budget
        work.new_budgets.add(todo.run_id)
    budget.tokens_held += command.tokens
    budget.nano_held += nano
    work.dirty_budgets.add(todo.run_id)
    work.calls[command.call] = CallState(
        command.call, todo.run_id, todo.id, "reserved", command.tokens, nano
    )  # fmt: skip
    work.insert(
        "model_call",
        (
            command.call, todo.run_id, todo.id, todo.epoch, todo.attempt, todo.fence, command.role, command.model,
            "reserved", command.tokens, nano, 0, 0, 0, 0, 0, False, work.now,
        ),
    )  # fmt: skip
    return Done()


def settle(work: Work, command: SettleCall) -> Done | Refused:
    """Give back what was not used. What a lost call used may become known later. Told again is done."""
    call = work.calls.get(command.call)
    if call is None:
        return Refused("missing", f"no model call {command.call}")
    estimated = command.estimated or command.end == "lost"
    used = (command.input, command.cached, command.written, command.output, command.nano)
    known = (call.input, call.cached, call.written, call.output, call.nano)
    if (call.state, call.estimated, *known) == (command.end, estimated, *used):
        return Done()
    late = call.state == "lost" and command.end != "lost"
    if call.state != "reserved" and not late:
        return Refused("not_ready", f"the model call was {call.state} already")
    budget, run = work.budgets[call.run_id], work.runs[call.run_id]
    if late:
        budget.tokens -= call.tokens
        budget.cached -= call.cached
        budget.nano -= call.nano
        budget.tokens_withheld -= max(0, call.reserved_tokens - call.tokens)  # a lost call is always an estimate
        budget.nano_withheld -= max(0, call.reserved_nano - call.nano)
    else:
        budget.tokens_held -= call.reserved_tokens
        budget.nano_held -= call.reserved_nano
        budget.calls += 1
    call.state, call.estimated = command.end, estimated
    call.input, call.cached, call.written, call.output, call.nano = used
    budget.tokens += call.tokens
    budget.cached += call.cached
    budget.nano += call.nano
    if call.estimated:
        budget.tokens_withheld += max(0, call.reserved_tokens - call.tokens)
        budget.nano_withheld += max(0, call.reserved_nano - call.nano)
    work.dirty_budgets.add(call.run_id)
    work.dirty_calls[call.id] = call
    _warn(work, run, budget)
    return Done()


def _warn(work: Work, run: RunState, budget: BudgetState) -> None:
    used = max(
        (budget.tokens / budget.tokens_limit) if budget.tokens_limit else 0.0,
        (budget.nano / budget.nano_limit) if budget.nano_limit else 0.0,
    )
    if used >= WARN_AT and not budget.warned:
        budget.warned = True
        work.event(run, None, "run.budget", said(budget, exhausted=False))
        work.event(run, None, "todo.risk", encode({"text": f"{used:.0%} of the budget is used"}))
