"""Which engines a conversation gets."""

from __future__ import annotations

from voice.choices import Choices
from voice.engines.apart import Apart
from voice.engines.commands import CommandSTT
from voice.engines.espeak import EspeakTTS
from voice.engines.heard import Heard
from voice.engines.wake_word import KeyphraseSpotter
from voice.phrase_commands import PhraseCommands
from voice.pipeline import Engines


class LocalEngines:
    """Those that need no download: PocketSphinx, for commands only, and espeak-ng. What recognises is one process for
    all conversations, until `close`."""

    def __init__(self) -> None:
        self._apart = Apart()

    def __call__(self, choices: Choices, commands: PhraseCommands) -> Engines:
        """For one conversation. `EngineUnavailable` says what is not installed."""
        spotter = _Spotter(self._apart) if choices.wake == "keyword" else None
        recognition = CommandSTT(_Recogniser(self._apart, commands))
        return Engines(recognition, EspeakTTS(choices.language), spotter, trust_interim=False)

    async def ready(self) -> None:
        """What takes a moment is loaded."""
        await self._apart.ready()

    async def close(self) -> None:
        """The process is ended."""
        await self._apart.close()


class _Recogniser:
    def __init__(self, apart: Apart, commands: PhraseCommands) -> None:
        self._apart = apart
        self._commands = commands

    async def hear(self, audio: bytes) -> Heard:
        return await self._apart.hear(audio, self._commands.runs, self._commands.plans)


class _Spotter:
    def __init__(self, apart: Apart) -> None:
        self._apart = apart
        self._spotter = KeyphraseSpotter()

    def feed(self, audio: bytes) -> bytes | None:
        return self._spotter.feed(audio)

    async def is_it(self, audio: bytes) -> bool:
        return await self._apart.is_wake_word(audio)

    def reset(self) -> None:
        self._spotter.reset()
