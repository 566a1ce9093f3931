"""What a recogniser heard."""

from __future__ import annotations

from dataclasses import dataclass

SURE = 0.5
"""The confidence from which on words are taken for words. Below it, they may as well have been something else."""

FAINT = 0.1
"""Below it they were something else: a grammar makes a command of every sound."""

SURE_CALL = 0.75
"""The confidence from which on a command that begins with the wake word counts as said with it: of whoever says
something else, nearly nothing is heard so surely."""


@dataclass(frozen=True, slots=True)
class Heard:
    """`confidence`, 0 to 1: how sure it is that these words were said. `text` is empty when it was nothing it knows."""

    text: str
    confidence: float = 1.0
