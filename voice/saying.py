"""What is to be said aloud, before any engine has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["receipt", "answer", "away", "question", "outcome", "risk", "milestone"]
"""`receipt`: of what somebody just said; `answer`: to what was asked; `away`: what happened while nobody listened."""

PRIORITY: Mapping[Kind, int] = {
    "receipt": 0, "answer": 0, "away": 1, "question": 2, "outcome": 3, "risk": 4, "milestone": 5,
}  # fmt: skip
LONGEST = 800
"""Characters of one saying: about a minute of speech."""
_ENDS = ".?!。？！"


@dataclass(frozen=True, slots=True)
class Saying:
    """`text` is whole sentences of plain words; what is longer than `LONGEST` ends with the last sentence that fits.

    `tells` is (run, number) of the first event of each run that it tells of: until it has been said, a stored cursor
    stays in front of these.
    """

    text: str
    kind: Kind
    run: str | None = None
    question: str | None = None
    tells: tuple[tuple[str, int], ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", bounded(self.text))

    @property
    def priority(self) -> int:
        """The lowest goes first."""
        return PRIORITY[self.kind]

    @property
    def asks(self) -> bool:
        """Whether somebody may want to answer it."""
        return self.question is not None or self.text.endswith(("?", "？"))

    @property
    def merges(self) -> str | None:
        """A later one with the same key takes the place of one that has not been spoken. None: nothing does."""
        if self.kind in ("receipt", "answer", "away"):
            return None
        return f"{self.kind}:{self.question or self.run or ''}"


def bounded(text: str, longest: int = LONGEST) -> str:
    """Without what comes after the last sentence that fits; a single sentence is cut between words."""
    text = " ".join(text.split())
    if len(text) <= longest:
        return text
    text = text[:longest]
    end = max(text.rfind(mark + (" " if mark.isascii() else "")) for mark in _ENDS)
    if end > 0:
        return text[: end + 1]
    return f"{text[: longest - 1].rsplit(' ', 1)[0]}."
