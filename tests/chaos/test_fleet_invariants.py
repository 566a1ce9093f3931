"""A checker that can't fail is none: each invariant is shown a world in which just that is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from roles.models.port import Usage
from roles.models.prices import load_prices
from tests.chaos.fleet.aftermath import Aftermath, Billed, Promise, Row
from tests.chaos.fleet.consequences import ALL, late_starts, violations
from tests.chaos.fleet.demands import MODEL
from tests.chaos.fleet.effects import Effect, read_effects
from tests.chaos.fleet.invariants import STATE

_STATES = (
    "pending", "ready", "in_progress", "verifying", "awaiting_input", "blocked", "completed", "failed", "cancelled",
    "skipped", "not_applicable",
)  # fmt: skip
_DONE = frozenset({("completed", None)})
_FAILED = frozenset({("failed", "exit")})
_URL = "file:///published/a"
_TOKENS = (100, 5, 1, 20)
Break = Callable[[Aftermath], object]


def _todo(id: str, state: str = "completed", **fields: Any) -> Row:
    return {
        "id": id, "key": id, "run_id": "run", "kind": "task", "state": state, "reason": None, "detail": None,
        "owner": None, "fence": 1, "attempt": 0, "crash_count": 0, "epoch": 0, "ended_at": 10.0, **fields,
    }  # fmt: skip


def _attempt(todo: str, fence: int, outcome: str, reason: str | None = None, at: float = 1.0) -> Row:
    return {
        "todo_id": todo, "fence": fence, "worker": f"w{fence}", "started_at": at, "ended_at": at + 1,
        "outcome": outcome, "reason": reason,
    }  # fmt: skip


def _call(id: str, state: str = "answered", **fields: Any) -> Row:
    price = load_prices().of(MODEL)
    assert price
    nano = int(price.cost(Usage(*_TOKENS)) * 1_000_000_000)
    names = ("input", "cached", "written", "output")
    tokens = dict(zip(names, _TOKENS, strict=True))
    return {
        "id": id, "run_id": "run", "todo_id": "a", "fence": 2, "model": MODEL, "state": state, "estimated": False,
        "reserved_tokens": 500, "reserved_nano": 10**7, "nano": nano, **tokens, **fields,
    }  # fmt: skip


def _events() -> list[Row]:
    """a: claimed, its worker dies, claimed again, completed; b: after a, failed twice; c: skipped behind b."""
    told: list[tuple[str, str | None, dict[str, Any]]] = [
        ("run.submitted", None, {}),
        ("todo.state", "a", {"from": None, "to": "ready"}),
        ("todo.state", "b", {"from": None, "to": "pending"}),
        ("todo.state", "c", {"from": None, "to": "pending"}),
        ("todo.state", "a", {"from": "ready", "to": "in_progress", "fence": 1, "worker": "w1"}),
        ("worker.took_over", "a", {"worker": "w2"}),
        ("todo.state", "a", {"from": "in_progress", "to": "ready"}),
        ("todo.state", "a", {"from": "ready", "to": "in_progress", "fence": 2, "worker": "w2"}),
        ("todo.log", "a", {"fence": 2, "lines": []}),
        ("evidence.recorded", "a", {"fence": 2, "passed": True}),
        ("todo.state", "a", {"from": "in_progress", "to": "completed"}),
        ("todo.state", "b", {"from": "pending", "to": "ready"}),
        ("todo.state", "b", {"from": "ready", "to": "in_progress", "fence": 1, "worker": "w1"}),
        ("evidence.recorded", "b", {"fence": 1, "passed": False}),
        ("todo.state", "b", {"from": "in_progress", "to": "failed"}),
        ("todo.state", "c", {"from": "pending", "to": "skipped"}),
    ]  # fmt: skip
    return [
        {"run_id": "run", "seq": seq, "type": type, "todo_id": todo, "data": json.dumps(data)}
        for seq, (type, todo, data) in enumerate(told, 1)
    ]


def sound() -> Aftermath:
    """A small world where all is well."""
    todos = [
        _todo("a", crash_count=1, fence=2, ended_at=4.0),
        _todo("b", "failed", reason="exit", attempt=1),
        _todo("c", "skipped", fence=0),
    ]
    counts = {f"n_{state}": sum(todo["state"] == state for todo in todos) for state in _STATES}
    events = _events()
    run = {"id": "run", "name": "r", "state": "failed", "cancelled": False, "ended_at": 11.0, "last_event": len(events)}
    evidence = [
        {"todo_id": id, "fence": fence, "number": 0, "subject": "s", "passed": passed}
        for id, fence, passed in (("a", 2, True), ("b", 1, False))
    ]
    artifact = {"todo_id": "a", "fence": 2, "remote": _URL, "published_at": 5.0}
    needs = [{"need_id": "a", "todo_id": "b", "answer": None}, {"need_id": "b", "todo_id": "c", "answer": None}]
    lines = ["start a-1", "start a-2", "end a-2", "start b-1", "read b-1 a-2"]
    call, total = _call("m1"), sum(_TOKENS)
    budget = {
        "run_id": "run", "tokens": total, "cached": 5, "nano": call["nano"], "calls": 1, "tokens_held": 0,
        "nano_held": 0, "tokens_withheld": 0, "nano_withheld": 0,
    }  # fmt: skip
    return Aftermath(
        runs=[{**run, **counts}], todos=todos, needs=needs, events=events, evidence=evidence, artifacts=[artifact],
        attempts=[
            _attempt("a", 1, "released", "died"), _attempt("a", 2, "completed", at=3.0),
            _attempt("b", 1, "failed", "exit", at=5.0),
        ],
        calls=[call], budgets=[budget], messages=[{"call_id": "m1", "todo_id": "a"}], effects=read_effects(lines),
        published={_URL: "a-2\n"}, billed=[Billed(*_TOKENS, whole=True, raw=b"1")],
        promises={"r": Promise({"a": _DONE, "b": _FAILED, "c": _DONE})},
    )  # fmt: skip


def _event(world: Aftermath, seq: int, **data: Any) -> None:
    row = world.events[seq - 1]
    row["data"] = json.dumps({**json.loads(row["data"]), **data})


def _lose_a_call(world: Aftermath) -> None:
    """Its worker died: what it used is not known, and withheld."""
    world.calls[0] |= {
        "state": "lost",
        "estimated": True,
        "input": 0,
        "cached": 0,
        "written": 0,
        "output": 0,
        "nano": 0,
    }
    world.budgets[0] |= {"tokens": 0, "cached": 0, "nano": 0, "tokens_withheld": 500, "nano_withheld": 10**7}
    world.messages.clear()


_BROKEN: list[tuple[str, str, Break]] = [
    ("nothing_lost", "r: 0 times", lambda w: w.runs[0].update(name="other")),
    ("nothing_lost", "r: 2 times", lambda w: w.runs.append({**w.runs[0], "id": "again"})),
    ("nothing_lost", "x: nobody asked", lambda w: w.runs.append({**w.runs[0], "id": "x", "name": "x"})),
    ("nothing_lost", "not ['a', 'b', 'c']", lambda w: w.todos.pop()),
    ("all_ended", "r/a is ready", lambda w: w.todos[0].update(state="ready")),
    ("all_ended", "owned by w1", lambda w: w.todos[0].update(owner="w1")),
    ("all_ended", "has no end", lambda w: w.todos[0].update(ended_at=None)),
    ("all_ended", "run r is", lambda w: w.runs[0].update(ended_at=None)),
    ("ended_as_promised", "r/b ended ('completed', None)", lambda w: w.todos[1].update(state="completed", reason=None)),
    ("ended_as_promised", "r/a ended ('failed', 'exit')", lambda w: w.todos[0].update(state="failed", reason="exit")),
    ("ended_as_promised", "r/a ended ('cancelled', None)", lambda w: w.todos[0].update(state="cancelled")),
    ("needs_respected", "r/b was started", lambda w: w.events[10].update(seq=20)),
    ("needs_respected", "r/c is skipped", lambda w: w.todos[1].update(state="completed")),
    ("events_dense", "events [9]", lambda w: w.events.pop(8)),
    ("events_dense", "events [17]", lambda w: w.runs[0].update(last_event=17)),
    ("events_dense", "there are 17", lambda w: w.events.append(w.events[-1])),
    ("ended_once", "r/a: ended ['completed', 'completed']", lambda w: w.events.append({**w.events[10], "seq": 17})),
    ("ended_once", "r/a: ended []", lambda w: w.events.pop(10)),
    ("ended_once", "do not follow", lambda w: _event(w, 8, **{"from": "pending"})),
    ("claims_recorded", "under the fences [1, 3]", lambda w: w.attempts[1].update(fence=3)),
    ("claims_recorded", "other claims", lambda w: _event(w, 8, worker="w9")),
    ("claims_recorded", "attempt 1 is open", lambda w: w.attempts[0].update(ended_at=None)),
    ("claims_recorded", "completed under the fences [1, 2]", lambda w: w.attempts[0].update(outcome="completed")),
    ("claims_recorded", "is failed, and completed", lambda w: w.attempts[2].update(outcome="completed")),
    ("counted", "1 failed attempts, counted 2", lambda w: w.todos[1].update(attempt=2)),
    ("counted", "1 deaths, counted 2", lambda w: w.todos[0].update(crash_count=2)),
    ("counted", "1 deaths, and it is failed (poison)", lambda w: w.todos[0].update(state="failed", reason="poison")),
    ("stale_words", "todo.log of fence 1, while 2", lambda w: _event(w, 9, fence=1)),
    ("stale_words", "evidence.recorded of fence 1, while 2", lambda w: _event(w, 10, fence=1)),
    ("stale_words", "while None has it", lambda w: w.events.append({**w.events[8], "seq": 17})),
    ("evidence_of_winners", "0 pieces", lambda w: w.evidence.pop(0)),
    ("evidence_of_winners", "did not pass", lambda w: w.evidence[0].update(passed=False)),
    ("evidence_of_winners", "neither", lambda w: w.evidence.append({**w.evidence[0], "fence": 1})),
    ("runs_add_up", "counts {'completed': 2", lambda w: w.runs[0].update(n_completed=2)),
    ("runs_add_up", "run r is completed", lambda w: w.runs[0].update(state="completed")),
    ("outbox_empty", "r/a is in the outbox", lambda w: w.outbox.append({"todo_id": "a", "at": 1.0})),
    ("worked_by_claims", "start under fence 3", lambda w: w.effects.append(Effect("start", "a", 3))),
    ("worked_by_claims", "end 2 times", lambda w: w.effects.append(Effect("end", "a", 2))),
    ("worked_by_claims", "not carried out", lambda w: w.effects.pop(2)),
    ("winners_published", "is of 'a-1'", lambda w: w.published.update({_URL: "a-1\n"})),
    ("winners_published", "is of fence 1, and 2 won", lambda w: w.artifacts[0].update(fence=1)),
    ("winners_published", "is not published", lambda w: w.artifacts[0].update(published_at=None)),
    ("winners_published", "is missing", lambda w: w.published.clear()),
    ("winners_published", "by nobody", lambda w: w.published.update({"file:///published/b": "b-1\n"})),
    ("winners_published", "has read what a-1", lambda w: w.effects.append(Effect("read", "b", 2, "a-1"))),
    ("answers_booked", "no such answer was sent", lambda w: w.calls[0].update(output=21)),
    ("answers_booked", "no such answer was sent", lambda w: w.billed.__setitem__(0, replace(w.billed[0], whole=False))),
    ("answers_booked", "no such answer was sent", lambda w: w.calls.append(_call("m2"))),
    ("answers_booked", "1 were booked for", lambda w: w.calls[0].update(nano=1)),
    ("nothing_unbooked", "2 requests were answered", lambda w: w.billed.append(Billed(1, 0, 0, 1, True, b"2"))),
    ("nothing_unbooked", "tokens were used, and", lambda w: w.budgets[0].update(tokens=500)),
    ("nothing_unbooked", "are booked or withheld", lambda w: w.budgets[0].update(tokens=5)),
    ("nothing_unbooked", "is reserved still", lambda w: w.calls[0].update(state="reserved")),
    ("nothing_unbooked", "1 requests were sent again", lambda w: w.billed.append(Billed(0, 0, 0, 0, True, b"1"))),
    ("budgets_add_up", "'tokens_held': (7, 0)", lambda w: w.budgets[0].update(tokens_held=7)),
    ("budgets_add_up", "'calls': (2, 1)", lambda w: w.budgets[0].update(calls=2)),
    ("replies_kept", "2 times", lambda w: w.messages.append(w.messages[0])),
    ("replies_kept", "it was not answered", lambda w: w.calls[0].update(state="failed")),
    ("replies_kept", "its reply is gone", lambda w: w.messages.clear()),
    ("nothing_left", "process 1", lambda w: w.left.append("process 1")),
    ("nobody_broke", "Traceback", lambda w: w.broken.append("Traceback")),
]  # fmt: skip


def test_a_sound_world_has_no_violations() -> None:
    assert violations(sound()) == []


def test_a_call_that_was_lost_and_withheld_is_no_violation() -> None:
    world = sound()
    _lose_a_call(world)
    assert violations(world) == []


@pytest.mark.parametrize(
    ("invariant", "said", "spoil"), _BROKEN, ids=lambda value: value if isinstance(value, str) else ""
)
def test_it_is_seen(invariant: str, said: str, spoil: Break) -> None:
    world = sound()
    spoil(world)
    found = [line for line in violations(world) if line.startswith(f"{invariant}: ")]
    assert any(said in line for line in found), violations(world)


def test_each_invariant_is_broken_by_something() -> None:
    assert {invariant.__name__ for invariant in ALL} == {name for name, _, _ in _BROKEN}
    assert set(STATE) <= set(ALL)


def test_poison_and_cancelled_runs_are_ends_too() -> None:
    world = sound()
    world.todos[0].update(state="failed", reason="poison")
    assert not [line for line in violations(world) if line.startswith("ended_as_promised")]
    world.todos[0].update(state="cancelled", reason=None)
    world.runs[0].update(cancelled=True)
    cancelled = replace(world, promises={"r": replace(world.promises["r"], cancelled=True)})
    assert not [line for line in violations(cancelled) if line.startswith("ended_as_promised")]


def test_a_start_after_a_later_claim_is_counted() -> None:
    assert late_starts(sound()) == 0
    assert late_starts(Aftermath(effects=read_effects(["start a-2", "start a-1"]))) == 1
