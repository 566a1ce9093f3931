"""The Todo Continuation Enforcer: what happens when a role ends its turn, decided from records alone (design §5).

A role that stops early is made to go on, as long as something was *measured* to have moved: an item of the frozen
checklist completed, a verification newly passing, or (for a bounded credit) a tree or a tool result not seen before.
Words, statuses set to and fro and failing commands move nothing. Three fruitless continuations, then Oracle once, then
the TODO is blocked with Oracle's diagnosis. Above all stand hard caps, and whatever a person said.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

FRUITLESS = 3
"""Continuations in a row that may come to nothing."""
CREDIT = 20
"""Continuations of an attempt that may live on new trees and results alone."""
CONSULTATIONS = 1
ERRORS = 6
"""Failures of the model in a row."""
BACKOFF_SECONDS, BACKOFF_LIMIT = 5.0, 160.0

Ended = Literal["claims_done", "gave_in", "unavailable", "overflow"]
"""How a turn ended: the role says it is done; it only stopped; the model could not answer for the moment; its
conversation was too long and could not be shortened. (Who asks a person has left the graph.)"""
Standing = Literal["going", "cancelled", "held", "budget_exhausted"]


@dataclass(frozen=True, slots=True)
class Amounts:
    """Of one attempt: what was spent, or may be."""

    turns: int = 0
    tool_calls: int = 0
    tokens: int = 0
    seconds: float = 0.0

    def first_reached(self, caps: Amounts) -> str | None:
        """The name of a cap that this reaches."""
        pairs = {
            "turns": (self.turns, caps.turns), "tool calls": (self.tool_calls, caps.tool_calls),
            "tokens": (self.tokens, caps.tokens), "seconds": (self.seconds, caps.seconds),
        }  # fmt: skip
        return next((f"{cap:g} {name}" for name, (spent, cap) in pairs.items() if spent >= cap), None)


CAPS = Amounts(turns=200, tool_calls=400, tokens=5_000_000, seconds=4 * 3600.0)


@dataclass(frozen=True, slots=True)
class News:
    """What was measured since the decision before. `items` and `verified` are progress whenever they come; `trees` and
    `results` (of tools, by the digest of name, arguments and result) as far as the credit goes."""

    items: int = 0
    verified: int = 0
    trees: int = 0
    results: int = 0


@dataclass(frozen=True, slots=True)
class Counters:
    """Columns of the attempt: they survive every restart, and only `decide` moves them."""

    continuations: int = 0
    fruitless: int = 0
    credit: int = CREDIT
    consultations: int = 0
    errors: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that a decision is made from. `open_items`: what is left of the frozen checklist; `backoff`: seconds
    to wait after a first error."""

    ended: Ended
    counters: Counters
    news: News = field(default_factory=News)
    standing: Standing = "going"
    open_items: tuple[str, ...] = ()
    spent: Amounts = field(default_factory=Amounts)
    caps: Amounts = CAPS
    backoff: float = BACKOFF_SECONDS
    diagnosis: str = ""


@dataclass(frozen=True, slots=True)
class Continue:
    """Another turn, with this said to the role; not before so many seconds from now."""

    prompt: str
    counters: Counters
    after: float = 0.0


@dataclass(frozen=True, slots=True)
class Done:
    """The role is done; whether the TODO is, its verification tells."""

    counters: Counters


@dataclass(frozen=True, slots=True)
class Consult:
    """Oracle is to look at it."""

    prompt: str
    counters: Counters


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing goes on until somebody resumes the run; then the role is told `prompt`."""

    reason: Literal["held", "budget_exhausted"]
    prompt: str
    counters: Counters


@dataclass(frozen=True, slots=True)
class Stop:
    """The attempt is over."""

    state: Literal["cancelled", "failed", "blocked"]
    reason: str
    counters: Counters


Decision = Continue | Done | Consult | Wait | Stop


def decide(now: Snapshot) -> Decision:
    """What happens next. Nobody is made to go on against what a person said; what is done may be finished."""
    if now.standing == "cancelled":
        return Stop("cancelled", "cancelled", now.counters)
    decision = _moved(now)
    if now.standing == "going" or not isinstance(decision, Continue | Consult):
        return decision
    prompt = decision.prompt if isinstance(decision, Continue) else _reminder(now)
    return Wait(now.standing, prompt, now.counters)


def _moved(now: Snapshot) -> Decision:
    counters = now.counters
    if cap := now.spent.first_reached(now.caps):
        return Stop("failed", f"the cap of {cap} for one attempt is reached", counters)
    if now.ended == "overflow":
        return Stop("blocked", "the conversation is too long for the model, and could not be shortened", counters)
    if now.ended == "unavailable":
        return _after_an_error(counters, now.backoff)
    counters = replace(counters, errors=0)
    if now.ended == "claims_done" and not now.open_items:
        return Done(counters)
    return _pushed(now, counters)


def _after_an_error(counters: Counters, first: float) -> Decision:
    counters = replace(counters, errors=counters.errors + 1)
    if counters.errors > ERRORS:
        return Stop("blocked", f"the model could not answer {counters.errors} times in a row", counters)
    after = min(first * 2 ** (counters.errors - 1), BACKOFF_LIMIT)
    return Continue("", counters, after)


def _pushed(now: Snapshot, counters: Counters) -> Decision:
    counters = _judged(now.news, counters)
    if counters.fruitless <= FRUITLESS:
        return Continue(_reminder(now), replace(counters, continuations=counters.continuations + 1))
    if counters.consultations < CONSULTATIONS:
        asked = replace(counters, consultations=counters.consultations + 1, fruitless=0)
        return Consult(f"Nothing has moved in {FRUITLESS} continuations. {_left(now)}", asked)
    diagnosis = now.diagnosis or "Oracle found no way on"
    return Stop("blocked", f"no measurable progress in {FRUITLESS} continuations: {diagnosis}", counters)


def _judged(news: News, counters: Counters) -> Counters:
    if news.items or news.verified:
        return replace(counters, fruitless=0)
    if (news.trees or news.results) and counters.credit:
        return replace(counters, fruitless=0, credit=counters.credit - 1)
    return replace(counters, fruitless=counters.fruitless + 1)


def _reminder(now: Snapshot) -> str:
    claimed = "You say that you are done, but the checklist is not. " if now.ended == "claims_done" else ""
    return f"{claimed}{_left(now)} Go on; or ask, if only a person can decide; or say what blocks you."


def _left(now: Snapshot) -> str:
    if not now.open_items:
        return "The work was not said to be done."
    return f"Still open: {'; '.join(now.open_items)}."
