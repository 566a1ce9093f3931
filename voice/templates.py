"""The language of phrases: words, `(this | that)`, `[perhaps]`, `<slot>` or `<part>`; nothing repeats.

That is a part of JSGF, so a phrase serves a matcher of transcripts (`voice.automaton`) and a recogniser of speech.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product

SLOTS = frozenset({"number", "ordinal", "run", "known_run", "plan", "goal", "task", "text"})
"""What a phrase leaves open; every other `<name>` is a part that the file defines."""

_LEXEME = re.compile(r"<[a-z_]+>|[()\[\]|]|[^\s()\[\]|<>]+")


@dataclass(frozen=True, slots=True)
class Literal:
    """A word that must be said; a key as `voice.transcripts` makes them."""

    key: str


@dataclass(frozen=True, slots=True)
class Slot:
    """Something that differs from one time to the next: its name is in `SLOTS`."""

    name: str


@dataclass(frozen=True, slots=True)
class Sequence_:
    """One after the other; the empty one is nothing at all."""

    items: tuple[Template, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of them."""

    items: tuple[Template, ...]


Template = Literal | Slot | Sequence_ | Choice
NOTHING = Sequence_(())


def parse(source: str, parts: Mapping[str, Template], keys: Callable[[str], Sequence[str]]) -> Template:
    """The template that `source` writes; `keys` makes comparable words of a text. `ValueError` when it is none."""
    reader = _Reader(source, parts, keys)
    template = reader.choice()
    if reader.lexemes:
        raise ValueError(f"{source!r}: {reader.lexemes[0]!r} closes nothing")
    return template


class _Reader:
    def __init__(self, source: str, parts: Mapping[str, Template], keys: Callable[[str], Sequence[str]]) -> None:
        self.source = source
        self.lexemes = _LEXEME.findall(source)
        self._parts = parts
        self._keys = keys

    def choice(self) -> Template:
        items = [self._sequence()]
        while self.lexemes[:1] == ["|"]:
            self.lexemes.pop(0)
            items.append(self._sequence())
        return items[0] if len(items) == 1 else Choice(tuple(items))

    def _sequence(self) -> Template:
        items: list[Template] = []
        while self.lexemes and self.lexemes[0] not in {"|", ")", "]"}:
            items.extend(self._items())
        return items[0] if len(items) == 1 else Sequence_(tuple(items))

    def _items(self) -> list[Template]:
        lexeme = self.lexemes.pop(0)
        if lexeme in {"(", "["}:
            inner = self.choice()
            if self.lexemes[:1] != [")" if lexeme == "(" else "]"]:
                raise ValueError(f"{self.source!r}: {lexeme!r} is not closed")
            self.lexemes.pop(0)
            return [inner if lexeme == "(" else Choice((inner, NOTHING))]
        if lexeme.startswith("<"):
            name = lexeme[1:-1]
            if name not in SLOTS and name not in self._parts:
                raise ValueError(f"{self.source!r}: no part or slot is called {name!r}")
            return [Slot(name) if name in SLOTS else self._parts[name]]
        return [Literal(key) for key in self._keys(lexeme)]


def spellings(template: Template, fill: Mapping[str, Sequence[str]], most: int = 2000) -> list[str]:
    """All that the template can be, words with a space between; a slot takes what `fill` has for it.

    At most `most` of them, the first ones.
    """
    return list(dict.fromkeys(" ".join(said) for said in islice(_spelled(template, fill), most)))


def _spelled(template: Template, fill: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, ...]]:
    match template:
        case Literal(key):
            yield (key,)
        case Slot(name):
            for value in fill.get(name, ()):
                yield (value,)
        case Choice(items):
            for item in items:
                yield from _spelled(item, fill)
        case Sequence_(items):
            for said in product(*(list(_spelled(item, fill)) for item in items)):
                yield tuple(word for piece in said for word in piece)
