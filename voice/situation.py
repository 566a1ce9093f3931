"""What a conversation is about, and what there is to talk of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.views import QuestionView, RunView
from state.records import RUN_ENDED
from voice.acts import Act, Asked, Run


@dataclass(frozen=True, slots=True)
class Situation:
    """What there is. `runs`, newest first: those that are open, and those that ended lately. `plans`: known by name.
    `model`: there is one to talk to. `free_speech`: recognition understands more than commands."""

    runs: Sequence[RunView] = ()
    questions: Sequence[QuestionView] = ()
    plans: Sequence[str] = ()
    model: bool = False
    free_speech: bool = False

    @property
    def open(self) -> list[RunView]:
        """The runs that have not ended."""
        return [run for run in self.runs if run.state not in RUN_ENDED]


@dataclass(frozen=True, slots=True)
class Memory:
    """What a conversation is about: the run it is about, the question that was read aloud last, what was asked back."""

    focus: Run | None = None
    question: str | None = None
    asked: Asked | None = None


Decision = tuple[Memory, list[Act]]
"""What it is about from now on, and what is done."""
