"""What somebody wants who has just finished speaking. Grammar and models make intents; `voice.dialogue` acts on them.

Plain data. A `run` or `todo` is what was said of it (a name, or a part of one), not an id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Scope = Literal["focus", "everything"]
"""The run being talked about (or the named one), or all of them."""
Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")


@dataclass(frozen=True, slots=True)
class StartGoal:
    """Make a run of a goal: "fix the failing parser tests"."""

    goal: str


@dataclass(frozen=True, slots=True)
class StartPlan:
    """Make a run of a plan that is known by name: "start the plan nightly"."""

    name: str


@dataclass(frozen=True, slots=True)
class Status:
    """How it goes: of a run, or of the one that is being talked about, or of all."""

    run: str | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """At once, and without asking."""

    scope: Scope = "focus"
    run: str | None = None


@dataclass(frozen=True, slots=True)
class Quiet:
    """Say no more of this; the work goes on."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """End a run for good; it is read back first."""

    run: str | None = None
    scope: Scope = "focus"


@dataclass(frozen=True, slots=True)
class Hold:
    """Pause: nothing more of it is started until it is resumed."""

    run: str | None = None
    scope: Scope = "focus"


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on with what is held."""

    run: str | None = None
    scope: Scope = "focus"


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again what failed."""

    run: str | None = None


@dataclass(frozen=True, slots=True)
class Questions:
    """What waits for an answer."""


@dataclass(frozen=True, slots=True)
class Approve:
    """Yes to what waits for approval, said in so many words."""


@dataclass(frozen=True, slots=True)
class Reject:
    """No to what waits for approval, said in so many words."""


@dataclass(frozen=True, slots=True)
class Choose:
    """A choice by its number, from 1."""

    number: int


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer in the speaker's own words: "answer: the blue one"."""

    text: str


@dataclass(frozen=True, slots=True)
class Yes:
    """To whatever was just asked, and to nothing else."""


@dataclass(frozen=True, slots=True)
class No:
    """To whatever was just asked, and to nothing else."""


@dataclass(frozen=True, slots=True)
class Later:
    """Neither yes nor no: what was asked waits."""


@dataclass(frozen=True, slots=True)
class Everything:
    """All of those that were just named."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """Say the last again."""


@dataclass(frozen=True, slots=True)
class Detail:
    """More, or less, of what is told unasked."""

    more: bool


@dataclass(frozen=True, slots=True)
class Help:
    """What can be said."""


@dataclass(frozen=True, slots=True)
class Backchannel:
    """ "mm", "ok", "right": somebody listens, and wants nothing."""


@dataclass(frozen=True, slots=True)
class Talk:
    """No command: a question, or a goal in words that only a model can tell apart."""

    text: str


Intent = (
    StartGoal | StartPlan | Status | Stop | Quiet | Cancel | Hold | Resume | Retry | Questions | Approve | Reject
    | Choose | Answer | Yes | No | Later | Everything | Repeat | Detail | Help | Backchannel | Talk
)  # fmt: skip
