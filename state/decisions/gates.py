"""Questions to people: answered or expired, never guessed."""

from __future__ import annotations

import json

from state.commands import Answer, Done, Expire, Refused
from state.decisions import scheduling
from state.records import Evidence
from state.work import QuestionState, TodoState, Work, encode


def _open_question(work: Work, id: str) -> tuple[QuestionState, TodoState] | Refused:
    question = work.questions.get(id)
    if question is None:
        return Refused("missing", f"no question {id}")
    if question.state != "pending":
        word = f"was answered {question.answer!r}" if question.state == "answered" else f"is {question.state}"
        return Refused("not_ready", f"the question {word} already")
    return question, work.todos[question.todo_id]


def answer(work: Work, command: Answer) -> Done | Refused:
    """A gate completes with its answer as evidence; dependents that wanted another one do not apply. A role that asked
    goes on."""
    found = _open_question(work, command.question)
    if isinstance(found, Refused):
        return found
    question, todo = found
    if question.expires_at is not None and question.expires_at <= work.now:
        return Refused("not_ready", "the question has expired")
    choices: list[str] = json.loads(question.choices)
    if choices and command.value not in choices:
        return Refused("invalid", f"{command.value!r} is not one of: {', '.join(choices)}")
    question.state, question.answer, question.answered_by = "answered", command.value, command.by
    question.answered_at = work.now
    work.dirty_questions[question.id] = question
    run = work.runs[todo.run_id]
    data = {"question": question.id, "answer": command.value, "by": command.by}
    work.event(run, todo.id, "question.answered", encode(data))
    if todo.kind != "ask":
        work.move(todo, "ready")
        return Done(work.ready)
    _evidence(work, todo, question)
    todo.answer = command.value
    todo.ended_at = work.now
    work.move(todo, "completed")
    scheduling.settled(work, todo)
    return Done(work.ready)


def _evidence(work: Work, todo: TodoState, question: QuestionState) -> None:
    """The answer, who and when, is a gate's evidence; its fence is the epoch, as no worker ever claims it."""
    item = encode({"ask": question.text})
    row = Evidence(
        subject=f"question:{question.id}", item=item, item_hash="", passed=True, command=None, exit_code=None,
        output_tail=question.answer or "", digest="", verifier=question.answered_by or "", seconds=0.0,
    )  # fmt: skip
    work.insert(
        "evidence",
        (
            todo.id, todo.epoch, 0, todo.epoch, todo.attempt, row.subject, row.item, row.item_hash, True, None, None,
            row.output_tail, row.digest, row.verifier, row.seconds, work.now,
        ),
    )  # fmt: skip
    data = f'{{"fence":{todo.epoch},"item":"","passed":true}}'
    work.event(work.runs[todo.run_id], todo.id, "evidence.recorded", data)


def expire(work: Work, command: Expire) -> Done | Refused:
    """Blocked, with the reason `expired`."""
    found = _open_question(work, command.question)
    if isinstance(found, Refused):
        return found
    question, todo = found
    if question.expires_at is None or question.expires_at > work.now:
        return Refused("not_ready", "the question has not expired")
    question.state = "expired"
    work.dirty_questions[question.id] = question
    work.event(work.runs[todo.run_id], todo.id, "question.expired", encode({"question": question.id}))
    work.move(todo, "blocked", "expired", "nobody answered in time")
    return Done()
