"""The last words of a command: how the run stands, and what a person can do next."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TextIO

from orchestrator.cli.compose import House
from orchestrator.cli.wording import standing
from orchestrator.plan.todos import APPROVALS
from orchestrator.views import RunView, TodoView
from state.records import QUEUE

_SHOWN = 10
_DETAIL_LINES = 12


async def conclude(house: House, run: RunView, out: TextIO | None = None) -> None:
    """Print how a run stands and how to go on."""
    await _Conclusion(house, run, await house.service.todos(run.id), out or sys.stdout).tell()


@dataclass(frozen=True, slots=True)
class _Conclusion:
    house: House
    run: RunView
    todos: list[TodoView]
    out: TextIO

    def say(self, text: str) -> None:
        print(text, file=self.out)

    @property
    def short(self) -> str:
        return self.run.id[-8:]

    async def tell(self) -> None:
        run = self.run
        self.say(standing(run.name, run.id, run.state, run.progress.settled, run.progress.total, run.spend))
        for todo in self._trouble():
            lines = (todo.detail or "").splitlines()
            more = [f"... {len(lines) - _DETAIL_LINES} more lines: atlas logs"] if len(lines) > _DETAIL_LINES else []
            detail = "\n  ".join([*lines[:_DETAIL_LINES], *more])
            self.say(f"  {todo.key} {todo.state} ({todo.reason}): {detail}".rstrip(" :"))
        match run.state:
            case "completed":
                self._how_to_look()
            case "failed" | "blocked":
                await self._how_to_retry()
            case "awaiting_input":
                await self._how_to_answer()
            case "held":
                self.say(f"  {run.reason}")
                self.say(f"  go on with: atlas resume {self.short}")
            case "budget_exhausted":
                await self._how_to_pay()
            case _:
                pass
        if run.state not in ("planning", "in_progress", "cancelled"):
            self._what_there_is()

    def _what_there_is(self) -> None:
        if any(todo.kind == "agent" and todo.state == "completed" for todo in self.todos):
            self.say(f"  changes:  atlas diff {self.short}   as a branch: atlas push {self.short}")

    def _trouble(self) -> list[TodoView]:
        return [todo for todo in self.todos if todo.state in ("failed", "blocked")][:_SHOWN]

    def _how_to_look(self) -> None:
        self.say(f"  evidence: atlas evidence {self.short}")
        if all(todo.kind == "plan" for todo in self.todos):
            self.say(f"  plan:     atlas plan --run {self.short} -o plan.yaml")
        if any(todo.kind == "report" and todo.state == "completed" for todo in self.todos):
            self.say(f"  report:   atlas report {self.short}")

    async def _how_to_retry(self) -> None:
        for todo in self._trouble()[:1]:
            self.say(f"  look:  atlas logs {self.short} {todo.key}   and   atlas evidence {self.short} {todo.key}")
            self.say(f"  again: atlas retry {self.short} {todo.key}")
            if self.run.goal or any(each.kind == "agent" for each in self.todos):
                self.say(f'  or by another plan: atlas replan {self.short} "what it should do instead"')
        if self.run.state == "blocked":
            await self._how_to_answer()

    async def _how_to_answer(self) -> None:
        questions = await self.house.service.questions(self.run.id)
        for question in questions:
            first, *more = question.text.splitlines() or [""]
            choices = f" [{'/'.join(question.choices)}]" if question.choices else ""
            value = question.choices[0] if question.choices else json.dumps("your answer")
            self.say("\n    ".join([f"  {first}{choices}", *more]))
            if any(todo.id == question.todo and APPROVALS.fullmatch(todo.key) for todo in self.todos):
                self.say(f"    the whole plan: atlas plan --run {self.short} -o -")
            self.say(f"    atlas answer {question.id[-8:]} {value}")
        if questions and (await self.house.service.find(self.run.id)).placement != QUEUE:
            self.say(f"  then go on with: atlas resume {self.short}")

    async def _how_to_pay(self) -> None:
        wanted = await self.house.service.more_budget(self.run.id)
        self.say(f"  {self.run.reason}")
        options = " ".join(f"--budget {each}" for each in wanted)
        self.say(f"  go on with: atlas resume {self.short} {options}")
