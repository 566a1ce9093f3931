"""Recognition for tests of what comes after it: it hears that somebody speaks, and is told what they said."""

from __future__ import annotations

from collections import deque

from voice.choices import Choices
from voice.engines.commands import CommandSTT
from voice.engines.espeak import EspeakTTS
from voice.engines.heard import Heard
from voice.phrase_commands import PhraseCommands
from voice.pipeline import Engines


class Prompted:
    """`voice.engines.commands.Recogniser`. Of each utterance that is noticed it hears the next of `lines`."""

    def __init__(self) -> None:
        self.lines: deque[Heard | str] = deque()

    async def hear(self, audio: bytes) -> Heard:
        del audio
        if not self.lines:
            return Heard("")
        line = self.lines.popleft()
        return line if isinstance(line, Heard) else Heard(line)

    def engines(self, choices: Choices, commands: PhraseCommands) -> Engines:
        """With this recognition, and nobody to wait for a wake word."""
        del commands
        return Engines(CommandSTT(self, early=False), EspeakTTS(choices.language), None, trust_interim=False)
