"""Patterns of paths that a TODO may touch, such as ``src/parser/**``; also what a search is limited to.

``*`` is any text within a name, ``?`` one character of it, ``**`` any text across directories; ``**/`` also stands for
no directory at all. ``dir/`` and ``dir/**`` are all that is below. Nothing else is special, so ``[id].tsx`` is itself.
Case counts. Patterns and paths are relative to one top, with ``/`` between names.

Both questions are put to automata, not to regular expressions: no pattern makes them take long.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

PATTERN_CHARACTERS = 1_000
"""Of one pattern."""
_PAIRS = 100_000
"""Pairs of states looked at, to tell whether patterns overlap; beyond, they are taken to."""
_KNOWN = 4_096
"""Moves that an automaton remembers."""
_WITHIN, _ANY = "within", "any"
"""Kinds of step besides one character: any but ``/``, and any at all."""
_Step = tuple[str, int]
_WILD = ("*", "?")
_OTHER = "\0"
"""Stands for all characters that a pattern does not have."""


class _Automaton:
    """States are numbers from 0 to `last`. `steps`: what a character may be, and where it leads. `free`: where one gets
    without any."""

    def __init__(self, pattern: str) -> None:
        self.steps: list[list[_Step]] = [[]]
        self.free: list[list[int]] = [[]]
        done = 0
        while done < len(pattern):
            done += self._add(pattern[done:], begins=not done or pattern[done - 1] == "/")
        self.last = len(self.steps) - 1
        self._letters = {step for steps in self.steps for step, _ in steps if step not in (_WITHIN, _ANY)} | {"/"}
        self._known: dict[tuple[frozenset[int], str], frozenset[int]] = {}

    def _add(self, rest: str, *, begins: bool) -> int:
        """Take in the beginning of `rest`, where a name `begins` or not; returns how much."""
        here = len(self.steps) - 1
        if begins and rest.startswith("**/"):
            crossing, after = self._new(), self._new()
            self.free[here] += [crossing, after]
            self.steps[crossing] += [(_ANY, crossing), ("/", after)]
            return 3
        after = self._new()
        if rest.startswith("*"):
            across = rest.startswith("**")
            self.steps[here].append((_ANY if across else _WITHIN, here))
            self.free[here].append(after)
            return len(rest) - len(rest.lstrip("*")) if across else 1
        self.steps[here].append((_WITHIN if rest[0] == "?" else rest[0], after))
        return 1

    def _new(self) -> int:
        self.steps.append([])
        self.free.append([])
        return len(self.steps) - 1

    def takes(self, path: str) -> bool:
        """Whether the pattern is for `path`."""
        states = self._reached([0])
        for character in path:
            states = self._moved(states, character if character in self._letters else _OTHER)
            if not states:
                return False
        return self.last in states

    def _moved(self, states: frozenset[int], character: str) -> frozenset[int]:
        if (known := self._known.get((states, character))) is not None:
            return known
        if len(self._known) >= _KNOWN:
            self._known.clear()
        steps = [each for state in states for each in self.steps[state]]
        found = self._known[states, character] = self._reached(to for step, to in steps if _takes(step, character))
        return found

    def _reached(self, states: Iterable[int]) -> frozenset[int]:
        """These, and what is reached from them without a character."""
        found, waiting = set[int](), list(states)
        while waiting:
            state = waiting.pop()
            if state not in found:
                found.add(state)
                waiting += self.free[state]
        return frozenset(found)


def matches(patterns: Iterable[str], path: str) -> bool:
    """Whether one of the patterns is for `path`."""
    return any(_fits(pattern, path) for pattern in patterns)


def overlap(a: Sequence[str], b: Sequence[str]) -> bool:
    """Whether some path may be one that a pattern of `a` and a pattern of `b` are for. It may be told yes wrongly,
    never no."""
    left = _PAIRS
    for one in a:
        for other in b:
            left = _overlap(one, other, left)
            if left <= 0:
                return True
    return False


def problem(pattern: str) -> str | None:
    """What is wrong with a pattern, or None."""
    if not pattern or "\0" in pattern:
        return "is empty" if not pattern else "has a NUL character"
    if len(pattern) > PATTERN_CHARACTERS:
        return f"is longer than {PATTERN_CHARACTERS:,} characters"
    if pattern.startswith("/"):
        return "begins with /: patterns are relative to the top of the working tree"
    if ".." in pattern.split("/"):
        return "has a name `..`: it would lead out of the working tree"
    return None


def _fits(pattern: str, path: str) -> bool:
    return path.startswith(_literal(pattern)) and _automaton(pattern).takes(path)


def _overlap(one: str, other: str, most: int) -> int:
    """How many of the pairs that may be looked at are left when it is clear that they don't overlap; else 0."""
    first, second = _literal(one), _literal(other)
    if not (first.startswith(second) or second.startswith(first)):
        return most
    a, b = _automaton(one), _automaton(other)
    seen = set[tuple[int, int]]()
    waiting = [(0, 0)]
    while waiting:
        pair = waiting.pop()
        if pair in seen:
            continue
        seen.add(pair)
        if pair == (a.last, b.last) or len(seen) >= most:
            return 0
        left, right = pair
        waiting += [(to, right) for to in a.free[left]]
        waiting += [(left, to) for to in b.free[right]]
        waiting += [(x, y) for p, x in a.steps[left] for q, y in b.steps[right] if _meet(p, q)]
    return most - len(seen)


def _takes(step: str, character: str) -> bool:
    return step in (character, _ANY) or (step == _WITHIN and character != "/")


def _meet(one: str, other: str) -> bool:
    """Whether a character can be both."""
    wide = (_ANY, _WITHIN)
    if one in wide and other in wide:
        return True
    return _takes(one, other) if one in wide else _takes(other, one)


@lru_cache(maxsize=1_024)
def _literal(pattern: str) -> str:
    """What every path begins with that the pattern is for."""
    plain = _plain(pattern)
    end = min((place for sign in _WILD if (place := plain.find(sign)) >= 0), default=len(plain))
    return plain[:end]


def _plain(pattern: str) -> str:
    kept = "/".join(part for part in pattern.split("/") if part not in ("", "."))
    return f"{kept}/**" if pattern.endswith("/") and kept else kept


@lru_cache(maxsize=1_024)
def _automaton(pattern: str) -> _Automaton:
    return _Automaton(_plain(pattern))
