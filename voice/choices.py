"""How a conversation is set up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from voice.attention import AWAKE_SECONDS
from voice.intents import Language
from voice.turn_begins import CONFIRM_SECONDS

Wake = Literal["keyword", "button", "always"]
BargeIn = Literal["speech", "wake_word"]


@dataclass(frozen=True, slots=True)
class Choices:
    """`wake`: who is listened to; `barge_in`: who interrupts what is being said: everybody who speaks, or only the wake
    word (for a microphone that hears our own speech). Times in seconds."""

    language: Language = "en"
    chimes: bool = False
    """Short tones when the wake word was heard, when speech is interrupted, and when something went wrong."""
    wake: Wake = "keyword"
    barge_in: BargeIn = "speech"
    awake: float = AWAKE_SECONDS
    confirm: float = CONFIRM_SECONDS
    onset: float = 0.064
    """Of a voice, before it counts as one."""
    silence: float = 0.2
    """After which a voice has fallen silent."""
    pause: float = 1.5
    """After which a turn is over, whatever was said."""
