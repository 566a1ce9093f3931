"""What is to be said, in which order, and what came of it. Pure: `voice.mouth` says it.

A saying is said sentence by sentence. An interruption cuts it; what was cut is kept until it is clear whether somebody
wanted something (`drop`) or not (`resume`: the sentence goes on where it was).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from voice.saying import Saying

_REMEMBERED = 20
_MOST = 100
"""Sayings that wait; more than that nobody would listen to."""
_LONGEST_CHARACTERS = 300
_OVERLAP_SECONDS = 0.2
"""A sentence that goes on is taken up a little before it was cut."""
_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？；])\s*")


@dataclass(frozen=True, slots=True)
class Sentence:
    """What is said in one breath. `skip`: seconds of it that were heard already. `first`, `last`: of its saying."""

    number: int
    saying: Saying
    text: str
    first: bool
    last: bool
    skip: float = 0.0


@dataclass(slots=True)
class _Going:
    saying: Saying
    left: deque[Sentence]
    """Not yet handed out."""
    out: deque[Sentence] = field(default_factory=deque[Sentence])
    """Handed out, not yet heard to the end."""


class Speech:
    """Of one conversation."""

    def __init__(self) -> None:
        self._waiting: list[Saying] = []
        self._going: _Going | None = None
        self._cut: _Going | None = None
        self._heard: deque[str] = deque(maxlen=_REMEMBERED)
        self._last: Saying | None = None
        self._number = 0
        self.answering = False
        """An answer is being made: nothing else is begun meanwhile but answers."""

    @property
    def taken(self) -> bool:
        """Whether something is being said, or an answer is being made."""
        return self._going is not None or self.answering

    @property
    def heard(self) -> Sequence[str]:
        """The sentences that were said to their ends lately, oldest first."""
        return tuple(self._heard)

    @property
    def last(self) -> Saying | None:
        """What was begun last, for whoever wants to hear it again."""
        return self._last

    def say(self, *sayings: Saying) -> None:
        """When their turn comes. A newer one takes the place of what waits under the same `merges`."""
        for saying in sayings:
            if saying.merges is not None:
                self._waiting = [each for each in self._waiting if each.merges != saying.merges]
            self._waiting.append(saying)
        if len(self._waiting) > _MOST:
            self._waiting = sorted(self._waiting, key=lambda each: each.priority)[:_MOST]

    def withdraw(self, question: str) -> None:
        """Nobody need answer this any more."""
        self._waiting = [each for each in self._waiting if each.question != question]

    def next(self) -> Sentence | None:
        """What to say now; None: nothing. One sentence is out ahead of the one that is being heard, at most."""
        if self._going is None and not self._begin():
            return None
        going = self._going
        if going is None or not going.left or len(going.out) > 1:
            return None
        sentence = going.left.popleft()
        going.out.append(sentence)
        return sentence

    def done(self, number: int) -> None:
        """This sentence was heard to its end, or could not be said."""
        going = self._going
        if going is None or not going.out or all(each.number != number for each in going.out):
            return
        while going.out and going.out[0].number <= number:
            self._heard.append(going.out.popleft().text)
        if not going.out and not going.left:
            self._going = None

    def cut(self, seconds: float) -> None:
        """Somebody interrupts; the sentence that is being heard was heard for so long. Answers that wait are void."""
        going, self._going = self._going, None
        self._waiting = [each for each in self._waiting if each.kind not in ("receipt", "answer")]
        if going is None:
            return
        left = deque(going.out + going.left)
        if left:
            first = left[0]
            skip = max(0.0, first.skip + seconds - _OVERLAP_SECONDS)
            left[0] = Sentence(first.number, first.saying, first.text, first.first, first.last, skip)
        self._cut = _Going(going.saying, left)

    def resume(self) -> None:
        """It was nothing: go on where it was."""
        if self._cut is not None and self._going is None:
            renumbered = deque(
                Sentence(self._count(), each.saying, each.text, each.first, each.last, each.skip)
                for each in self._cut.left
            )
            self._going = _Going(self._cut.saying, renumbered) if renumbered else None
        self._cut = None

    def drop(self) -> None:
        """Somebody wanted something else. A question or an outcome that was not heard to its end is said later."""
        if self._cut is not None and self._cut.saying.kind in ("question", "outcome", "risk", "away"):
            self._waiting.insert(0, self._cut.saying)
        self._cut = None

    def hush(self) -> None:
        """Nothing of what waits is said."""
        self._cut = None
        self._waiting = [each for each in self._waiting if each.kind == "question"]

    def _begin(self) -> bool:
        choice = [each for each in self._waiting if not self.answering or each.kind in ("receipt", "answer")]
        if not choice:
            return False
        saying = min(choice, key=lambda each: each.priority)  # the oldest of the most urgent
        self._waiting.remove(saying)
        texts = sentences(saying.text)
        if not texts:
            return self._begin()
        last = len(texts) - 1
        made = [Sentence(self._count(), saying, text, n == 0, n == last) for n, text in enumerate(texts)]
        self._going, self._last = _Going(saying, deque(made)), saying
        return True

    def _count(self) -> int:
        self._number += 1
        return self._number


def sentences(text: str) -> list[str]:
    """One by one, none longer than can be said in half a minute."""
    found: list[str] = []
    for part in _SENTENCE.split(text):
        rest = part.strip()
        while len(rest) > _LONGEST_CHARACTERS:
            at = rest.rfind(" ", 1, _LONGEST_CHARACTERS)
            at = at if at > 0 else _LONGEST_CHARACTERS
            found.append(rest[:at])
            rest = rest[at:].strip()
        if rest:
            found.append(rest)
    return found
