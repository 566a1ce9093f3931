"""What is to be said, in which order, and what came of it. Pure: `voice.mouth` says it.

A saying is said sentence by sentence. An interruption cuts it; what was cut is kept, with the answers that waited
behind it, until it is clear whether somebody wanted something (`drop`) or not (`resume`: the sentence goes on where it
was).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from voice.saying import Saying

_REMEMBERED = 200
"""Sentences: more than those of all exchanges that a model is shown."""
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


class Unasked(Protocol):
    """What there is to tell that nobody has asked for: `voice.following.Following`."""

    def take(self) -> Saying | None:
        """What to say now; `said` or `unsaid` follows."""
        ...

    def said(self, saying: Saying) -> None:
        """It was heard, or is not worth saying any more."""
        ...

    def unsaid(self, saying: Saying) -> None:
        """It was cut off, and waits again."""
        ...


class Speech:
    """Of one conversation. `begun` is told of each saying that begins, `noticed` when its first sentence was heard."""

    def __init__(self) -> None:
        self.unasked: Unasked | None = None
        self.begun: Callable[[Saying], None] | None = None
        self.noticed: Callable[[Saying], None] | None = None
        self._taken: list[Saying] = []
        """Of `unasked`, neither said nor unsaid yet."""
        self._waiting: list[Saying] = []
        self._aside: list[Saying] = []
        """Waited when somebody interrupted."""
        self._promised: list[Saying] = []
        self._kept: list[Saying] = []
        """Was promised, and is being said."""
        self._making = self._held = 0
        self.attentive = False
        """Something was asked a moment ago: nothing that could be answered is begun but answers."""
        self._going: _Going | None = None
        self._cut: _Going | None = None
        self._heard: deque[str] = deque(maxlen=_REMEMBERED)
        self._last: Saying | None = None
        self._number = 0

    @property
    def taken(self) -> bool:
        """Whether something is being said, or an answer is being made."""
        return self._going is not None or self._making > 0

    @property
    def waits(self) -> bool:
        """Whether there are answers that have not begun."""
        return bool(self._waiting or self._promised)

    def untold(self, saying: Saying) -> bool:
        """Whether nobody asked for it, and it is not over."""
        return any(each is saying for each in self._taken)

    @contextmanager
    def making(self) -> Generator[None]:
        """An answer: nothing else is begun meanwhile but answers."""
        self._making += 1
        try:
            yield
        finally:
            self._making -= 1

    def hold(self) -> None:
        """Somebody said something, and it is not known yet what: nothing that changes what it means is begun until as
        many `release`."""
        self._held += 1

    def release(self) -> None:
        """See `hold`."""
        self._held -= 1

    @property
    def heard(self) -> Sequence[str]:
        """The sentences that were said to their ends lately, oldest first."""
        return tuple(self._heard)

    @property
    def last(self) -> Saying | None:
        """What was begun last, for whoever wants to hear it again."""
        return self._last

    def say(self, *sayings: Saying) -> None:
        """In this order, before what nobody has asked for. Questions that wait are put after it."""
        at = len(self._waiting)
        if all(saying.question is None for saying in sayings):
            at = next((place for place, each in enumerate(self._waiting) if each.question is not None), at)
        self._waiting[at:at] = sayings
        del self._waiting[_MOST:]

    def promise(self, saying: Saying) -> None:
        """The end of what was said to be under way: said when there is room, whoever interrupts meanwhile."""
        self._promised.append(saying)
        del self._promised[:-_MOST]

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

    def done(self, number: int) -> Saying | None:
        """This sentence was heard to its end. Returns what is over with it."""
        going = self._going
        if going is None or all(each.number != number for each in going.out):
            return None
        while going.out and going.out[0].number <= number:
            sentence = going.out.popleft()
            self._heard.append(sentence.text)
            if sentence.first and self.noticed is not None:
                self.noticed(sentence.saying)
        return self._ended(going)

    def unsayable(self, number: int) -> None:
        """This sentence could not be said; those around it may be."""
        if self._going is not None:
            self._going.out = deque(each for each in self._going.out if each.number != number)
            self._ended(self._going)

    def _ended(self, going: _Going) -> Saying | None:
        if going.out or going.left:
            return None
        self._going = None
        self._over(going.saying, heard=True)
        return going.saying

    def cut(self, seconds: float) -> None:
        """Somebody interrupts; the sentence that is being heard was heard for so long."""
        going, self._going = self._going, None
        if going is not None:
            self.drop()
        self._aside += self._waiting
        self._waiting.clear()
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
        self._waiting[:0] = self._aside
        self._aside.clear()
        cut, self._cut = self._cut, None
        if cut is None:
            return
        if self._going is not None or not cut.left:
            self._over(cut.saying, heard=not cut.left)
            return
        left = [Sentence(self._count(), each.saying, each.text, each.first, each.last, each.skip) for each in cut.left]
        self._going = _Going(cut.saying, deque(left))

    def restart(self) -> bool:
        """What was cut is said once more from its beginning, if it is the `last`; False: it is not."""
        if self._cut is None or self._cut.saying is not self._last or self._going is not None:
            return False
        self._cut.left = deque(self._sentences(self._cut.saying))
        self.resume()
        return True

    def drop(self) -> None:
        """Somebody wanted something else. What nobody had asked for waits again, and so do questions."""
        self._waiting[:0] = [saying for saying in self._aside if saying.question is not None]
        self._aside.clear()
        cut, self._cut = self._cut, None
        if cut is not None:
            self._over(cut.saying, heard=False)

    def forget(self, question: str) -> None:
        """It is answered."""
        self._waiting = [each for each in self._waiting if each.question != question]
        self._aside = [each for each in self._aside if each.question != question]

    def hush(self) -> None:
        """Nothing more of what was cut, or waits, is said."""
        cut, self._cut = self._cut, None
        if cut is not None:
            self._over(cut.saying, heard=True)
        self._waiting.clear()
        self._aside.clear()

    def _over(self, saying: Saying, *, heard: bool) -> None:
        if any(each is saying for each in self._kept):
            self._kept = [each for each in self._kept if each is not saying]
            if not heard:
                self._promised.insert(0, saying)
        if self.unasked is None or not self.untold(saying):
            return
        self._taken = [each for each in self._taken if each is not saying]
        (self.unasked.said if heard else self.unasked.unsaid)(saying)

    def _begin(self) -> bool:
        while (saying := self._choose()) is not None:
            made = self._sentences(saying)
            if not made:
                self._over(saying, heard=True)
                continue
            self._going, self._last = _Going(saying, deque(made)), saying
            if self.begun is not None:
                self.begun(saying)
            return True
        return False

    def _sentences(self, saying: Saying) -> list[Sentence]:
        texts = sentences(saying.text)
        last = len(texts) - 1
        return [Sentence(self._count(), saying, text, n == 0, n == last) for n, text in enumerate(texts)]

    def _choose(self) -> Saying | None:
        listens = self.attentive or self._held or self._making
        if self._waiting and not (listens and self._waiting[0].question is not None):
            return self._waiting.pop(0)
        if self._held or self.attentive:
            return None
        if self._promised:
            self._kept.append(self._promised.pop(0))
            return self._kept[-1]
        if self._making or self.unasked is None:
            return None
        saying = self.unasked.take()
        if saying is not None:
            self._taken.append(saying)
        return saying

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
        if any(map(str.isalnum, rest)):  # else there is nothing to be heard
            found.append(rest)
    return found
