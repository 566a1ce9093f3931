"""The phrases of one language, ready to be matched, and what may stand in their slots."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from voice.automaton import Automaton
from voice.intents import Language
from voice.phrases import phrase_file
from voice.templates import Template, parse
from voice.transcripts import Word, tidied, words

NAME_WORDS = {"en": 5, "zh": 10}
"""A run's or plan's name is no longer than that, in words or in Chinese characters."""

GOAL_WORDS = {"en": 2, "zh": 2}
"""What a goal has at least, besides its verb: "fix it" is none."""

NUMBERS = range(1, 21)

Key = tuple[str, ...]


@dataclass(frozen=True)
class Phrasebook:
    """Made of a phrase file. `sections` and `templates` are parallel; words are keys of `voice.transcripts`."""

    language: Language
    sections: tuple[str, ...]
    templates: tuple[Template, ...]
    automaton: Automaton
    variants: dict[str, str]
    fillers: frozenset[str]
    wakes: tuple[Key, ...]
    ordinals: tuple[str, ...]
    verbs: tuple[Key, ...]  # the longest first
    not_after_verb: tuple[Key, ...]
    not_in_name: tuple[Key, ...]
    not_last: tuple[Key, ...]
    no_goal: tuple[Key, ...]

    def keys(self, text: str) -> Key:
        """The words of `text` as they are compared."""
        return tuple(word.key for word in words(tidied(text), self.variants))

    def number(self, keys: Sequence[str]) -> int | None:
        """The number that the words say, if it is one of `NUMBERS`; 二十 and 十二 too, but not "two three"."""
        if not all(key.isascii() and key.isdecimal() and len(key) < 3 for key in keys):
            return None
        values = [int(key) for key in keys]
        match values:
            case [value]:
                pass
            case [10, units] if 0 < units < 10 and self.language == "zh":
                value = 10 + units
            case [2, 10] if self.language == "zh":
                value = 20
            case _:
                return None
        return value if value in NUMBERS else None


@cache
def phrasebook(language: Language) -> Phrasebook:
    """The phrases of `language`; read once."""
    file = phrase_file(language)
    lists = {name: tuple(entries) for name, entries in file.lists.items()}
    variants = dict(entry.split("=") for entry in lists["variants"])

    def keys(text: str) -> Key:
        return tuple(word.key for word in words(tidied(text), variants))

    def keyed(name: str) -> tuple[Key, ...]:
        return tuple(sorted({keys(entry.replace("_", " ")) for entry in lists.get(name, ())}, key=_longest_first))

    parts: dict[str, Template] = {}
    for name, source in file.parts.items():
        parts[name] = parse(source, parts, keys)
    templates = tuple(parse(source, parts, keys) for _, source in file.phrases)
    return Phrasebook(
        language=language,
        sections=tuple(section for section, _ in file.phrases),
        templates=templates,
        automaton=Automaton(templates),
        variants=variants,
        fillers=frozenset(lists["fillers"]),
        wakes=keyed("wake"),
        ordinals=lists.get("ordinals", ()),
        verbs=keyed("verbs"),
        not_after_verb=keyed("not_after_verb"),
        not_in_name=keyed("not_in_name"),
        not_last=keyed("not_last"),
        no_goal=keyed("no_goal"),
    )


def _longest_first(key: Key) -> tuple[int, Key]:
    return -len(key), key


class Slots:
    """What may stand in the slots of one utterance (`voice.automaton.Filling`)."""

    def __init__(
        self, book: Phrasebook, said: Sequence[Word], asks: bool, runs: Iterable[str], plans: Iterable[str]
    ) -> None:
        self._book = book
        self._keys = tuple(word.key for word in said)
        self._asks = asks
        self.runs = {book.keys(name): name for name in runs}
        self.plans = {book.keys(name): name for name in plans}

    def fits(self, slot: str, start: int, end: int) -> bool:
        match slot:
            case "number":
                return end - start <= 2 and self._book.number(self._keys[start:end]) is not None
            case "ordinal":
                return end - start == 1 and self._keys[start] in self._book.ordinals
            case "known_run":
                return self._keys[start:end] in self.runs
            case "run":
                return self._names(self.runs, start, end)
            case "plan":
                return self._names(self.plans, start, end)
            case "goal":
                return self._goal(start, end)
            case "task":
                return end - start >= GOAL_WORDS[self._book.language] and not self._breaks_off(start, end)
            case _:
                return True

    def grows(self, slot: str, start: int, end: int) -> bool:
        match slot:
            case "number":
                return end - start == 1 and self._book.language == "zh" and self._keys[start] in {"2", "10"}
            case "ordinal":
                return False
            case "known_run":
                return self._begins(self.runs, start, end)
            case "run" | "plan":
                known = self.runs if slot == "run" else self.plans
                if self._keys[start:end] in known:
                    return self._begins(known, start, end)
                return self._begins(known, start, end) or end - start < NAME_WORDS[self._book.language]
            case "goal":
                return not self._verbs_away(start, end)
            case _:
                return True

    def _begins(self, known: Iterable[Key], start: int, end: int) -> bool:
        said = self._keys[start:end]
        return any(len(name) > len(said) and name[: len(said)] == said for name in known)

    def _names(self, known: Iterable[Key], start: int, end: int) -> bool:
        said = self._keys[start:end]
        if said in set(known):
            return True
        return len(said) <= NAME_WORDS[self._book.language] and not any(
            said[place : place + len(word)] == word for word in self._book.not_in_name for place in range(len(said))
        )

    def _goal(self, start: int, end: int) -> bool:
        verb = next((verb for verb in self._book.verbs if self._keys[start : start + len(verb)] == verb), None)
        if verb is None or end - start < len(verb) + GOAL_WORDS[self._book.language]:
            return False
        after = start + len(verb)
        if any(self._keys[after : after + len(word)] == word for word in self._book.not_after_verb):
            return False
        if any(self._keys[start : start + len(words)] == words for words in self._book.no_goal):
            return False
        return not (self._asks and start == 0) and not self._breaks_off(start, end)

    def _verbs_away(self, start: int, end: int) -> bool:
        """Whether no verb begins so: the slot can be given up early."""
        said = self._keys[start:end]
        return not any(verb[: len(said)] == said[: len(verb)] for verb in self._book.verbs)

    def _breaks_off(self, start: int, end: int) -> bool:
        return any(
            end - start >= len(word) and self._keys[end - len(word) : end] == word for word in self._book.not_last
        )
