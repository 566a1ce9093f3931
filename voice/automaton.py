"""All phrases of a language as one automaton: what a row of words is, and whether it could go on.

Time is bounded by the words times the states that are alive, whatever is said: nothing is ever tried twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from voice.templates import Choice, Literal, Sequence_, Slot, Template

Filled = tuple[tuple[str, int, int], ...]
"""Slots that were said: name, first word, and the word after the last."""


class Filling(Protocol):
    """What may stand in a slot. Places are those of words: the first, and the one after the last."""

    def fits(self, slot: str, start: int, end: int) -> bool:
        """Whether these words fill the slot."""
        ...

    def grows(self, slot: str, start: int, end: int) -> bool:
        """Whether more words could follow in it."""
        ...


@dataclass(frozen=True, slots=True)
class Match:
    """A phrase that the words are, by its number in the order of the file."""

    phrase: int
    filled: Filled


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A phrase that begins with the words. `opens`: a slot may follow, so that what is meant could change.

    A phrase of whose own words none has been said yet, only ones that could be in its first slot, is not meant by this.
    """

    phrase: int
    opens: bool


@dataclass(slots=True)
class _State:
    phrase: int
    free: list[int] = field(default_factory=list[int])
    word: str | None = None
    slot: str | None = None
    after: int = -1
    ends: bool = False
    opens: bool = False


_Thread = tuple[int, Filled, int]  # state, slots that were said, where the slot that is being said began (or -1)


class Automaton:
    """Phrases, numbered as they come."""

    def __init__(self, phrases: Iterable[Template]) -> None:
        self._states: list[_State] = []
        self._starts: list[int] = []
        for number, template in enumerate(phrases):
            first, last = self._state(number), self._state(number)
            self._starts.append(first)
            self._build(template, first, last)
            self._states[last].ends = True
        for state in reversed(range(len(self._states))):
            self._states[state].opens = self._slot_ahead(state)

    def _state(self, phrase: int) -> int:
        self._states.append(_State(phrase))
        return len(self._states) - 1

    def _build(self, template: Template, first: int, last: int) -> None:
        phrase = self._states[first].phrase
        match template:
            case Literal(key):
                self._states[first].word, self._states[first].after = key, last
            case Slot(name):
                self._states[first].slot, self._states[first].after = name, last
            case Choice(items):
                for item in items:
                    start = self._state(phrase)
                    self._states[first].free.append(start)
                    self._build(item, start, last)
            case Sequence_(items):
                for item in items:
                    after = self._state(phrase)
                    self._build(item, first, after)
                    first = self._state(phrase)
                    self._states[after].free.append(first)
                self._states[first].free.append(last)

    def _slot_ahead(self, state: int) -> bool:
        seen: set[int] = set()
        ahead = [state]
        while ahead:
            now = ahead.pop()
            if now in seen:
                continue
            seen.add(now)
            there = self._states[now]
            if there.slot is not None:
                return True
            ahead.extend(there.free)
            if there.after >= 0:
                ahead.append(there.after)
        return False

    def read(
        self, keys: Sequence[str], filling: Filling, fillers: frozenset[str]
    ) -> tuple[list[Match], list[Unfinished]]:
        """What the words are, in no order, and what they could become when more is said.

        A word of `fillers` may stand anywhere outside of slots.
        """
        alive = self._closed([(start, (), -1) for start in self._starts])
        for place, key in enumerate(keys):
            nexts: list[_Thread] = []
            for thread in alive:
                self._step(thread, place, key, filling, nexts)
                if key in fillers and thread[2] < 0:
                    nexts.append(thread)
            alive = self._closed(nexts)
            if not alive:
                return [], []
        matches: list[Match] = []
        open_: dict[Unfinished, None] = {}
        for number, filled, begun in alive:
            state = self._states[number]
            if state.ends and begun < 0:
                matches.append(Match(state.phrase, filled))
            elif (
                (state.word is not None or state.slot is not None) and begun != 0 and not (filled and filled[0][1] == 0)
            ):
                open_[Unfinished(state.phrase, begun >= 0 or state.opens)] = None
        return matches, list(open_)

    def _step(self, thread: _Thread, place: int, key: str, filling: Filling, nexts: list[_Thread]) -> None:
        number, filled, begun = thread
        state = self._states[number]
        if state.word == key:
            nexts.append((state.after, filled, -1))
        elif state.slot is not None:
            start = place if begun < 0 else begun
            if filling.grows(state.slot, start, place + 1):
                nexts.append((number, filled, start))
            if filling.fits(state.slot, start, place + 1):
                nexts.append((state.after, (*filled, (state.slot, start, place + 1)), -1))

    def _closed(self, threads: list[_Thread]) -> list[_Thread]:
        """The threads and all that they reach without a word, none twice, in their order."""
        found: dict[_Thread, None] = {}
        waiting = threads[::-1]
        while waiting:
            thread = waiting.pop()
            if thread in found:
                continue
            found[thread] = None
            number, filled, begun = thread
            if begun < 0:
                waiting.extend((free, filled, -1) for free in reversed(self._states[number].free))
        return list(found)
