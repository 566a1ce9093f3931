"""Who works on a TODO: claim, keep, give back. Every write of an owner carries its fence."""

from __future__ import annotations

import json

from state.commands import BeginVerifying, Claim, Claimed, ClaimedMany, ClaimNext, Done, Refused, Release, Say
from state.decisions import scheduling
from state.decisions.allowance import exhaust, room
from state.limits import DEADLINE_GRACE_SECONDS
from state.records import POISON_AFTER, QUEUE, Provenance
from state.room import Taking, asked
from state.work import RunState, TodoState, Work, encode, quote


def owned(work: Work, todo: str, fence: int) -> TodoState | Refused:
    """The TODO if this fence still owns it."""
    found = work.todos.get(todo)
    if found is None:
        return Refused("missing", f"no TODO {todo}")
    if found.state not in ("in_progress", "verifying") or found.fence != fence:
        return Refused("lease_lost", f"{found.key} is {found.state} under fence {found.fence}, not under {fence}")
    return found


def claim(work: Work, command: Claim) -> Claimed | Refused:
    """Compare and set: ready, due, and claimable from here; raises the fence."""
    todo = work.todos.get(command.todo)
    if todo is None:
        return Refused("missing", f"no TODO {command.todo}")
    run = work.runs[todo.run_id]
    refusal = _unclaimable(work, command, todo, run)
    if refusal:
        return Refused("not_ready", f"{todo.key}: {refusal}")
    document, provenance = _document(work, todo)
    waited = max(0.0, work.now - max(todo.ready_at or work.now, run.since or 0.0))
    todo.fence += 1
    todo.owner = command.worker
    todo.started_at = todo.started_at or work.now
    if run.placement == QUEUE:  # it has woken somebody: nothing is left to deliver
        work.wakes.discard(todo.id)
        work.delivered.add(todo.id)
    work.insert("attempt", (todo.id, todo.fence, todo.epoch, todo.attempt, command.worker, work.now))
    claimed = f'"fence":{todo.fence},"attempt":{todo.attempt},"worker":{quote(command.worker)}'
    work.move(todo, "in_progress", extra=claimed)
    if todo.lane:
        work.busy_lanes.add((run.id, todo.lane))
    todo.deadline = work.now + todo.timeout + DEADLINE_GRACE_SECONDS
    return Claimed(
        todo=todo.id, run=run.id, key=todo.key, kind=todo.kind, fence=todo.fence, epoch=todo.epoch,
        attempt=todo.attempt, crash_count=todo.crash_count, timeout=todo.timeout, deadline=todo.deadline,
        document=document, provenance=provenance, asks=asked(todo), waited=waited,
    )  # fmt: skip


def claim_next(work: Work, command: ClaimNext) -> ClaimedMany:
    """Claim from the loaded candidates, in their order."""
    claims: list[Claimed] = []
    taking = Taking(command, work.now)
    for id in work.candidates:
        if len(claims) >= command.limit:
            break
        todo = work.todos.get(id)
        if todo and not taking.has_room(todo):
            continue
        outcome = claim(work, Claim(id, command.worker, command.placement, command.labels))
        if todo and isinstance(outcome, Claimed):
            outcome.asks = taking.of(todo)
            taking.take(todo)
            claims.append(outcome)
    return ClaimedMany(claims, taking.passed_over)


def _unclaimable(work: Work, command: Claim, todo: TodoState, run: RunState) -> str | None:
    """Why not, in a few words."""
    if todo.state != "ready":
        return f"is {todo.state}"
    if todo.not_before > work.now:
        return "is not due yet"
    if run.placement != command.placement:
        return f"belongs to {run.placement}"
    if run.held or run.cancelled or run.budget_exhausted:
        return f"its run is {run.state}"
    if run.count["in_progress"] + run.count["verifying"] >= run.concurrency:
        return "its run has enough going on"
    if todo.lane and (run.id, todo.lane) in work.busy_lanes:
        return "changes files that another TODO is changing"
    if todo.labels and not command.labels.issuperset(json.loads(todo.labels)):
        return f"wants a worker with {todo.labels}"
    return None


def _document(work: Work, todo: TodoState) -> tuple[str, Provenance]:
    new = work.new_todos.get(todo.id)
    if new is None:
        document, provenance = work.documents[todo.id]
    elif run := work.new_runs.get(todo.run_id):
        document, provenance = new[0].document, run.provenance
    else:  # planned in this transaction: what else is loaded of it tells the run's provenance
        document = new[0].document
        provenance = next(work.documents[id][1] for id in work.documents if work.todos[id].run_id == todo.run_id)
    return document, provenance  # type: ignore[return-value]


def begin_verifying(work: Work, command: BeginVerifying) -> Done | Refused:
    """Work reported; evidence is being gathered."""
    todo = owned(work, command.todo, command.fence)
    if isinstance(todo, Refused):
        return todo
    if todo.state == "in_progress":
        work.move(todo, "verifying")
        work.dirty[todo.id] = todo
    return Done()


def say(work: Work, command: Say) -> Done | Refused:
    """An event by the owner."""
    todo = owned(work, command.todo, command.fence)
    if isinstance(todo, Refused):
        return todo
    work.event(work.runs[todo.run_id], todo.id, command.type, command.data)
    return Done()


def release(work: Work, command: Release) -> Done | Refused:
    """Back to ready, without a verdict; the third death of an owner is poison."""
    todo = owned(work, command.todo, command.fence)
    if isinstance(todo, Refused):
        return todo
    run = work.runs[todo.run_id]
    owner = todo.owner
    if command.cause == "died":
        todo.crash_count += 1
    poisoned = todo.crash_count >= POISON_AFTER
    end_attempt(work, todo, "failed" if poisoned else "released", "poison" if poisoned else command.cause)
    if command.by != owner:
        data = {"worker": command.by, "cause": command.cause, "crash_count": todo.crash_count}
        work.event(run, todo.id, "worker.took_over", encode(data))
    if poisoned:
        todo.ended_at = work.now
        last = f"the last was {(owner or '?')[-8:]}, while it was {todo.state}"
        work.move(todo, "failed", "poison", f"the worker died {todo.crash_count} times while it ran this; {last}")
        scheduling.settled(work, todo)
    else:
        if command.after:
            todo.not_before = work.now + command.after
        budget = work.budgets.get(run.id) if command.cause == "budget" else None
        if budget and room(budget, command.tokens, command.nano) == "none":  # it may have been raised meanwhile
            exhaust(work, run, budget, command.tokens, command.nano)
        work.move(todo, "ready")
    return Done(work.ready)


def end_attempt(
    work: Work, todo: TodoState, outcome: str, reason: str | None = None, detail: str | None = None
) -> None:
    """Close the attempt under the TODO's current fence."""
    work.update("attempt_ended", (work.now, outcome, reason, detail, todo.id, todo.fence))
