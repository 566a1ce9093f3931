"""What an event says of a run, and whether it is worth telling: pure, event by event."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, cast, get_args

from orchestrator.views import EventView
from state.records import RUN_ENDED, EventType
from voice.happenings import (
    Asked,
    Began,
    BudgetLow,
    Ended,
    Happening,
    HasPlan,
    Passed,
    Reached,
    RiskFound,
    Step,
    WentWrong,
)
from voice.unspoken import key
from voice.wording.facts import Trouble
from voice.wording.news import Outcome

Detail = Literal["less", "normal", "more"]
"""less: outcomes and questions; more: each TODO, too."""
WORTH: tuple[EventType, ...] = (
    "run.submitted", "run.planned", "run.state", "run.progress", "run.budget", "question.asked", "question.answered",
    "question.expired", "todo.state", "todo.risk", "worker.took_over",
)  # fmt: skip
"""Types of events that matter here."""
_SMALL = 4
"""Runs with fewer TODOs have no milestones."""
_STEPS: tuple[Step, ...] = (75, 50, 25)
_TROUBLES = 20
_OUTCOMES = frozenset(get_args(Outcome))
_OF_BUDGET = re.compile(r"\d+% of the budget is used")


@dataclass(slots=True)
class Run:
    """A run as events have told it."""

    id: str
    name: str = ""
    state: str = "in_progress"
    settled: int = 0
    total: int = 0
    troubles: dict[str, tuple[str, Trouble]] = field(default_factory=dict[str, tuple[str, Trouble]])
    """TODO id -> (``failed`` or ``blocked``, what of it)"""
    step: int = 0
    """The last milestone that was reached; it only grows, whatever becomes of the plan."""
    questions: dict[str, str | None] = field(default_factory=dict[str, str | None])
    """Those that wait -> the TODO that asks"""
    fresh: bool = False
    """Nothing has come of it since it was submitted."""

    def reached(self) -> int:
        """25, 50, 75, or 0: by how many TODOs are settled."""
        if self.total < _SMALL or self.settled >= self.total:
            return 0
        return next((step for step in _STEPS if self.settled * 100 >= step * self.total), 0)


@dataclass(frozen=True, slots=True)
class Known:
    """A run as it stands, for those whose beginning was not heard."""

    run: str
    name: str
    state: str
    settled: int
    total: int
    troubles: Mapping[str, tuple[str, Trouble]]
    """TODO id -> (``failed`` or ``blocked``, what of it)"""


@dataclass(slots=True)
class Heard:
    """`whats` are worth telling, `withdrawn` are keys of what is not any more. `act`: somebody may have a receipt of
    it."""

    whats: list[Happening] = field(default_factory=list[Happening])
    withdrawn: list[str] = field(default_factory=list[str])
    act: Literal["started", "cancelled", "held", "resumed"] | None = None


def hear(run: Run, event: EventView, titles: Mapping[str, str], detail: Detail) -> Heard:
    """Take the event in."""
    heard = Heard()
    if take := _TAKES.get(event.type):
        title = titles.get(event.todo or "") or ""
        run.fresh = run.fresh and event.type in ("todo.state", "question.asked")
        take(run, event, title, detail, heard)
    return heard


def _submitted(run: Run, event: EventView, _title: str, detail: Detail, heard: Heard) -> None:
    data = event.data
    run.name, run.total, run.state, run.fresh = data["name"], data["total"], data["state"], True
    heard.act = "started"
    if detail != "less":
        heard.whats.append(Began(run.total, run.state == "planning"))


def _planned(run: Run, event: EventView, _title: str, detail: Detail, heard: Heard) -> None:
    if detail != "less" and event.data["todos"]:
        heard.whats.append(HasPlan(event.data["todos"]))


def _state(run: Run, event: EventView, _title: str, detail: Detail, heard: Heard) -> None:
    data = event.data
    before, run.state = data["from"], data["to"]
    run.settled, run.total = data["settled"], data["total"]
    if run.state in _OUTCOMES:
        if run.state != before:
            _ended(run, heard)
        return
    heard.withdrawn.append(key("outcome", run.id))
    if run.state == "held":
        heard.act = "held"
        if detail != "less" and before != "held":
            heard.whats.append(Passed("held"))
        return
    if before in ("held", "blocked", "failed", "budget_exhausted"):
        heard.act = "resumed"
        if detail == "more":
            heard.whats.append(Passed("resumed"))
    _milestone(run, detail, heard)


def _ended(run: Run, heard: Heard) -> None:
    troubles = [trouble for state, trouble in run.troubles.values() if state == run.state]
    heard.withdrawn += [key("milestone", run.id), key("risk", run.id)]
    if run.state in RUN_ENDED:
        heard.withdrawn += [key("question", question) for question in run.questions]
        run.questions.clear()
    if run.state == "cancelled":
        heard.act = "cancelled"
    heard.whats.append(Ended(cast(Outcome, run.state), troubles))


def _progress(run: Run, event: EventView, _title: str, detail: Detail, heard: Heard) -> None:
    run.settled, run.total = event.data["settled"], event.data["total"]
    _milestone(run, detail, heard)


def _milestone(run: Run, detail: Detail, heard: Heard) -> None:
    reached = run.reached()
    if reached <= run.step:
        return
    run.step = reached
    if detail != "less":
        heard.whats.append(Reached(cast(Step, reached), run.settled, run.total))


def _budget(run: Run, event: EventView, _title: str, detail: Detail, heard: Heard) -> None:
    if not event.data["exhausted"] and detail != "less":  # else the run's state tells
        heard.whats.append(BudgetLow())


def _asked(run: Run, event: EventView, _title: str, _detail: Detail, heard: Heard) -> None:
    data = event.data
    run.questions[data["question"]] = event.todo
    heard.whats.append(Asked(data["question"], event.todo, data["text"], tuple(data["choices"])))


def _answered(run: Run, event: EventView, _title: str, _detail: Detail, heard: Heard) -> None:
    run.questions.pop(event.data["question"], None)
    heard.withdrawn.append(key("question", event.data["question"]))


def _todo(run: Run, event: EventView, title: str, detail: Detail, heard: Heard) -> None:
    data, id = event.data, event.todo or ""
    state, reason = data["to"], data.get("reason")
    trouble = Trouble(title, reason, data.get("detail"))
    run.troubles.pop(id, None)
    if data["from"] == "awaiting_input":
        gone = [question for question, todo in run.questions.items() if todo == id]
        heard.withdrawn += [key("question", question) for question in gone]
        for question in gone:
            del run.questions[question]
    if state in ("failed", "blocked"):
        if len(run.troubles) < _TROUBLES:
            run.troubles[id] = (state, trouble)
        if detail != "less":
            heard.whats.append(WentWrong(trouble, state))
    elif state == "ready" and reason and (detail == "more" or (detail == "normal" and reason == "verification")):
        heard.whats.append(WentWrong(trouble, "again"))
    elif state == "completed" and detail == "more":
        heard.whats.append(Passed("todo_done", title))


def _risk(run: Run, event: EventView, title: str, detail: Detail, heard: Heard) -> None:
    text = event.data["text"]
    if detail != "less" and not _OF_BUDGET.fullmatch(text):
        heard.whats.append(RiskFound(title or None, text))


def _took_over(run: Run, event: EventView, title: str, detail: Detail, heard: Heard) -> None:
    if detail == "more":
        heard.whats.append(Passed("took_over", title))


_TAKES: Mapping[str, Callable[[Run, EventView, str, Detail, Heard], None]] = {
    "run.submitted": _submitted, "run.planned": _planned, "run.state": _state, "run.progress": _progress,
    "run.budget": _budget, "question.asked": _asked, "question.answered": _answered, "question.expired": _answered,
    "todo.state": _todo, "todo.risk": _risk, "worker.took_over": _took_over,
}  # fmt: skip
