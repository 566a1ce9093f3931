"""What each command does to the model, and when it is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from state.agent_commands import AskPerson, ReserveCall, SettleCall
from state.commands import (
    AdvanceSink,
    Answer,
    BeginVerifying,
    Block,
    Cancel,
    Claim,
    ClaimNext,
    Command,
    Complete,
    Delivered,
    ExhaustTime,
    Expire,
    ExtendRun,
    Fail,
    Hold,
    NewTodo,
    Published,
    Release,
    Resume,
    Retry,
    Say,
    SubmitRun,
    TakeSink,
)
from tests.contract.store_model import ENDED, OWNED, QUEUE, Model, Row


class No(Exception):
    """Refused, with this code, before anything was changed."""


def expect(model: Model, command: Command) -> object:
    """Carry it out. What the store has to answer: the code of a refusal, what claims give, else the TODOs that it makes
    claimable."""
    model.woken = set()
    try:
        answer = _RULES[type(command)](model, command)
    except No as no:
        return str(no)
    for run in model.runs:
        model.follow(run)
        model.measure(run)
    return model.woken if answer is None else answer


def _submit(model: Model, command: SubmitRun) -> None:
    if command.run in model.runs:
        raise No("exists")
    if command.once in model.submitted:
        raise No("repeated")
    _refuse_flawed(model, command.todos, [])
    model.runs[command.run] = {
        "placement": command.placement, "concurrency": command.concurrency, "held": False, "cancelled": False,
        "exhausted": False, "planning": [todo.kind for todo in command.todos] == ["plan"], "head": None,
        "tokens": command.tokens, "seconds": command.seconds, "worked": 0.0, "since": None,
    }  # fmt: skip
    if command.once:
        model.submitted[command.once] = command.run
    _add(model, command.run, command.todos)


def _refuse_flawed(model: Model, todos: Iterable[NewTodo], before: list[str]) -> None:
    known = list(before)
    for new in todos:
        needs = [need for need, _ in new.needs]
        if new.id in model.todos or new.id in known or len(set(needs)) < len(needs) or not set(needs) <= set(known):
            raise No("invalid")
        known.append(new.id)
    if not known:
        raise No("invalid")


def _add(model: Model, run: str, todos: Iterable[NewTodo]) -> None:
    for new in todos:
        asks: Row = json.loads(new.ask or "{}")
        model.todos[new.id] = {
            "run": run, "kind": new.kind, "state": "pending", "needs": list(new.needs), "lane": new.lane,
            "priority": new.priority, "labels": list(new.labels), "choices": asks.get("choices") or [],
            "expires": asks.get("expires"), "fence": 0, "attempt": 0, "crashes": 0, "epoch": 0, "owner": None,
            "due": 0.0, "answer": None,
        }  # fmt: skip


def _going(model: Model, id: str) -> Row:
    if id not in model.runs:
        raise No("missing")
    if model.run_state(id) in ("completed", "failed", "cancelled"):
        raise No("not_allowed")
    return model.runs[id]


def _cancel(model: Model, command: Cancel) -> None:
    _going(model, command.run)["cancelled"] = True
    for id, todo in model.of(command.run):
        if todo["state"] not in ENDED:
            todo["fence"] += 1
            model.leave(todo, "cancelled")
        if question := model.open_question(id):
            question["state"] = "cancelled"


def _hold(model: Model, command: Hold) -> None:
    run = _going(model, command.run)
    if command.expected is not None and command.expected != run["placement"]:
        raise No("not_allowed")
    run["held"] = True


def _exhaust_time(model: Model, command: ExhaustTime) -> object:
    run = _going(model, command.run)
    worked = run["worked"] + (model.now - run["since"] if run["since"] is not None else 0.0)
    if run["exhausted"] or run["seconds"] is None or worked < run["seconds"]:
        raise No("not_ready")
    run["exhausted"] = True
    for id, todo in model.of(command.run):
        if todo["state"] in OWNED:
            model.wake(id)
    return set[str]()  # nobody is to be woken for what nobody may claim


def _resume(model: Model, command: Resume) -> None:
    run = _going(model, command.run)
    if command.expected != run["placement"]:
        raise No("not_allowed")
    run["held"] = run["exhausted"] = False
    run["placement"] = command.placement
    for name in ("tokens", "seconds"):
        if (limit := getattr(command, name)) is not None:
            run[name] = limit
    for id, todo in model.of(command.run):
        if todo["state"] not in (*ENDED, "blocked"):
            todo["crashes"] = 0
        if todo["state"] == "ready":
            model.tell(id)


def _claim(model: Model, command: Claim) -> object:
    if command.todo not in model.todos:
        raise No("missing")
    if not model.claimable(command.todo, command.placement, command.labels):
        raise No("not_ready")
    return _take(model, command.todo, command.worker)


def _take(model: Model, id: str, worker: str) -> tuple[object, ...]:
    """Somebody has it now."""
    todo = model.todos[id]
    todo["state"], todo["owner"] = "in_progress", worker
    todo["fence"] += 1
    if model.runs[todo["run"]]["placement"] == QUEUE:
        model.outbox.discard(id)
    return (id, todo["run"], todo["fence"], todo["epoch"], todo["attempt"], todo["crashes"])


def _claim_next(model: Model, command: ClaimNext) -> object:
    """As many as there are, the most urgent first."""
    taken: list[object] = []
    for id, todo in sorted(model.todos.items(), key=lambda item: (-item[1]["priority"], item[0])):
        wanted = command.run in (None, todo["run"]) and len(taken) < command.limit
        if wanted and model.claimable(id, command.placement, command.labels):
            taken.append(_take(model, id, command.worker))
    return taken


def _owned(model: Model, command: Any) -> Row:
    todo = model.todos.get(command.todo)
    if todo is None:
        raise No("missing")
    if todo["state"] not in OWNED or todo["fence"] != command.fence:
        raise No("lease_lost")
    return todo


def _verify(model: Model, command: BeginVerifying) -> None:
    _owned(model, command)["state"] = "verifying"


def _say(model: Model, command: Say) -> None:
    _owned(model, command)


def _complete(model: Model, command: Complete) -> None:
    todo = _owned(model, command)
    run = model.runs[todo["run"]]
    _refuse_unproven(command)
    if command.head:
        if command.head[0] != run["head"]:
            raise No("head_moved")
        run["head"] = command.head[1]
    _list(model, command)
    model.leave(todo, "completed")


def _list(model: Model, command: Complete | Fail) -> None:
    for each in command.outputs:
        model.outputs[command.todo, command.fence, each.internal] = False


def _extend(model: Model, command: ExtendRun) -> None:
    plan = _owned(model, command)
    if plan["kind"] != "plan":
        raise No("not_allowed")
    _refuse_unproven(command)
    here = [id for id, _ in model.of(plan["run"])]
    for new in command.todos:
        waits = [need for need, _ in new.needs if need in here and model.todos[need]["state"] == "pending"]
        if waits and new.kind != "report":
            raise No("invalid")
    _refuse_flawed(model, command.todos, here)
    for id in here:
        for wanted in [wanted for need, wanted in model.todos[id]["needs"] if need == command.todo]:
            model.todos[id]["needs"] += [(new.id, wanted) for new in command.todos if new.kind != "report"]
    _add(model, plan["run"], command.todos)
    model.runs[plan["run"]]["planning"] = False
    model.leave(plan, "completed")


def _fail(model: Model, command: Fail) -> None:
    todo = _owned(model, command)
    todo["attempt"] += 1
    if command.retry_after is None:
        _list(model, command)
        model.leave(todo, "failed")
    else:
        todo["due"] = model.now + command.retry_after
        model.wake(command.todo)


def _block(model: Model, command: Block) -> None:
    model.leave(_owned(model, command), "blocked")


def _release(model: Model, command: Release) -> None:
    todo = _owned(model, command)
    todo["crashes"] += command.cause == "died"
    if todo["crashes"] >= 3:
        model.leave(todo, "failed")
        return
    if command.after:
        todo["due"] = model.now + command.after
    run = model.runs[todo["run"]]
    if command.cause == "budget" and run["tokens"] is not None:
        run["exhausted"] = run["exhausted"] or model.spent(todo["run"])[0] + command.tokens > run["tokens"]
    model.wake(command.todo)


def _ask_person(model: Model, command: AskPerson) -> None:
    todo = _owned(model, command)
    if todo["kind"] == "report":
        raise No("not_allowed")
    if todo["state"] != "in_progress":
        raise No("not_ready")
    model.ask(command.todo, command.key, list(command.choices), command.expires)


def _reserve(model: Model, command: ReserveCall) -> None:
    run = _owned(model, command)["run"]
    if made := model.calls.get(command.call):
        if (made["ended"], made["todo"], made["most"]) == (None, command.todo, command.tokens):
            return
        raise No("exists")
    limit, (sure, held) = model.runs[run]["tokens"], model.spent(run)
    if limit is not None and sure + command.tokens > limit:
        raise No("budget")
    if limit is not None and sure + held + command.tokens > limit:
        raise No("budget_busy")
    call: Row = {"run": run, "todo": command.todo, "most": command.tokens, "used": 0, "ended": None, "unsure": False}
    model.calls[command.call] = call


def _settle(model: Model, command: SettleCall) -> None:
    call = model.calls.get(command.call)
    if call is None:
        raise No("missing")
    unsure = command.estimated or command.end == "lost"
    if (call["ended"], call["unsure"], call.get("said")) == (command.end, unsure, (command.input, command.output)):
        return
    if call["ended"] and not (call["ended"] == "lost" and command.end != "lost"):
        raise No("not_ready")
    call["ended"], call["unsure"], call["said"] = command.end, unsure, (command.input, command.output)
    call["used"] = command.input + command.cached + command.written + command.output


def _asked(model: Model, id: str) -> tuple[Row, Row]:
    question = next((each for each in model.questions if each["id"] == id), None)
    if question is None:
        raise No("missing")
    if question["state"] != "pending":
        raise No("not_ready")
    return question, model.todos[question["todo"]]


def _answer(model: Model, command: Answer) -> None:
    question, todo = _asked(model, command.question)
    if question["expires"] is not None and question["expires"] <= model.now:
        raise No("not_ready")
    if question["choices"] and command.value not in question["choices"]:
        raise No("invalid")
    question["state"], question["answer"] = "answered", command.value
    if todo["kind"] == "ask":
        todo["answer"] = command.value
        model.leave(todo, "completed")
    else:
        model.wake(question["todo"])


def _expire(model: Model, command: Expire) -> None:
    question, todo = _asked(model, command.question)
    if question["expires"] is None or question["expires"] > model.now:
        raise No("not_ready")
    question["state"] = "expired"
    model.leave(todo, "blocked")


def _retry(model: Model, command: Retry) -> None:
    todo = model.todos.get(command.todo)
    if todo is None:
        raise No("missing")
    if model.runs[todo["run"]]["cancelled"] or todo["state"] not in ("failed", "blocked"):
        raise No("not_allowed")
    _renew(todo)
    model.begin(command.todo)
    reopened = True
    while reopened:  # what was skipped, unless something still speaks against it
        reopened = False
        for _, other in model.of(todo["run"]):
            if other["state"] == "skipped" and "bad" not in model.standings(other):
                _renew(other)
                other["state"] = "not_applicable" if "moot" in model.standings(other) else "pending"
                reopened = True
    for _, other in model.of(todo["run"]):  # a report would tell of an end that was none
        told = other["kind"] == "report" and other["state"] not in ("pending", "cancelled")
        if told and "open" in model.standings(other):
            other["fence"] += other["state"] in OWNED
            _renew(other)
            model.leave(other, "pending")


def _delivered(model: Model, command: Delivered) -> None:
    model.outbox -= set(command.todos)


def _published(model: Model, command: Published) -> None:
    todo = model.todos.get(command.todo)
    if todo is None:
        raise No("missing")
    if todo["state"] not in ("completed", "failed") and not todo["epoch"]:
        raise No("not_ready")
    for internal in command.internals:
        if (key := (command.todo, command.fence, internal)) in model.outputs:
            model.outputs[key] = True


def _take_sink(model: Model, command: TakeSink) -> None:
    owner, until, since = model.sinks.get(command.sink, (command.worker, 0.0, model.now))
    if owner != command.worker and until > model.now:
        raise No("lease_lost")
    model.sinks[command.sink] = (command.worker, model.now + command.seconds, since)


def _advance_sink(model: Model, command: AdvanceSink) -> None:
    owner, until, since = model.sinks.get(command.sink, ("", 0.0, 0.0))
    if owner != command.worker:
        raise No("lease_lost")
    for run, seq in command.told:
        model.cursors[command.sink, run] = max(seq, model.cursors.get((command.sink, run), 0))
    if command.caught_up:
        model.sinks[command.sink] = (owner, until, max(since, model.now - 300.0))


def _refuse_unproven(command: Complete | ExtendRun) -> None:
    passed = [item.passed for item in command.evidence]
    if not passed or not all(passed) or len({item.subject for item in command.evidence}) > 1:
        raise No("evidence")


def _renew(todo: Row) -> None:
    todo["epoch"] += 1
    todo.update(attempt=0, crashes=0, due=0.0, answer=None)


_RULES: dict[type[Any], Callable[[Model, Any], object]] = {
    SubmitRun: _submit, ExtendRun: _extend, Cancel: _cancel, Hold: _hold,
    Resume: _resume, ExhaustTime: _exhaust_time, Claim: _claim, ClaimNext: _claim_next,
    BeginVerifying: _verify, Say: _say, Complete: _complete, Fail: _fail, Block: _block,
    Release: _release, AskPerson: _ask_person, ReserveCall: _reserve, SettleCall: _settle,
    Answer: _answer, Expire: _expire, Retry: _retry, Delivered: _delivered,
    Published: _published, TakeSink: _take_sink, AdvanceSink: _advance_sink,
}  # fmt: skip
