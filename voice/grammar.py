"""Commands in a person's words: what a transcript means, and whether it is whole.

The phrases are data (`voice.phrases`). Only what is a phrase as a whole has a meaning here: "don't cancel it" has
a cancel in it, and is none. Whatever is not understood is left to a model (`voice.intents.Talk`, made by the caller).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Literal

from voice import intents
from voice.automaton import Match, Unfinished
from voice.intents import Intent, Language
from voice.phrasebook import Key, Phrasebook, Slots, phrasebook
from voice.transcripts import LONGEST, Word, language_of, tidied, words

Standing = Literal["whole", "open", "unknown"]
"""Of an utterance so far: a command that needs nothing more; a command that may go on to mean another; no command."""

Said = Mapping[str, str]
"""What filled the slots, in the speaker's words or, if it is known, as a name is really written."""

MEANINGS: Mapping[str, Callable[[Said], Intent]] = MappingProxyType({
    "start-goal": lambda said: intents.StartGoal(said.get("goal") or said["task"]),
    "start-plan": lambda said: intents.StartPlan(said["plan"]),
    "status": lambda said: intents.Status(said.get("run")),
    "stop": lambda said: intents.Stop(run=said.get("run")),
    "stop-everything": lambda _: intents.Stop(scope="everything"),
    "quiet": lambda _: intents.Quiet(),
    "cancel-everything": lambda _: intents.Cancel(scope="everything"),
    "cancel": lambda said: intents.Cancel(said.get("run")),
    "hold-everything": lambda _: intents.Hold(scope="everything"),
    "hold": lambda said: intents.Hold(said.get("run")),
    "resume-everything": lambda _: intents.Resume(scope="everything"),
    "resume": lambda said: intents.Resume(said.get("run")),
    "retry": lambda said: intents.Retry(said.get("run")),
    "questions": lambda _: intents.Questions(),
    "approve": lambda _: intents.Approve(),
    "reject": lambda _: intents.Reject(),
    "choose": lambda said: intents.Choose(int(said["number"])),
    "answer": lambda said: intents.Answer(said["text"]),
    "yes": lambda _: intents.Yes(),
    "no": lambda _: intents.No(),
    "later": lambda _: intents.Later(),
    "everything": lambda _: intents.Everything(),
    "repeat": lambda _: intents.Repeat(),
    "more": lambda _: intents.Detail(more=True),
    "less": lambda _: intents.Detail(more=False),
    "help": lambda _: intents.Help(),
    "backchannel": lambda _: intents.Backchannel(),
})  # fmt: skip
"""What the sections of a phrase file mean."""

AT_ONCE = frozenset({"stop", "stop-everything", "quiet"})
"""Nobody waits for the end of these: what a longer one adds is done when it has been said."""

ANSWERS = frozenset({"yes", "no", "later", "everything", "backchannel"})
"""Words with which people begin other sentences, too."""


@dataclass(frozen=True, slots=True)
class _Reading:
    book: Phrasebook
    tidy: str
    said: Sequence[Word]
    slots: Slots
    matches: list[Match]
    unfinished: list[Unfinished]

    def sections(self) -> list[str]:
        return [self.book.sections[match.phrase] for match in self.matches]


def _read(text: str, language: Language | None, runs: Collection[str], plans: Collection[str]) -> _Reading | None:
    if len(text) > LONGEST:
        return None
    tidy = tidied(text)
    book = phrasebook(language or language_of(tidy))
    said = _without_wake(book, words(tidy, book.variants))
    asks = "?" in tidy
    slots = Slots(book, said, asks, runs, plans)
    matches, unfinished = book.automaton.read([word.key for word in said], slots, book.fillers)
    return _Reading(book, tidy, said, slots, sorted(matches, key=partial(_order, book)), unfinished)


def _order(book: Phrasebook, match: Match) -> tuple[int, int]:
    """The earliest section first, and in it the phrase that leaves least to its slots."""
    return book.sections.index(book.sections[match.phrase]), sum(end - start for _, start, end in match.filled)


def _without_wake(book: Phrasebook, said: list[Word]) -> list[Word]:
    keys: Key = tuple(word.key for word in said)
    longest = next((len(wake) for wake in book.wakes if keys[: len(wake)] == wake), 0)
    return said[longest:]


def understand(
    text: str, language: Language | None = None, *, runs: Collection[str] = (), plans: Collection[str] = ()
) -> Intent | None:
    """What `text` asks for, or None when it is no phrase as a whole.

    `language` is told from the text when it is not given. `runs` and `plans` are names that are known: these may be
    said without the word "run", and come back as they are written here. Any text is safe: the time is bounded, and
    nothing is raised.
    """
    reading = _read(text, language, runs, plans)
    if reading is None or not reading.matches:
        return None
    match = reading.matches[0]
    return MEANINGS[reading.book.sections[match.phrase]](_filled(reading, match))


def _filled(reading: _Reading, match: Match) -> dict[str, str]:
    """The slots of a match, `known_run` as `run` and `ordinal` as `number`."""
    filled: dict[str, str] = {}
    for slot, start, end in match.filled:
        keys = tuple(word.key for word in reading.said[start:end])
        match slot:
            case "number":
                filled["number"] = str(reading.book.number(keys))
            case "ordinal":
                filled["number"] = str(reading.book.ordinals.index(keys[0]) + 1)
            case "run" | "known_run":
                filled["run"] = reading.slots.runs.get(keys) or _words_of(reading, start, end)
            case "plan":
                filled["plan"] = reading.slots.plans.get(keys) or _words_of(reading, start, end)
            case _:
                filled[slot] = _words_of(reading, start, end)
    return filled


def _words_of(reading: _Reading, start: int, end: int) -> str:
    """What was really said there."""
    return reading.tidy[reading.said[start].start : reading.said[end - 1].end]


def standing(
    text: str, language: Language | None = None, *, runs: Collection[str] = (), plans: Collection[str] = ()
) -> Standing:
    """Whether a turn may end here: at "whole" at once, at "open" after a short wait; "unknown" tells nothing.

    "status" is open, for "status of the nightly run" means something else; "progress of everything" is whole. "stop"
    is whole: it is acted on at once, and "stop everything" when that has been said. "yes", "no" and backchannels are
    open, since they begin other sentences, and free text is open always.
    """
    reading = _read(text, language, runs, plans)
    if reading is None or not reading.matches:
        return "unknown"
    section = reading.sections()[0]
    if section in AT_ONCE:
        return "whole"
    if section in ANSWERS:
        return "open"
    goes_on = any(more.opens or reading.book.sections[more.phrase] != section for more in reading.unfinished)
    return (
        "open"
        if goes_on or any(slot in {"goal", "task", "text"} for slot, *_ in reading.matches[0].filled)
        else "whole"
    )


def complete(
    text: str, language: Language | None = None, *, runs: Collection[str] = (), plans: Collection[str] = ()
) -> bool:
    """Whether `text` is a command that certainly is whole, so that the turn may end without waiting (`standing`)."""
    return standing(text, language, runs=runs, plans=plans) == "whole"


def is_backchannel(text: str, language: Language | None = None) -> bool:
    """Whether this is what somebody says who only listens. "yeah" and "对" are that too, though `understand` has `Yes`
    for them: it depends on whether they were just asked."""
    reading = _read(text, language, (), ())
    return reading is not None and "backchannel" in reading.sections()
