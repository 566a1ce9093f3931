"""What is to be told and has not been: merged while it waits, and remembered until it has been said."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from voice.happenings import Asked, Happening, Passed, kind_of
from voice.saying import PRIORITY, Kind


@dataclass(slots=True, eq=False)
class Note:
    """`tells`: the number of the first event of each run that it tells of; `since`: when it was heard of."""

    run: str | None
    what: Happening
    tells: Mapping[str, int] = field(default_factory=dict[str, int])
    since: float = 0.0

    @property
    def key(self) -> str:
        """Of those with the same key, one waits at a time."""
        return key(kind_of(self.what), self.what.question if isinstance(self.what, Asked) else self.run)


def key(kind: Kind, about: str | None) -> str:
    """`about` is a question's id, of others the run's."""
    return f"{kind}:{about or ''}"


class Unspoken:
    """The most urgent first; of the same urgency, what waits longest. Nothing is lost between `take` and `said`."""

    def __init__(self) -> None:
        self._waiting: dict[str, Note] = {}
        self._taken: list[Note] = []

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def waiting(self) -> Iterable[Note]:
        """In the order in which they began to wait."""
        return self._waiting.values()

    def waits(self, key: str) -> bool:
        """Or is being said."""
        return key in self._waiting or any(note.key == key for note in self._taken)

    def put(self, note: Note) -> bool:
        """In place of an earlier one with the same key. False: what waits says more than this."""
        before = self._waiting.get(note.key)
        if before is not None:
            if isinstance(note.what, Passed) and not isinstance(before.what, Passed):
                return False
            note.tells, note.since = _together([before, note]), before.since
        self._waiting[note.key] = note
        return True

    def put_back(self, note: Note) -> None:
        """It was taken and not said. What has come meanwhile takes its place."""
        if not self.taken(note):
            return
        self._taken.remove(note)
        if later := self._waiting.get(note.key):
            later.tells = _together([note, later])
        else:
            self._waiting = {note.key: note, **self._waiting}

    def take(self) -> Note | None:
        """The next to be said; it counts as told once it was `said`."""
        if not self._waiting:
            return None
        note = min(self._waiting.values(), key=lambda each: PRIORITY[kind_of(each.what)])
        del self._waiting[note.key]
        self._taken.append(note)
        return note

    def said(self, note: Note) -> None:
        """Or given up."""
        if self.taken(note):
            self._taken.remove(note)

    def taken(self, note: Note) -> bool:
        """Whether it is being said, and still stands."""
        return note in self._taken

    def withdraw(self, *keys: str) -> bool:
        """What is not true any more, or was told otherwise. Whether there was any such thing."""
        gone = [note for key in keys if (note := self._waiting.pop(key, None))]
        kept = [note for note in self._taken if note.key not in keys]
        gone += [note for note in self._taken if note.key in keys]
        self._taken = kept
        return bool(gone)

    def fold(self, which: Callable[[Note], bool], into: Callable[[list[Note]], Note]) -> None:
        """Make one of several that wait."""
        some = [note for note in self._waiting.values() if which(note)]
        if not some:
            return
        one = into(some)
        one.tells, one.since = _together(some), min(note.since for note in some)
        for note in some:
            del self._waiting[note.key]
        self._waiting = {one.key: one, **self._waiting}

    def first(self) -> dict[str, int]:
        """Of each run that something waits of: the number of the first event that has not been told."""
        return _together([*self._waiting.values(), *self._taken])


def _together(notes: Iterable[Note]) -> dict[str, int]:
    first: dict[str, int] = {}
    for note in notes:
        for run, seq in note.tells.items():
            first[run] = min(seq, first.get(run, seq))
    return first
