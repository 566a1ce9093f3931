"""Another plan for what is left of a run: what it may replace, what it finds, and what the whole plan is afterwards.

What only people may write into a plan, a plan of a model may not leave out either: gates, pushes, and TODOs with
secrets, inputs, outputs or a network stay, and wait for whatever is planned instead of the rest. So does what comes
after a gate: it was to be asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlmodel import Session, select

from orchestrator.plan.agent_spec import AgentSpec
from orchestrator.plan.reading import canonical_tree
from orchestrator.plan.todos import PLAN_KEY, approval_key, replanning_todo
from state import reading
from state.commands import NewTodo, Replan
from state.errors import Conflict, InputError
from state.records import ANY_END, TERMINAL
from state.tables import Run, Todo, TodoNeed
from state.touches import overlap

WHY_CHARACTERS = 10_000
_ONLY_PEOPLES = ("ask", "push", "secrets", "inputs", "outputs")


@dataclass(frozen=True, slots=True)
class Revision:
    """What a new plan finds, by key. `needable` (key to id): TODOs that are done or in progress, which new ones may
    need. `taken`: ids that new ones may not have. `waiting`: TODOs that stay and come after all new ones. `going`: (id,
    what it touches) of roles at work. `kept`: entries of the plan before that go on holding. `everything`: the ids of
    all TODOs; `reported`: whether one of them is a report."""

    why: str
    by: str
    plan: str
    needable: Mapping[str, str] = field(default_factory=dict[str, str])
    taken: frozenset[str] = frozenset()
    waiting: Sequence[str] = ()
    going: Sequence[tuple[str, Sequence[str]]] = ()
    kept: Sequence[dict[str, Any]] = ()
    everything: Sequence[str] = ()
    reported: bool = False


def replan_command(session: Session, run: Run, why: str, by: str) -> Replan:
    """`InputError`: see `check_reason`. `Conflict`: the run had no plan to begin with."""
    check_reason(why)
    first = json.loads(reading.first_plan(session, run.id).document)
    if "todos" not in first and "goal" not in first:
        raise Conflict(f"{run.name} is one task without a plan", "Submit another task, or begin with a goal: atlas do")
    peoples = _peoples(first.get("todos", ()))
    todos = reading.todos(session, run.id)
    replaced = [todo.id for todo in todos if todo.kind != "report" and todo.key not in peoples]
    others = [todo.id for todo in todos if todo.kind == "report" or todo.key in peoples]
    taken = {todo.key for todo in todos}
    number = 2
    while {f"{PLAN_KEY}-{number}", approval_key(f"{PLAN_KEY}-{number}")} & taken:
        number += 1
    new = replanning_todo(f"{PLAN_KEY}-{number}", run.goal, why.strip(), by)
    return Replan(run.id, new, replaced, others, why.strip(), by)


def check_reason(why: str) -> None:
    """`InputError`: it says nothing, or too much."""
    if not why.strip():
        raise InputError("say why the plan does not fit", 'For example: atlas replan last "keep the old parser"')
    if len(why) > WHY_CHARACTERS:
        raise InputError(f"the reason has {len(why):,} characters; {WHY_CHARACTERS:,} are the most", "Say it shorter.")


def _peoples(entries: Sequence[dict[str, Any]]) -> set[str]:
    """Ids of those that no plan of a model may leave out: what only people may write, and all that comes after a gate,
    which would be asked for nothing else."""
    found = {entry["id"] for entry in entries if _only_peoples(entry)}
    after = {entry["id"] for entry in entries if entry.get("ask")}
    waiting = list(after)
    while waiting:
        need = waiting.pop()
        more = {entry["id"] for entry in entries if need in map(_key, entry.get("needs", ()))} - after
        after |= more
        waiting += more
    return found | after


def _only_peoples(entry: Mapping[str, Any]) -> bool:
    return any(entry.get(name) for name in _ONLY_PEOPLES) or bool(entry.get("resources", {}).get("network"))


def revision_of(session: Session, run: str, todo: str, document: str) -> Revision | None:
    """What the planning TODO with this document finds; None when there was no plan before it."""
    asked: dict[str, Any] = json.loads(document)
    if "why" not in asked:
        return None
    todos = reading.todos(session, run)
    old: dict[str, Any] = json.loads(reading.plan(session, run).document)
    waits = {row.todo_id for row in session.exec(select(TodoNeed).where(TodoNeed.need_id == todo))}
    begun = [each for each in todos if each.kind in ("task", "agent", "ask", "push") and _holds(each, waits)]
    gone = {each.key for each in todos if each.reason == "replanned"}
    waiting = [each.key for each in todos if each.id in waits and each.kind != "report"]
    return Revision(
        why=asked["why"],
        by=asked["by"],
        plan=json.dumps(old.get("todos", []), indent=1, ensure_ascii=False),
        needable={each.key: each.id for each in begun},
        taken=frozenset(each.key for each in todos),
        waiting=waiting,
        going=[
            (each.id, AgentSpec.from_json(each.document).touches)
            for each in begun
            if each.kind == "agent" and each.state not in TERMINAL
        ],
        kept=[_kept(entry, gone, waiting) for entry in old.get("todos", ()) if entry["id"] not in gone],
        everything=[each.id for each in todos],
        reported=any(each.kind == "report" for each in todos),
    )


def _holds(todo: Todo, waits: set[str]) -> bool:
    return todo.id not in waits and (todo.state == "completed" or todo.state not in TERMINAL)


def _kept(entry: dict[str, Any], gone: set[str], waiting: Sequence[str]) -> dict[str, Any]:
    """An entry of the plan before, without what has made place."""
    if entry["id"] not in waiting:
        return entry
    return {**entry, "needs": [need for need in entry.get("needs", ()) if _key(need) not in gone]}


def _key(need: str | dict[str, str]) -> str:
    return need if isinstance(need, str) else next(iter(need))


def revised(old: Mapping[str, Any], new: Sequence[dict[str, Any]], revision: Revision) -> str:
    """The whole plan from now on, as canonical JSON: what is kept, some of it after all that is new, and that."""
    ids = [entry["id"] for entry in new]
    kept = [
        {**entry, "needs": [*entry.get("needs", ()), *ids]} if entry["id"] in revision.waiting else entry
        for entry in revision.kept
    ]
    return canonical_tree({**old, "todos": [*kept, *new]})


def one_after_the_other(todos: Sequence[NewTodo], revision: Revision) -> None:
    """New TODOs of roles come after those at work whose changes may meet theirs."""
    for todo in todos:
        if todo.kind != "agent":
            continue
        touches, known = AgentSpec.from_json(todo.document).touches, {need for need, _ in todo.needs}
        meets = [id for id, theirs in revision.going if id not in known and overlap(touches, theirs)]
        todo.needs = [*todo.needs, *((id, ANY_END) for id in meets)]
