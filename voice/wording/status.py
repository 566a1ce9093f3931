"""Answers to "how does it go": a few short sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from voice.intents import Language
from voice.saying import Saying
from voice.wording.facts import RunFacts
from voice.wording.news import fill, question, todos, why
from voice.wording.sentences import Sentence
from voice.wording.spoken import listed, money, tidy

_RUNS = 4
_STATES: Mapping[str, Sentence] = {
    "planning": "is_planning", "in_progress": "is_in_progress", "awaiting_input": "is_awaiting_input",
    "held": "is_held", "blocked": "is_blocked", "failed": "is_failed", "completed": "is_completed",
    "cancelled": "is_cancelled", "budget_exhausted": "is_budget_exhausted",
}  # fmt: skip
_GOING = ("planning", "in_progress", "awaiting_input", "held", "blocked", "budget_exhausted")


def status(run: RunFacts, language: Language = "en") -> Saying:
    """Of one run: how far it is, what is being worked on, what went wrong, what it cost."""
    said = [_standing(run, language)]
    if run.working:
        said.append(fill("working", language, names=listed(run.working, language)))
    if run.troubles and run.state not in ("completed", "cancelled"):
        said.append(fill("one_failed", language, why=why(run.troubles, language)))
    if run.asked:
        said.append(_asked(run.asked, language))
    if run.usd:
        said.append(fill("cost", language, money=money(run.usd, language)))
    elif run.tokens >= 1000:
        said.append(fill("tokens", language, count=f"{run.tokens // 1000:,}".replace(",", " ")))
    return Saying(tidy(" ".join(said)), "answer")


def status_of_all(runs: Sequence[RunFacts], language: Language = "en", asked: int = 0) -> Saying:
    """Those that are going on, in a sentence each; when none is, the newest (the first). `asked` questions wait."""
    going = [run for run in runs if run.state in _GOING]
    told = going[:_RUNS] or runs[:1]
    if not told:
        return Saying(fill("no_runs", language), "answer")
    said = [_standing(run, language) for run in told]
    if len(going) > _RUNS:
        said.append(fill("other_runs", language, count=len(going) - _RUNS))
    if asked:
        said.append(_asked(asked, language))
    return Saying(tidy(" ".join(said)), "answer")


def asks(
    name: str | None, run: str, id: str, text: str, choices: Sequence[str], language: Language = "en"
) -> Saying:  # fmt: skip
    """A question of a run (by its id), as it is put to somebody who asks what waits."""
    return Saying(question(name, text, choices, language), "question", run, id)


def _standing(run: RunFacts, language: Language) -> str:
    which = _STATES.get(run.state, "is_in_progress")
    return fill(which, language, run.name, settled=run.settled, todos=todos(run.total, language))


def _asked(count: int, language: Language) -> str:
    said = fill("one_waits" if count == 1 else "some_wait", language, count=count)
    return said[0].upper() + said[1:] + {"en": ".", "zh": "。"}[language]
