"""What the keys of a plan mean to each other across its TODOs: ids, needs, outputs. One TODO is in `todo_checks`."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.plan.document import Plan, Todo
from orchestrator.plan.graph import cycles, needs_first
from orchestrator.plan.locations import absolute_remote
from orchestrator.plan.problems import Problem, quoted
from orchestrator.plan.todo_checks import placed_output, todo_problems

_CYCLE_SHOWN = 8
RESERVED = re.compile(r"(approve-)?plan(-[0-9]+)?|report")
"""Keys of TODOs that are added to runs with roles."""


@dataclass(frozen=True, slots=True)
class Around:
    """TODOs that the run of a plan has already, by id: those that it may need, and all whose ids it can't use."""

    needable: Container[str] = ()
    taken: Container[str] = ()


ALONE = Around()


def plan_problems(plan: Plan, directory: Path | None, around: Around = ALONE) -> list[Problem]:
    """Everything that keeps this plan from being carried out as written.

    `directory` is the plan file's, which relative ``file://`` remotes are relative to; None when there is no such file.
    """
    problems: list[Problem] = []
    if not plan.todos and plan.goal is None:
        problems.append(Problem((), "the plan has neither todos nor a goal"))
    for position, todo in enumerate(plan.todos):
        problems.extend(todo_problems(todo, position, plan.sandbox, has_directory=directory is not None))
    problems.extend(_duplicate_ids(plan.todos, around))
    problems.extend(_need_problems(plan.todos, around))
    problems.extend(_shared_outputs(plan.todos, directory or Path("/")))
    return problems or list(_problems_with_roles(plan, directory))


def _problems_with_roles(plan: Plan, directory: Path | None) -> Iterator[Problem]:
    """Of a plan that is right so far. A model's plan, which is in no file, gets its repository from its goal."""
    for position, todo in enumerate(plan.todos):
        here = ("todos", position)
        if todo.role is not None and plan.repo is None and directory is not None:
            yield Problem((*here, "role"), "an agent TODO needs a repository: give the plan `repo`")
        if todo.push is not None and plan.repo is None:
            yield Problem((*here, "push"), "there is nothing to push: give the plan `repo`")
        if todo.role not in (None, "hephaestus"):
            text = f"{todo.role} carries out no TODOs; hephaestus does, and {todo.role} comes by itself"
            yield Problem((*here, "role"), text)
        if RESERVED.fullmatch(todo.id) and (plan.goal or any(each.role for each in plan.todos)):
            yield Problem((*here, "id"), f"{quoted(todo.id)} is a TODO of Atlas's own; take another id")


def not_available(plan: Plan) -> list[Problem]:
    """What is written correctly, but can't be carried out by this version."""
    problems: list[Problem] = []
    for position, todo in enumerate(plan.todos):
        for item, check in enumerate(todo.verify):
            if check.review is not None and todo.kind != "agent":
                path = ("todos", position, "verify", item, "review")
                problems.append(Problem(path, "only agent TODOs can be reviewed"))
    return problems


def _duplicate_ids(todos: Sequence[Todo], around: Around) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for position, todo in enumerate(todos):
        if (earlier := first.setdefault(todo.id, position)) != position:
            text = f"the id {quoted(todo.id)} is already that of todos[{earlier}]"
            yield Problem(("todos", position, "id"), text)
        if todo.id in around.taken:
            yield Problem(("todos", position, "id"), f"the run has had a TODO {quoted(todo.id)}; take another id")


def _need_problems(todos: Sequence[Todo], around: Around) -> Iterator[Problem]:
    positions = {todo.id: position for position, todo in enumerate(todos)}
    edges: list[list[int]] = []
    for position, todo in enumerate(todos):
        edges.append([positions[need.todo] for need in todo.needs if need.todo in positions])
        seen: set[str] = set()
        for item, need in enumerate(todo.needs):
            path = ("todos", position, "needs", item)
            if need.todo not in positions and need.todo in around.needable:
                if need.answer is not None:
                    yield Problem(path, f"need {quoted(need.todo)} whatever the answer: it was asked before this plan")
            elif need.todo not in positions:
                yield Problem(path, f"no TODO {quoted(need.todo)} in this plan", near=(need.todo, positions))
            elif need.todo in seen:
                yield Problem(path, f"{quoted(need.todo)} is needed twice")
            elif need.answer is not None:
                yield from _answer_problems(need.todo, need.answer, todos[positions[need.todo]], path)
            seen.add(need.todo)
    order = needs_first(edges)
    for cycle in cycles(edges, order) if len(order) < len(todos) else ():
        yield Problem(("todos", cycle[0], "needs"), _cycle_text([todos[position].id for position in cycle]))


def _answer_problems(key: str, answer: str, todo: Todo, path: tuple[str | int, ...]) -> Iterator[Problem]:
    if todo.ask is None:
        yield Problem(path, f"{quoted(key)} gives no answer; only an ask does")
    elif todo.choices is None:
        yield Problem(path, f"{quoted(key)} has no choices; give it some, or need it whatever the answer")
    elif answer not in todo.choices:
        text = f"{quoted(answer)} is not one of the choices of {quoted(key)}"
        yield Problem(path, text, near=(answer, todo.choices))


def _cycle_text(ids: list[str]) -> str:
    shown = ids if len(ids) <= _CYCLE_SHOWN else [*ids[:_CYCLE_SHOWN], f"... {len(ids) - _CYCLE_SHOWN} more ..."]
    if len(ids) == 1:
        return f"{quoted(ids[0])} needs itself"
    return f"these TODOs need each other: {' -> '.join([*shown, ids[0]])}"


def _shared_outputs(todos: Sequence[Todo], directory: Path) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for position, todo in enumerate(todos):
        for internal, remote in todo.outputs.items():
            target = absolute_remote(placed_output(internal, remote), directory)
            if target in first:
                text = (
                    f"{quoted(remote)} is also written by {quoted(first[target])}; two outputs can't share a location"
                )
                yield Problem(("todos", position, "outputs", internal), text)
            first.setdefault(target, todo.id)
