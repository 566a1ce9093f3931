"""What is told unasked in one conversation: events go in, sayings come out. Pure, but for what it remembers.

Of what waits while somebody speaks, the newest of its kind and run is told, and an outcome stands for all that came
before it. What is not true any more is not told: a question that was answered elsewhere, a run that goes on again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from orchestrator.views import EventView
from state.records import RUN_ENDED
from voice.happenings import Asked, Ended, Much, kind_of, told
from voice.hearing import Detail, Heard, Known, Run, hear
from voice.intents import Language
from voice.saying import Saying
from voice.unspoken import Note, Unspoken, key
from voice.wording.news import Missed

Own = Literal["started", "cancelled", "held", "resumed"]
_DETAILS: tuple[Detail, ...] = ("less", "normal", "more")
LONG_AGO = 120.0
"""Seconds; what waits for so long is told in short, as what was missed."""
_AT_ONCE = 3
"""Outcomes that are told one by one; more are told together."""


class Progress:
    """Times are seconds of any clock that the caller keeps to."""

    def __init__(self, language: Language = "en", detail: Detail = "normal") -> None:
        self.language: Language = language
        self.detail: Detail = detail
        self._runs: dict[str, Run] = {}
        self._heard: dict[str, int] = {}
        self._own: set[tuple[str, Own]] = set()
        self._unspoken = Unspoken()
        self._sayings: list[tuple[Saying, Note]] = []
        self._mentioned: str | None = None

    def change_detail(self, *, more: bool) -> None:
        """A step more, or less, of what is told."""
        at = _DETAILS.index(self.detail) + (1 if more else -1)
        self.detail = _DETAILS[max(0, min(at, len(_DETAILS) - 1))]

    # --- hearing -----------------------------------------------------------------------------------------------------

    def knows(self, run: str) -> bool:
        """Whether it can be told by its name."""
        return run in self._runs

    def asks(self, question: str) -> bool:
        """Whether it waits to be put to who listens, or is being put."""
        return self._unspoken.waits(key("question", question))

    def know(self, runs: Sequence[Known], *, missed: bool = False) -> None:
        """Of runs that are not known yet. What they have reached is not told, unless it was `missed`: then with all
        else, when who listens is back (`away`)."""
        for each in runs:
            if each.run not in self._runs:
                run = Run(each.run, each.name, each.state, each.settled, each.total, dict(each.troubles))
                run.step = 0 if missed else run.reached()
                self._runs[each.run] = run

    def hear(
        self, events: Sequence[EventView], titles: Mapping[str, str] | None = None, now: float = 0.0
    ) -> list[Saying]:  # fmt: skip
        """Of each run in order; those that were heard before change nothing. `titles` of TODOs, by id. Returns what
        there is to tell of them, for eyes: nothing of it counts as said."""
        new: dict[str, Note] = {}
        for event in events:
            if event.seq <= self._heard.get(event.run, 0):
                continue
            self._heard[event.run] = event.seq
            run = self._runs.get(event.run) or self._runs.setdefault(event.run, Run(event.run))
            heard = hear(run, event, titles or {}, self.detail)
            for note in self._take_in(run, heard, event.seq, now):
                new[note.key] = note
        waiting = set(map(id, self._unspoken.waiting))
        return [self._saying(note, self._name(note)) for note in new.values() if id(note) in waiting]

    def _take_in(self, run: Run, heard: Heard, seq: int, now: float) -> list[Note]:
        self._unspoken.withdraw(*heard.withdrawn)
        if self._is_own(run.id, heard.act):
            return []
        notes = [Note(run.id, what, {run.id: seq}, now) for what in heard.whats]
        return [note for note in notes if self._unspoken.put(note)]

    def _is_own(self, run: str, act: Own | None) -> bool:
        if act is None or (run, act) not in self._own:
            return False
        self._own.discard((run, act))
        return True

    def hear_to(self, run: str, seq: int) -> None:
        """Up to this number nothing else is worth telling."""
        self._heard[run] = max(seq, self._heard.get(run, 0))

    def own(self, run: str, act: Own) -> None:
        """Who listens did this just now and has a receipt: it is not told again, whether it was heard of or will be."""
        self._mentioned = run
        known = self._runs.get(run)
        kind = "outcome" if act == "cancelled" else "milestone"
        if known is None or known.state not in _AFTER[act]:
            self._own.add((run, act))
        elif act != "started" or known.fresh:
            self._unspoken.withdraw(key(kind, run))

    def withdraw_question(self, question: str) -> None:
        """It is put to who listens otherwise, or is answered."""
        self._unspoken.withdraw(key("question", question))

    # --- telling -----------------------------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """How many sayings wait."""
        return len(self._unspoken)

    def away(self, questions: int = 0) -> None:
        """Nobody has listened until now: what waits is told in one sentence, then the questions. So many `questions`
        wait besides, which are not put again."""
        self._fold("away", questions)
        for run in self._runs.values():
            run.step = max(run.step, run.reached())

    def ask(self, run: str, id: str, todo: str | None, text: str, choices: Sequence[str], now: float = 0.0) -> None:
        """Put a question that waits, again: who listens has not been there for a while."""
        known = self._runs.get(run)
        note = Note(run, Asked(id, todo, text, tuple(choices)), {}, now)
        if known is not None and not self._unspoken.waits(note.key):
            known.questions[id] = todo
            self._unspoken.put(note)

    def take(self, now: float = 0.0) -> Saying | None:
        """What is to be said next, in a moment in which it can be. It is told when it is `said`."""
        waiting = [note for note in self._unspoken.waiting if not isinstance(note.what, Asked | Much)]
        if any(now - note.since > LONG_AGO for note in waiting):
            self._fold("away")
        elif sum(isinstance(note.what, Ended) for note in waiting) > _AT_ONCE:
            self._fold("meanwhile")
        while note := self._unspoken.take():
            saying = self._saying(note, None if self._is_clear(note) else self._name(note))
            if saying.text:
                self._mentioned = note.run
                self._sayings.append((saying, note))
                return saying
            self._unspoken.said(note)
        return None

    def _is_clear(self, note: Note) -> bool:
        """Which run it is about: that of the last saying, and there is no other."""
        others = any(run.id != note.run and run.state not in RUN_ENDED for run in self._runs.values())
        return note.run is not None and note.run == self._mentioned and not others

    def said(self, saying: Saying) -> None:
        """Or superseded, or given up: it is not told again."""
        self._unspoken.said(self._out(saying))

    def unsaid(self, saying: Saying) -> None:
        """It was taken and not heard: it waits again, unless there is newer."""
        self._unspoken.put_back(self._out(saying))

    def stands(self, saying: Saying) -> bool:
        """Whether what was taken is still true; if not, it need not be said (any further)."""
        return any(each is saying and self._unspoken.taken(note) for each, note in self._sayings)

    def _out(self, saying: Saying) -> Note:
        found = next((note for each, note in self._sayings if each is saying), None)
        self._sayings = [pair for pair in self._sayings if pair[0] is not saying]
        return found or Note(None, Much(Missed(), "away"))

    # --- how far -----------------------------------------------------------------------------------------------------

    def told_to(self) -> dict[str, int]:
        """Of each run that was heard of: the number of the event up to which all has been told."""
        first = self._unspoken.first()
        return {run: min(seq, first[run] - 1) if run in first else seq for run, seq in self._heard.items()}

    @property
    def all_told(self) -> bool:
        """Nothing waits, and nothing is being said."""
        return not self._unspoken.first() and not len(self._unspoken)

    def heard_to(self, run: str) -> int:
        """The number of the newest event that was heard; 0: none."""
        return self._heard.get(run, 0)

    def start_again(self) -> None:
        """Somebody else has told, meanwhile: nothing of what was heard counts, but what is known of the runs."""
        self._heard.clear()
        self._unspoken = Unspoken()
        self._sayings.clear()

    def forget(self, run: str) -> None:
        """It has ended, and all of it is told and stored."""
        known = self._runs.get(run)
        if known is None or known.state in RUN_ENDED:
            self._runs.pop(run, None)
            self._heard.pop(run, None)

    # ------------------------------------------------------------------------------------------------------------------

    def _name(self, note: Note) -> str | None:
        return self._runs[note.run].name if note.run in self._runs else None

    def _saying(self, note: Note, name: str | None) -> Saying:
        question = note.what.question if isinstance(note.what, Asked) else None
        text = told(note.what, name, self.language)
        return Saying(text, kind_of(note.what), note.run, question, tuple(note.tells.items()))

    def _fold(self, which: Literal["away", "meanwhile"], questions: int = 0) -> None:
        asked = questions + sum(isinstance(note.what, Asked) for note in self._unspoken.waiting)
        self._unspoken.fold(
            lambda note: not isinstance(note.what, Asked), lambda notes: self._one(notes, which, asked)
        )  # fmt: skip

    def _one(self, notes: Sequence[Note], which: Literal["away", "meanwhile"], asked: int) -> Note:
        missed = Missed(questions=asked)
        for note in notes:
            if isinstance(note.what, Much):
                which = "away" if note.what.which == "away" else which
                missed.ended |= note.what.missed.ended
                missed.going |= note.what.missed.going
        for note in notes:
            run = self._runs.get(note.run or "")
            if run is None:
                continue
            if isinstance(note.what, Ended):
                missed.ended[run.id] = (run.name, note.what.state, note.what.troubles)
                missed.going.pop(run.id, None)
            elif run.total and run.state not in RUN_ENDED:
                missed.going[run.id] = (run.name, run.settled, run.total)
                missed.ended.pop(run.id, None)
        return Note(None, Much(missed, which))


_AFTER: Mapping[Own, frozenset[str]] = {
    "started": frozenset(("planning", "in_progress", "awaiting_input", "held", "blocked", "failed", "completed")),
    "cancelled": frozenset(("cancelled",)),
    "held": frozenset(("held",)),
    "resumed": frozenset(("planning", "in_progress", "awaiting_input")),
}
"""States in which such an act has been heard of."""
