"""The last words of a command: how the run stands, and what a person can do next."""

from __future__ import annotations

import json

from orchestrator.cli.compose import House
from orchestrator.views import RunView, TodoView
from state.records import QUEUE

_SHOWN = 10


async def conclude(house: House, run: RunView) -> None:
    """Print how a run stands and how to go on."""
    short = run.id[-8:]
    todos = await house.service.todos(run.id)
    print(f"{run.name} {short}: {run.state}, {run.progress.settled}/{run.progress.total} settled")
    for todo in _trouble(todos):
        detail = (todo.detail or "").replace("\n", "\n  ")
        print(f"  {todo.key} {todo.state} ({todo.reason}): {detail}".rstrip(" :"))
    match run.state:
        case "completed":
            print(f"  evidence: atlas evidence {short}")
        case "failed" | "blocked":
            await _how_to_retry(house, run, todos)
        case "awaiting_input":
            await _how_to_answer(house, run)
        case "held":
            print(f"  go on with: atlas resume {short}")
        case _:
            pass


def _trouble(todos: list[TodoView]) -> list[TodoView]:
    return [todo for todo in todos if todo.state in ("failed", "blocked")][:_SHOWN]


async def _how_to_retry(house: House, run: RunView, todos: list[TodoView]) -> None:
    short = run.id[-8:]
    for todo in _trouble(todos)[:1]:
        print(f"  look:  atlas logs {short} {todo.key}   and   atlas evidence {short} {todo.key}")
        print(f"  again: atlas retry {short} {todo.key}")
    if run.state == "blocked":
        await _how_to_answer(house, run)


async def _how_to_answer(house: House, run: RunView) -> None:
    questions = await house.service.questions(run.id)
    for question in questions:
        choices = f" [{'/'.join(question.choices)}]" if question.choices else ""
        value = question.choices[0] if question.choices else json.dumps("your answer")
        print(f"  {question.text}{choices}\n    atlas answer {question.id[-8:]} {value}")
    if questions and (await house.service.find(run.id)).placement != QUEUE:
        print(f"  then go on with: atlas resume {run.id[-8:]}")
