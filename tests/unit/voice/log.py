"""A run's events as the store writes them, in short."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from orchestrator.views import EventView


@dataclass
class Log:
    """The events of one run."""

    run: str = "r1"
    name: str = "fix-parser"
    total: int = 8
    events: list[EventView] = field(default_factory=list[EventView])
    settled: int = 0
    state: str = "in_progress"

    def add(self, type: str, todo: str | None = None, **data: Any) -> Log:
        """The next one."""
        named = {name.removesuffix("_"): value for name, value in data.items()}
        self.events.append(EventView(self.run, len(self.events) + 1, None, type, todo, named))
        return self

    def submitted(self, state: str = "in_progress") -> Log:
        self.state = state
        return self.add("run.submitted", name=self.name, goal=None, total=self.total, state=state)

    def progress(self, settled: int, total: int | None = None) -> Log:
        self.settled, self.total = settled, total or self.total
        return self.add("run.progress", settled=settled, total=self.total)

    def to(self, state: str, reason: str | None = None) -> Log:
        before, self.state = self.state, state
        why = {"reason": reason} if reason else {}
        return self.add("run.state", from_=before, to=state, settled=self.settled, total=self.total, **why)

    def todo(self, id: str, before: str, to: str, reason: str | None = None, detail: str | None = None) -> Log:
        why = {name: value for name, value in (("reason", reason), ("detail", detail)) if value}
        return self.add("todo.state", id, from_=before, to=to, **why)

    def budget(self, *, exhausted: bool) -> Log:
        """As the store says it: twice, when it warns."""
        self.add("run.budget", exhausted=exhausted, tokens=8, usd=0.1)
        return self if exhausted else self.add("todo.risk", None, text="81% of the budget is used")

    def asked(self, question: str = "q1", todo: str = "t9") -> Log:
        return self.add(
            "question.asked",
            todo,
            question=question,
            text="Push the branch?",
            choices=["push", "hold"],
            expires_at=None,
        )

    def answered(self, question: str = "q1", todo: str = "t9") -> Log:
        return self.add("question.answered", todo, question=question, answer="push", by="me")

    def new(self) -> list[EventView]:
        """Those since the last call."""
        events, self._given = self.events[self._given :], len(self.events)
        return events

    def __post_init__(self) -> None:
        self._given = 0
