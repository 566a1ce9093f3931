"""`voice.grammar` with the names of one conversation."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from voice import grammar
from voice.intents import Answer, Intent, StartGoal


class PhraseCommands:
    """`voice.pipeline.Commands`. `runs` and `plans` are names that may be said; the language is told from the text."""

    def __init__(self, runs: Collection[str] = (), plans: Collection[str] = ()) -> None:
        self.runs = runs
        self.plans = plans

    def may_name(self, runs: Collection[str]) -> None:
        """These runs may be meant from now on, by their names."""
        self.runs = runs

    def understand(self, text: str) -> Intent | None:
        """See `grammar.understand`."""
        return grammar.understand(text, runs=self.runs, plans=self.plans)

    def is_backchannel(self, text: str) -> bool:
        """See `grammar.is_backchannel`."""
        return grammar.is_backchannel(text)

    def standing(self, text: str) -> Literal["whole", "open", "unknown"]:
        """See `grammar.standing`; of words of one's own nobody knows but by listening."""
        found = grammar.standing(text, runs=self.runs, plans=self.plans)
        if found == "open" and isinstance(self.understand(text), StartGoal | Answer):
            return "unknown"
        return found
