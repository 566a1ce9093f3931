"""What must hold of the rows, whatever has happened. Each yields its violations, naming the rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from state.records import BAD_ENDS, OWNED, POISON_AFTER, TERMINAL
from tests.chaos.fleet.aftermath import Aftermath, Row, grouped

Invariant = Callable[[Aftermath], Iterator[str]]
_STATES = (
    "pending", "ready", "in_progress", "verifying", "awaiting_input", "blocked", "completed", "failed", "cancelled",
    "skipped", "not_applicable",
)  # fmt: skip
_OWNERS_WORDS = frozenset(
    ("todo.progress", "todo.log", "evidence.recorded", "role.turn", "role.tool", "role.checklist")
)
"""Events that only who owns the TODO may cause."""
POISONED = ("failed", "poison")


def nothing_lost(world: Aftermath) -> Iterator[str]:
    """Everything that was asked for is there once: runs by their name, their TODOs by their key."""
    names = Counter(row["name"] for row in world.runs)
    yield from (f"run {name}: {names[name]} times" for name in world.promises if names[name] != 1)
    yield from (f"run {name}: nobody asked for it" for name in names - Counter(world.promises.keys()))
    keys = grouped(world.todos, "run_id")
    for run in world.runs:
        found = sorted(row["key"] for row in keys[run["id"]] if row["kind"] != "report")
        promise = world.promises.get(run["name"])
        if promise and found != sorted(promise.ends):
            yield f"run {run['name']}: its TODOs are {found}, not {sorted(promise.ends)}"


def all_ended(world: Aftermath) -> Iterator[str]:
    """Every TODO is in a terminal state, owned by nobody; every run has ended."""
    for row in world.todos:
        if row["state"] not in TERMINAL:
            yield f"{world.name(row['id'])} is {row['state']} ({row['reason']}: {row['detail']})"
        if row["owner"] is not None:
            yield f"{world.name(row['id'])} is {row['state']} and owned by {row['owner']}"
        if row["ended_at"] is None:
            yield f"{world.name(row['id'])} is {row['state']} and has no end"
    yield from (f"run {row['name']} is {row['state']}" for row in world.runs if row["ended_at"] is None)


def ended_as_promised(world: Aftermath) -> Iterator[str]:
    """As asked for; or poison, after three deaths; or skipped, after a need that ended badly."""
    bad = {row["id"] for row in world.todos if row["state"] in BAD_ENDS}
    needs = grouped(world.needs, "todo_id")
    for row in world.todos:
        run = world.run[row["run_id"]]
        promise = world.promises.get(run["name"])
        if promise is None or row["key"] not in promise.ends:
            continue
        end = (row["state"], row["reason"])
        skipped = row["state"] == "skipped" and any(need["need_id"] in bad for need in needs[row["id"]])
        cancelled = row["state"] == "cancelled" and promise.cancelled and run["cancelled"]
        if end not in promise.ends[row["key"]] | {POISONED} and not skipped and not cancelled:
            yield f"{world.name(row['id'])} ended {end}, not as one of {sorted(promise.ends[row['key']], key=str)}"


def needs_respected(world: Aftermath) -> Iterator[str]:
    """Nothing was started before all of its needs had completed, and what is skipped has a need that ended badly. The
    order is that of the events: clocks are read before locks are waited for."""
    started: dict[str, int] = {}
    completed: dict[str, int] = {}
    for move in _moves(world):
        if move["data"]["to"] == "in_progress":
            started.setdefault(move["todo_id"], move["seq"])
        elif move["data"]["to"] == "completed":
            completed[move["todo_id"]] = move["seq"]
    for row in world.needs:
        begun, ended = started.get(row["todo_id"]), completed.get(row["need_id"])
        if begun is not None and row["answer"] != "*" and (ended is None or ended > begun):
            name, need = world.name(row["todo_id"]), world.name(row["need_id"])
            yield f"{name} was started by event {begun}, {need} ended by {ended}"
    needs = grouped(world.needs, "todo_id")
    bad = {row["id"] for row in world.todos if row["state"] in BAD_ENDS}
    for row in world.todos:
        if row["state"] == "skipped" and not any(need["need_id"] in bad for need in needs[row["id"]]):
            yield f"{world.name(row['id'])} is skipped, and no need of it ended badly"


def events_dense(world: Aftermath) -> Iterator[str]:
    """Numbered from 1 to the run's last, without a gap and without a repetition."""
    events = grouped(world.events, "run_id")
    for run in world.runs:
        found = [row["seq"] for row in events[run["id"]]]
        if found != list(range(1, run["last_event"] + 1)):
            odd = sorted(set(range(1, run["last_event"] + 1)) ^ set(found))
            yield f"run {run['name']}: events {odd[:10]} of {run['last_event']}; there are {len(found)}"


def ended_once(world: Aftermath) -> Iterator[str]:
    """The events of a TODO are one chain of states, with one terminal state: the last, which the row has."""
    chains = grouped(_moves(world), "todo_id")
    for todo in world.todos:
        chain = [(row["data"]["from"], row["data"]["to"]) for row in chains[todo["id"]]]
        told = [to for _, to in chain]
        if [before for before, _ in chain] != [None, *told[:-1]]:
            yield f"{world.name(todo['id'])}: its states do not follow each other: {chain}"
        ends = [to for to in told if to in TERMINAL]
        if len(ends) != 1 or told[-1] != todo["state"]:
            yield f"{world.name(todo['id'])}: ended {ends}, last {told[-1:]}, and is {todo['state']}"


def claims_recorded(world: Aftermath) -> Iterator[str]:
    """Each claim has its attempt and its event, under fences that rise by one; each attempt has ended, and one at most
    has completed: the last."""
    chains = grouped(_moves(world), "todo_id")
    for todo in world.todos:
        attempts, name = world.attempts_of[todo["id"]], world.name(todo["id"])
        fences = [row["fence"] for row in attempts]
        if fences != list(range(1, len(fences) + 1)):
            yield f"{name}: attempts under the fences {fences}"
        told = [row["data"] for row in chains[todo["id"]] if row["data"]["to"] == "in_progress"]
        if [(data["fence"], data["worker"]) for data in told] != [(row["fence"], row["worker"]) for row in attempts]:
            yield f"{name}: its events tell of other claims than its attempts"
        yield from (f"{name}: attempt {row['fence']} is open" for row in attempts if row["ended_at"] is None)
        won = [row["fence"] for row in attempts if row["outcome"] == "completed"]
        wanted = fences[-1:] if todo["state"] == "completed" and todo["kind"] != "ask" else []
        if won != wanted:
            yield f"{name} is {todo['state']}, and completed under the fences {won}"


def counted(world: Aftermath) -> Iterator[str]:
    """Reported failures and deaths are what the attempts say; three deaths are poison, and only they."""
    for todo in world.todos:
        attempts, name = world.attempts_of[todo["id"]], world.name(todo["id"])
        failed = sum(row["outcome"] == "failed" and row["reason"] != "poison" for row in attempts)
        if failed != todo["attempt"]:
            yield f"{name}: {failed} failed attempts, counted {todo['attempt']}"
        deaths = sum(row["reason"] in ("died", "poison") for row in attempts)
        if todo["crash_count"] > deaths:  # a person's resume forgets some
            yield f"{name}: {deaths} deaths, counted {todo['crash_count']}"
        if (todo["reason"] == "poison") != (todo["crash_count"] >= POISON_AFTER):
            yield f"{name}: {todo['crash_count']} deaths, and it is {todo['state']} ({todo['reason']})"


def stale_words(world: Aftermath) -> Iterator[str]:
    """Whatever an owner says of a TODO was written while it owned it, under its fence."""
    fence: dict[str, int | None] = {}
    for row in world.events:
        todo, data = row["todo_id"], json.loads(row["data"])
        if todo is None or world.todo.get(todo, {}).get("kind") == "ask":  # nobody owns a gate
            continue
        if row["type"] == "todo.state":
            if data["to"] == "in_progress":
                fence[todo] = data["fence"]
            elif data["to"] not in OWNED:
                fence[todo] = None
        elif row["type"] in _OWNERS_WORDS:
            now = fence.get(todo)
            if now is None or data.get("fence", now) != now:
                said = f"{row['type']} of fence {data.get('fence', '?')}"
                yield f"{world.name(todo)}: event {row['seq']} is {said}, while {now} has it"


def evidence_of_winners(world: Aftermath) -> Iterator[str]:
    """Completed means evidence: all of it passed, on one subject, under the fence that won. What else there is, is of
    attempts that failed."""
    evidence = grouped(world.evidence, "todo_id")
    outcome = {(row["todo_id"], row["fence"]): row["outcome"] for row in world.attempts}
    for todo in world.todos:
        name = world.name(todo["id"])
        won = world.winner(todo["id"])
        own = [row for row in evidence[todo["id"]] if row["fence"] == won]
        if won is not None and (not own or len({row["subject"] for row in own}) != 1):
            yield f"{name}: {len(own)} pieces of evidence under its fence {won}"
        yield from (f"{name}: completed with evidence that did not pass" for row in own if not row["passed"])
        for row in evidence[todo["id"]]:
            if todo["kind"] != "ask" and outcome.get((row["todo_id"], row["fence"])) not in ("completed", "failed"):
                yield f"{name}: evidence of fence {row['fence']}, which neither completed nor failed"


def runs_add_up(world: Aftermath) -> Iterator[str]:
    """A run's counters count its TODOs, and its state follows from them; a report that is written is none of them."""
    todos = grouped((row for row in world.todos if row["kind"] != "report"), "run_id")
    for run in world.runs:
        states = Counter(row["state"] for row in todos[run["id"]])
        wrong = {state: run[f"n_{state}"] for state in _STATES if run[f"n_{state}"] != states[state]}
        if wrong:
            yield f"run {run['name']}: counts {wrong}, has {dict(states)}"
        bad = "failed" if states["failed"] or states["skipped"] else "completed"
        if run["state"] != ("cancelled" if run["cancelled"] else bad):
            yield f"run {run['name']} is {run['state']}, with {dict(states)}"


def outbox_empty(world: Aftermath) -> Iterator[str]:
    """No wake-up waits: nothing is left to wake for."""
    yield from (f"{world.name(row['todo_id'])} is in the outbox since {row['at']}" for row in world.outbox)


def _moves(world: Aftermath) -> list[Row]:
    found: list[dict[str, Any]] = []
    for row in world.events:
        if row["type"] == "todo.state":
            found.append({**row, "data": json.loads(row["data"])})
    return found


STATE: tuple[Invariant, ...] = (
    nothing_lost, all_ended, ended_as_promised, needs_respected, events_dense, ended_once, claims_recorded, counted,
    stale_words, evidence_of_winners, runs_add_up, outbox_empty,
)  # fmt: skip
