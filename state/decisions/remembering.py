"""What an attempt's roles said and did, under its fence; and the questions they ask."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from state.agent_commands import AskPerson, ForgetThreads, Remember, SavedCheckpoint, SavedWrite
from state.commands import Done, Refused
from state.decisions.ownership import end_attempt, owned
from state.records import EventType
from state.work import QuestionState, TodoState, Work, encode


def remember(work: Work, command: Remember) -> Done | Refused:
    """All of it."""
    todo = owned(work, command.todo, command.fence)
    if isinstance(todo, Refused):
        return todo
    _conversation(work, todo, command)
    for pack in command.packs:
        work.insert("commit_pack", (todo.run_id, pack.oid, pack.base, pack.digest, pack.size, work.now))
    for note in command.notes:
        id = work.new_id()
        work.insert("note", (id, todo.run_id, todo.id, note.kind, note.text, note.author, work.now))
    _checkpoints(work, todo, command.checkpoints)
    _writes(work, command.writes)
    run = work.runs[todo.run_id]
    for type, data in command.events:
        kind: EventType = type  # type: ignore[assignment]
        work.event(run, todo.id, kind, data)
    return Done()


def _conversation(work: Work, todo: TodoState, command: Remember) -> None:
    attempt = (todo.id, todo.epoch, todo.attempt)
    for said in command.said:
        row = (*attempt, said.talk, said.seq, said.role, said.speaker, said.blocks, said.stop, said.call, work.now)
        work.insert("message", row)
    for tool in command.tools:
        key = (*attempt, tool.talk, tool.seq, tool.number)
        work.put(
            "tool_call",
            key,
            (
                *key, tool.call, tool.name, tool.arguments, todo.fence, tool.state, tool.result, tool.digest,
                tool.snapshot, work.now,
            ),
        )  # fmt: skip
    if (now := command.standing) is not None:
        work.put(
            "agent",
            attempt,
            (
                *attempt, now.continuations, now.fruitless, now.credit, now.consultations, now.errors, now.turns,
                now.tool_calls, now.tokens, now.seconds, now.checklist, now.base, now.snapshot, now.outcome,
            ),
        )  # fmt: skip


def _checkpoints(work: Work, todo: TodoState, saved: Sequence[SavedCheckpoint]) -> None:
    for each in saved:
        key = (each.thread, each.ns, each.id)
        work.put("checkpoint", key, (*key, each.parent, todo.fence, each.type, each.body, each.meta))
        if each.prune and each.parent:  # the parent stays: writes may still be on their way to it
            _prune(work, each.thread, each.ns, each.parent)


def _prune(work: Work, thread: str, ns: str, before: str) -> None:
    """Older checkpoints go, also those that this transaction is about to write: deletes come first."""

    def stays(row: tuple[Any, ...]) -> bool:
        return (row[0], row[1]) != (thread, ns) or row[2] >= before

    for table in ("checkpoint", "checkpoint_write"):
        work.delete(f"old_{table}s", (thread, ns, before))
        if table in work.puts:
            work.puts[table] = {key: row for key, row in work.puts[table].items() if stays(key)}
        if table in work.new:
            work.new[table] = [row for row in work.new[table] if stays(row)]


def _writes(work: Work, saved: Sequence[SavedWrite]) -> None:
    for each in saved:
        key = (each.thread, each.ns, each.id, each.task, each.idx)
        row = (*key, each.path, each.channel, each.type, each.value)
        if each.replace:
            work.put("checkpoint_write", key, row)
        else:
            work.insert("checkpoint_write", row)


def forget_threads(work: Work, command: ForgetThreads) -> Done:
    """What is there of them goes. Alone in its `Work`, so that all that came before it is there."""
    kind = "superseded" if command.keep_latest else "whole"
    for thread in command.threads:
        work.delete(f"{kind}_checkpoint_writes", (thread,))
        work.delete(f"{kind}_checkpoints", (thread,))
    return Done()


def ask_person(work: Work, command: AskPerson) -> Done | Refused:
    """Question and state at once; nobody works on the TODO until it is answered."""
    todo = owned(work, command.todo, command.fence)
    if isinstance(todo, Refused):
        return todo
    if todo.kind == "report":
        return Refused("not_allowed", f"{todo.key}: a report asks nothing, as its run does not wait for it")
    if todo.state != "in_progress":
        return Refused("not_ready", f"{todo.key} is {todo.state}: who is judged asks nothing")
    choices = encode(list(command.choices))
    question = QuestionState(
        id=work.new_id(), run_id=todo.run_id, todo_id=todo.id, epoch=todo.epoch, key=command.key, text=command.text,
        choices=choices, state="pending", answer=None, answered_by=None,
        expires_at=work.now + command.expires if command.expires else None, asked_at=work.now, answered_at=None,
    )  # fmt: skip
    work.questions[question.id] = question
    work.new_questions.add(question.id)
    end_attempt(work, todo, "asked")
    work.move(todo, "awaiting_input")
    data = {
        "question": question.id, "text": question.text, "choices": json.loads(choices),
        "expires_at": question.expires_at,
    }  # fmt: skip
    work.event(work.runs[todo.run_id], todo.id, "question.asked", encode(data))
    return Done()
