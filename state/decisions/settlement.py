"""How an attempt ends: completed with evidence, failed, or blocked. One fenced command each."""

from __future__ import annotations

from collections.abc import Sequence

from state.commands import Block, Complete, Done, Fail, Refused
from state.decisions import scheduling
from state.decisions.ownership import end_attempt, owned
from state.limits import DETAIL_CHARACTERS
from state.records import Evidence, Output
from state.work import TodoState, Work, encode, quote


def complete(work: Work, command: Complete) -> Done | Refused:
    """Completed means evidence: at least one item, all passed, all on the same subject."""
    todo = owned(work, command.todo, command.fence)
    if isinstance(todo, Refused):
        return todo
    evidence = command.evidence
    if not evidence or not all(item.passed for item in evidence) or len({item.subject for item in evidence}) > 1:
        return Refused("evidence", f"{todo.key}: completed needs evidence, all of it passed, all on one subject")
    run = work.runs[todo.run_id]
    if command.head and command.head[0] != run.head:
        return Refused("head_moved", f"{todo.key} was merged onto {command.head[0]}, and the head is {run.head} now")
    record(work, todo, evidence)
    if command.head:
        run.head = command.head[1]
    _list(work, todo, command.outputs)
    end_attempt(work, todo, "completed")
    todo.ended_at = work.now
    work.move(todo, "completed")
    scheduling.settled(work, todo)
    return Done(work.ready)


def fail(work: Work, command: Fail) -> Done | Refused:
    """An attempt failed: another one later, or the end."""
    todo = owned(work, command.todo, command.fence)
    if isinstance(todo, Refused):
        return todo
    detail = command.detail[:DETAIL_CHARACTERS]
    record(work, todo, command.evidence)
    end_attempt(work, todo, "failed", command.reason, detail)
    todo.attempt += 1
    if command.reason == "verification":
        work.event(work.runs[todo.run_id], todo.id, "todo.risk", encode({"text": f"{todo.key}: {detail}"}))
    if command.retry_after is not None:
        todo.not_before = work.now + command.retry_after
        work.move(todo, "ready", command.reason, detail)
    else:
        _list(work, todo, command.outputs)
        todo.ended_at = work.now
        work.move(todo, "failed", command.reason, detail)
        scheduling.settled(work, todo)
    return Done(work.ready)


def block(work: Work, command: Block) -> Done | Refused:
    """It can't go on until somebody changes something; what waits for it keeps waiting."""
    todo = owned(work, command.todo, command.fence)
    if isinstance(todo, Refused):
        return todo
    detail = command.detail[:DETAIL_CHARACTERS]
    end_attempt(work, todo, "blocked", command.reason, detail)
    work.move(todo, "blocked", command.reason, detail)
    return Done()


def _list(work: Work, todo: TodoState, outputs: Sequence[Output]) -> None:
    """The manifest of the attempt that ends the TODO."""
    for output in outputs:
        work.insert(
            "artifact",
            (
                todo.id, todo.fence, output.internal, todo.run_id, output.remote, output.staged, output.digest,
                output.size, output.tree, output.listing, work.now,
            ),
        )  # fmt: skip


def record(work: Work, todo: TodoState, evidence: Sequence[Evidence]) -> None:
    """Evidence of this attempt, whatever it says."""
    run = work.runs[todo.run_id]
    for number, item in enumerate(evidence):
        work.insert(
            "evidence",
            (
                todo.id, todo.fence, number, todo.epoch, todo.attempt, item.subject, item.item, item.item_hash,
                item.passed, item.command, item.exit_code, item.output_tail, item.digest, item.verifier, item.seconds,
                work.now,
            ),
        )  # fmt: skip
        data = f'{{"fence":{todo.fence},"item":{quote(item.item_hash)},"passed":{"true" if item.passed else "false"}}}'
        work.event(run, todo.id, "evidence.recorded", data)
