"""What is done about what somebody said. `voice.dialogue` decides on these, `voice.desk` carries them out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from voice.intents import Intent
from voice.wording.receipts import Receipt

Change = Literal["stop", "cancel", "hold", "resume", "retry"]


@dataclass(frozen=True, slots=True)
class Run:
    """A run as people know it; the same id is the same run."""

    id: str
    name: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Tell:
    """Say a sentence of `voice.wording.receipts`."""

    which: Receipt
    name: str = ""
    names: tuple[str, ...] = ()
    text: str = ""
    answer: str = ""
    count: int = 0


@dataclass(frozen=True, slots=True)
class Start:
    """Submit a goal."""

    goal: str


@dataclass(frozen=True, slots=True)
class StartNamed:
    """Submit a plan that the settings know by this name."""

    plan: str


@dataclass(frozen=True, slots=True)
class ChangeRuns:
    """The same to each of them. `all`: it is everything there is."""

    change: Change
    runs: tuple[Run, ...]
    all: bool = False


@dataclass(frozen=True, slots=True)
class AnswerQuestion:
    """`value` is one of the question's choices, or words."""

    question: str
    value: str


@dataclass(frozen=True, slots=True)
class TellStatus:
    """Of these runs; of none: of all there is."""

    run: Run | None


@dataclass(frozen=True, slots=True)
class ReadQuestions:
    """All that wait."""


@dataclass(frozen=True, slots=True)
class SayAgain:
    """What was said last."""


@dataclass(frozen=True, slots=True)
class SetDetail:
    """Tell more unasked, or less."""

    more: bool


@dataclass(frozen=True, slots=True)
class Hush:
    """What waits to be said is not said."""


@dataclass(frozen=True, slots=True)
class GoOn:
    """Nobody wanted anything: what was interrupted goes on where it was."""


@dataclass(frozen=True, slots=True)
class AskModel:
    """Only a model can tell what to say."""

    text: str


Act = (
    Tell | Start | StartNamed | ChangeRuns | AnswerQuestion | TellStatus | ReadQuestions | SayAgain | SetDetail | Hush
    | GoOn | AskModel
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked back, and waits for an answer. `yes` is done when the answer is yes. To the one of `among` that is
    meant `change` is done, or `about` is decided on anew for it. Without any of these, `about` is what somebody may
    have said, who had been asked `before`."""

    yes: tuple[Act, ...] = ()
    change: Change | None = None
    among: tuple[Run, ...] = ()
    about: Intent | None = None
    before: Asked | None = None
