"""The phrases of one language, ready to be matched, and what may stand in their slots."""

from __future__ import annotations

from bisect import bisect_left
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
    """Made of a phrase file. The first three are parallel; words are keys of `voice.transcripts`."""

    language: Language
    sections: tuple[str, ...]
    templates: tuple[Template, ...]
    listened: tuple[bool, ...]
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
    tells: frozenset[str]
    asks: tuple[Key, ...]
    finds: tuple[Key, ...]
    ends: frozenset[str]

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
    templates = tuple(parse(phrase.template, parts, keys) for phrase in file.phrases)
    return Phrasebook(
        language=language,
        sections=tuple(phrase.section for phrase in file.phrases),
        templates=templates,
        listened=tuple(phrase.listened for phrase in file.phrases),
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
        tells=frozenset(lists.get("tells", ())),
        asks=keyed("asks"),
        finds=keyed("finds"),
        ends=frozenset(lists.get("ends", ())),
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
        self._asking = [place for place in range(len(said)) if self._any(book.asks, place)]
        """Where words are that ask."""

    def fits(self, slot: str, start: int, end: int) -> bool:
        if self._keys[end - 1] in self._book.fillers and slot not in {"known_run", "number", "ordinal"}:
            return False  # it is said after the slot
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
                return self._begins(known, start, end) or (
                    end - start < NAME_WORDS[self._book.language] and not self._unlike_names(start, end)
                )
            case "goal":
                return not self._verbs_away(start, end) and not self._any(self._book.no_goal, start)
            case _:
                return True

    def _begins(self, known: Iterable[Key], start: int, end: int) -> bool:
        said = self._keys[start:end]
        return any(len(name) > len(said) and name[: len(said)] == said for name in known)

    def _names(self, known: Iterable[Key], start: int, end: int) -> bool:
        said = self._keys[start:end]
        return said in set(known) or (
            len(said) <= NAME_WORDS[self._book.language] and not self._unlike_names(start, end)
        )

    def _unlike_names(self, start: int, end: int) -> bool:
        return any(self._have(word, place) for word in self._book.not_in_name for place in range(start, end))

    def _have(self, words: Key, place: int) -> bool:
        return self._keys[place : place + len(words)] == words

    def _any(self, phrases: Iterable[Key], place: int) -> bool:
        return any(self._have(words, place) for words in phrases)

    def _goal(self, start: int, end: int) -> bool:
        """A verb and enough after it, whole, that orders something rather than tells or asks it."""
        verb = next((verb for verb in self._book.verbs if self._have(verb, start)), None)
        if verb is None or end - start < len(verb) + GOAL_WORDS[self._book.language]:
            return False
        after = start + len(verb)
        if self._any(self._book.not_after_verb, after) or self._any(self._book.no_goal, start):
            return False
        if self._tells(verb, after, end):
            return False
        asks = self._asks and all(key in self._book.fillers for key in self._keys[:start])
        return not asks and not self._breaks_off(start, end)

    def _tells(self, verb: Key, after: int, end: int) -> bool:
        """Whether this tells or asks something, and orders nothing. English has questions within its orders, behind a
        word that asks; Chinese only where something is to be found out."""
        first = bisect_left(self._asking, after)
        asking = self._asking[first] if first < len(self._asking) else end
        if self._book.language == "zh":
            return asking < end and verb not in self._book.finds
        told = self._keys[after + 1] in self._book.tells and asking > after
        return told or (self._keys[end - 1] in self._book.ends and asking >= end)

    def _verbs_away(self, start: int, end: int) -> bool:
        """Whether no verb begins so: the slot can be given up early."""
        said = self._keys[start:end]
        return not any(verb[: len(said)] == said[: len(verb)] for verb in self._book.verbs)

    def _breaks_off(self, start: int, end: int) -> bool:
        return any(
            end - start >= len(word) and self._keys[end - len(word) : end] == word for word in self._book.not_last
        )
