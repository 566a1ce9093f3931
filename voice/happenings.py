"""What has happened to a run, as far as it is worth a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from voice.intents import Language
from voice.saying import Kind
from voice.wording import news
from voice.wording.facts import Trouble

Step = Literal[25, 50, 75]


@dataclass(frozen=True, slots=True)
class Began:
    total: int
    planning: bool


@dataclass(frozen=True, slots=True)
class HasPlan:
    total: int


@dataclass(frozen=True, slots=True)
class Reached:
    """So many percent, by TODOs."""

    step: Step
    settled: int
    total: int


@dataclass(frozen=True, slots=True)
class Passed:
    """A small thing, for those who want to hear more. `title` is a TODO's."""

    what: Literal["todo_done", "took_over", "held", "resumed"]
    title: str = ""


@dataclass(frozen=True, slots=True)
class WentWrong:
    """A TODO, which is tried again, or has failed for good, or is blocked."""

    trouble: Trouble
    then: Literal["again", "failed", "blocked"]


@dataclass(frozen=True, slots=True)
class RiskFound:
    """What was written of it; of this TODO, if of any."""

    title: str | None
    text: str


@dataclass(frozen=True, slots=True)
class BudgetLow:
    """Four fifths of it are used."""


@dataclass(frozen=True, slots=True)
class Asked:
    """By a TODO (its id)."""

    question: str
    todo: str | None
    text: str
    choices: Sequence[str]


@dataclass(frozen=True, slots=True)
class Ended:
    """Or does not go on."""

    state: news.Outcome
    troubles: Sequence[Trouble]


@dataclass(frozen=True, slots=True)
class Much:
    """Several things of several runs, which are told together."""

    missed: news.Missed
    which: Literal["away", "meanwhile"]


Happening = Began | HasPlan | Reached | Passed | WentWrong | RiskFound | BudgetLow | Asked | Ended | Much


def kind_of(what: Happening) -> Kind:
    """See `voice.saying`."""
    match what:
        case Asked():
            return "question"
        case Ended():
            return "outcome"
        case WentWrong() | RiskFound() | BudgetLow():
            return "risk"
        case Much():
            return "away"
        case _:
            return "milestone"


def told(what: Happening, name: str | None, language: Language) -> str:  # noqa: C901, PLR0911 - one of each
    """In one or two sentences. `name` None: it is clear which run is meant."""
    match what:
        case Began(total, planning):
            return news.started(name, total, planning=planning, language=language)
        case HasPlan(total):
            return news.planned(name, total, language)
        case Reached(step, settled, total):
            return news.milestone(name, step, settled, total, language)
        case Passed(which, title):
            return news.fill(which, language, name, todo=title)
        case WentWrong(trouble, then):
            return news.failure(name, trouble, then, language)
        case RiskFound(title, text):
            return news.risk(name, title, text, language)
        case BudgetLow():
            return news.fill("budget", language, name)
        case Asked():
            return news.question(name, what.text, what.choices, language)
        case Ended(state, troubles):
            return news.outcome(name, state, troubles, language)
        case Much(missed, which):
            return news.summary(missed, language, which)
