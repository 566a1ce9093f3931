"""Frames of our own. System frames: they keep their order among themselves, and no interruption drops them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pipecat.frames.frames import SystemFrame

from voice.engines.heard import Heard
from voice.intents import Help, Intent

WakeSource = Literal["keyword", "button", "always"]


@dataclass
class WakeFrame(SystemFrame):
    """Somebody wants to be heard: the wake word was said, or the talk button was pressed."""

    source: WakeSource = "keyword"


@dataclass
class TalkFrame(SystemFrame):
    """The talk button is pressed, or let go."""

    pressed: bool = True


@dataclass
class SleepFrame(SystemFrame):
    """Nobody is listened to any more until the next wake word."""


@dataclass
class WordsFrame(SystemFrame):
    """What an engine of ours recognised, in its place before the frame that says that the voice fell silent, which a
    `TranscriptionFrame` may come after (and comes, too, for others: its `result` is the same)."""

    heard: Heard = field(default_factory=lambda: Heard(""))


@dataclass
class TurnFrame(SystemFrame):
    """Somebody has finished speaking. `text`: all that was recognised of the turn. `woken`: with the wake word, or soon
    after it; `called`: the wake word was in it. `confidence`: of the least sure part, 0 to 1. `ended`: when the voice
    fell silent (`time.monotonic`)."""

    text: str = ""
    woken: bool = False
    called: bool = False
    confidence: float = 1.0
    ended: float = 0.0


@dataclass
class OnsetFrame(SystemFrame):
    """Somebody may have begun to speak over what is being said; it is said more quietly meanwhile."""


@dataclass
class OnsetOverFrame(SystemFrame):
    """What began with `OnsetFrame` has come to an end. `confirmed`: somebody did speak, and speech was stopped;
    otherwise it goes on as before. `words`: what was understood of it."""

    confirmed: bool = False
    words: str = ""


@dataclass
class IntentFrame(SystemFrame):
    """What a turn was taken for."""

    intent: Intent = field(default_factory=Help)
    text: str = ""


@dataclass
class SaidFrame(SystemFrame):
    """A sentence was handed to the speech engine. `kind`: of its saying."""

    text: str = ""
    kind: str = ""


@dataclass
class TroubleFrame(SystemFrame):
    """Something of the conversation went wrong, as an `ErrorFrame` has said."""
