"""What is told unasked of runs: one or two short sentences each. `name` None: it is clear which run is meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from voice.intents import Language
from voice.wording.facts import Trouble
from voice.wording.sentences import NUMBERS, REASONS, SENTENCES, Sentence
from voice.wording.spoken import ENDS, aloud, listed, named, sentence, spoken, tidy

Outcome = Literal["completed", "failed", "blocked", "cancelled", "budget_exhausted"]
OUTCOMES: tuple[Outcome, ...] = ("completed", "failed", "blocked", "cancelled", "budget_exhausted")

_QUESTION = 300
"""Characters of a question that are read out; the rest is for eyes."""
_CHOICE = 60
_CHOICES = 6
_EXPLAINED = 2
"""How many bad ends are explained in one summary."""


def fill(which: Sentence, language: Language, name: str | None = None, **values: object) -> str:
    """A sentence of this language. `name` and `todo` are as they are; other values are fit to be heard."""
    said = SENTENCES[language]
    if "todo" in values:
        values["todo"] = aloud(named(str(values["todo"]), language) or said["a_todo"], language)
    it = said["it"] if name is None else aloud(name, language)
    of = "" if name is None else said["of"].format(name=aloud(name, language))
    return tidy(said[which].format(it=it, of=of, **values))


def todos(count: int, language: Language) -> str:
    """``8 steps``"""
    return fill("one_todo" if count == 1 else "of_todos", language, count=count)


def why(troubles: Sequence[Trouble], language: Language) -> str:
    """One reason, no sentence: the first trouble, and how many others there are. Empty when there is none."""
    if not troubles:
        return ""
    first = troubles[0]
    said = fill("why", language, todo=first.title, why=reason(first, language))
    return said if len(troubles) == 1 else fill("why_others", language, why=said, count=len(troubles) - 1)


def reason(trouble: Trouble, language: Language) -> str:
    """Why something failed or is blocked; what somebody diagnosed, where there is such a thing."""
    known = REASONS[language].get(trouble.reason or "", SENTENCES[language]["no_detail"])
    if trouble.reason != "stuck" or not trouble.detail:
        return known
    return sentence(trouble.detail.removeprefix("Oracle: "), language).rstrip(ENDS) or known


def started(name: str | None, total: int, *, planning: bool, language: Language) -> str:
    """A run was submitted."""
    return fill("planning" if planning else "started", language, name, todos=todos(total, language))


def planned(name: str | None, total: int, language: Language) -> str:
    """Its plan is there; it adds so many TODOs."""
    return fill("planned", language, name, todos=todos(total, language))


def milestone(name: str | None, step: Literal[25, 50, 75], settled: int, total: int, language: Language) -> str:
    """A quarter, a half, three quarters."""
    steps: dict[int, Sentence] = {25: "step_25", 50: "step_50", 75: "step_75"}
    return fill(steps[step], language, name, settled=settled, todos=todos(total, language))


def failure(name: str | None, trouble: Trouble, then: Literal["again", "failed", "blocked"], language: Language) -> str:
    """Of a TODO, which is tried again, or is not."""
    if then == "again" and trouble.reason == "verification":
        return fill("checks_retry", language, name, todo=trouble.title)
    ways: dict[str, Sentence] = {"again": "retry", "failed": "todo_failed", "blocked": "todo_blocked"}
    which = ways[then]
    return fill(which, language, name, todo=trouble.title, why=reason(trouble, language))


def risk(name: str | None, title: str | None, text: str, language: Language) -> str:
    """`text` is what was written of it; with Oracle's diagnosis, of the TODO called `title`."""
    diagnosis = text.removeprefix("Oracle: ")
    said = sentence(diagnosis, language) or fill("no_detail", language)
    if diagnosis != text and title:
        return fill("diagnosis", language, name, todo=title, text=said)
    return fill("risk", language, name, text=said)


def outcome(name: str | None, state: Outcome, troubles: Sequence[Trouble], language: Language) -> str:
    """How a run has ended, or why it does not go on."""
    said = why(troubles, language)
    if said and state in ("failed", "blocked"):
        return fill("failed_why" if state == "failed" else "blocked_why", language, name, why=said)
    return fill(state, language, name)


def question(name: str | None, text: str, choices: Sequence[str], language: Language) -> str:
    """With its choices, by number."""
    asked = spoken(text, language, _QUESTION) or fill("no_text", language)
    if asked[-1] not in ENDS:
        asked += {"en": "?", "zh": "？"}[language]
    said = [fill("asks_it" if name is None else "asks", language, name, text=asked)]
    numbers = NUMBERS[language].split()
    for number, choice in zip(numbers, choices[:_CHOICES], strict=False):
        said.append(fill("choice", language, number=number, text=spoken(choice, language, _CHOICE).rstrip(ENDS)))
    if len(choices) > _CHOICES:
        said.append(fill("more_choices", language, count=len(choices) - _CHOICES))
    return tidy(" ".join(said))


@dataclass(slots=True)
class Missed:
    """What happened to several runs (by id), for a summary."""

    ended: dict[str, tuple[str, Outcome, Sequence[Trouble]]] = field(
        default_factory=dict[str, tuple[str, Outcome, Sequence[Trouble]]]
    )
    """(name, outcome, what went wrong)"""
    going: dict[str, tuple[str, int, int]] = field(default_factory=dict[str, tuple[str, int, int]])
    """(name, settled, total)"""
    questions: int = 0


def summary(missed: Missed, language: Language, which: Literal["away", "meanwhile"] = "away") -> str:
    """All of it in one sentence. Empty when there is nothing to tell but questions."""
    parts: list[str] = []
    for state in OUTCOMES:
        parts += _ends(state, [each for each in missed.ended.values() if each[1] == state], language)
    going = list(missed.going.values())
    parts += [
        fill("at", language, name, settled=settled, todos=todos(total, language))
        for name, settled, total in going[:_EXPLAINED]
    ]
    if len(going) > _EXPLAINED:
        parts.append(fill("go_on", language, count=len(going) - _EXPLAINED))
    if parts and missed.questions:
        parts.append(fill("one_waits" if missed.questions == 1 else "some_wait", language, count=missed.questions))
    return fill(which, language, parts={"en": "; ", "zh": "；"}[language].join(parts)) if parts else ""


def _ends(
    state: Outcome, ended: Sequence[tuple[str, Outcome, Sequence[Trouble]]], language: Language
) -> list[str]:  # fmt: skip
    """Some of them with the reason, the others together."""
    explained = [each for each in ended if each[2]][:_EXPLAINED]
    said = [outcome(name, state, troubles, language).rstrip(ENDS) for name, _, troubles in explained]
    if rest := [each[0] for each in ended if each not in explained]:
        said.append(_several(rest, state, language).rstrip(ENDS))
    return said


def _several(names: Sequence[str], state: Outcome, language: Language) -> str:
    if len(names) == 1:
        return fill(state, language, names[0])
    together: dict[Outcome, Sentence] = {
        "completed": "all_completed", "failed": "all_failed", "blocked": "all_blocked", "cancelled": "all_cancelled",
        "budget_exhausted": "all_budget_exhausted",
    }  # fmt: skip
    return tidy(SENTENCES[language][together[state]].format(it=listed(names, language)))
