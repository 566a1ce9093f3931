"""Whatever is written, the reader answers with a plan or with words; nothing else ever comes out of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.plan.reading import canonical, read_plan
from orchestrator.plan.task import read_task
from orchestrator.plan.todos import new_todos, task_todo
from state.errors import InputError
from tests.unit.test_plan_reading import EVERYTHING
from tests.unit.test_plan_todos import TASK

PLAN = Path("/srv/plan.yaml")
WORDS = [
    *EVERYTHING.replace(":", ": ").split(),
    "&a",
    "*a",
    "!!x",
    "<<: ",
    "? ",
    "|",
    ">",
    "'",
    '"',
    "\t",
    "\n",
    "---",
    "%",
    "~",
]
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(WORDS)
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner)
)


def begins(error: InputError, name: str) -> None:
    assert str(error).startswith(name)


def answer(data: bytes | str) -> None:
    try:
        plan = read_plan(PLAN, data)
    except InputError as error:
        begins(error, "/srv/plan.yaml")
        return
    assert read_plan(PLAN, canonical(plan)) == plan
    assert len(new_todos(plan, PLAN.parent)) == len(plan.todos)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_bytes(data: bytes | str) -> None:
    answer(data)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(WORDS) | st.text(max_size=3), max_size=30))
def test_any_words(words: list[str]) -> None:
    answer(" ".join(words))


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(EVERYTHING)), st.integers(0, 40), st.text(max_size=8) | st.sampled_from(WORDS))
def test_a_plan_with_a_piece_replaced(at: int, length: int, piece: str) -> None:
    answer(EVERYTHING[:at] + piece + EVERYTHING[at + length :])


def paths(tree: Any) -> list[list[Any]]:
    found: list[list[Any]] = [[]]
    items: Any = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()  # pyright: ignore
    for key, value in items:
        found += [[key, *path] for path in paths(value)]
    return found


def with_value(tree: Any, path: list[Any], value: Any) -> Any:
    if not path:
        return value
    copy = tree.copy()
    copy[path[0]] = with_value(tree[path[0]], path[1:], value)
    return copy


def plan_tree() -> Any:
    return json.loads(canonical(read_plan(PLAN, EVERYTHING)))


TREE = plan_tree()


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(paths(TREE)), trees)
def test_a_plan_with_any_value_at_any_key(path: list[Any], value: Any) -> None:
    answer(json.dumps(with_value(TREE, path, value)))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(paths(TASK)), trees)
def test_a_task_with_any_value_at_any_key(path: list[Any], value: Any) -> None:
    try:
        task = read_task(None, json.dumps(with_value(TASK, path, value)))
    except InputError as error:
        begins(error, "task:")
        return
    assert task_todo(task).document
