"""PocketSphinx as engines of conversations: commands and the wake word, in English, without a download."""

from __future__ import annotations

from importlib.util import find_spec

from pipecat.processors.frame_processor import FrameProcessor

from state.errors import EngineUnavailable
from voice.engines.apart import Apart
from voice.engines.called_commands import CalledCommands
from voice.engines.commands import CommandSTT
from voice.engines.heard import Heard
from voice.engines.parts import Setup
from voice.engines.wake_word import KeyphraseSpotter
from voice.intents import Language
from voice.phrase_commands import PhraseCommands
from voice.wake_gate import Spotter


class SphinxRecognition:
    """See `Recognition`. Only what the grammar has."""

    free_speech = False
    trust_interim = False

    def __init__(self, setup: Setup) -> None:
        _needed(setup)
        self._apart = setup.apart

    def service(self, language: Language, commands: PhraseCommands) -> FrameProcessor:
        """For one conversation. `language` is of what is said to people; they are heard in English."""
        del language
        return CommandSTT(_Recogniser(self._apart, commands))

    async def ready(self) -> None:
        """See `Part`."""
        await self._apart.ready()

    async def close(self) -> None:
        """See `Part`."""
        await self._apart.close()


class SphinxWakeWords:
    """See `WakeWords`."""

    def __init__(self, setup: Setup) -> None:
        _needed(setup)
        self._apart = setup.apart

    def spotter(self) -> Spotter:
        """For one conversation."""
        return _Spotter(self._apart)

    def second(self, commands: PhraseCommands) -> Spotter:
        """It misses the wake word of some voices, but hears a whole command that begins with it."""
        return CalledCommands(_Recogniser(self._apart, commands))

    async def ready(self) -> None:
        """See `Part`."""
        await self._apart.ready()

    async def close(self) -> None:
        """See `Part`."""
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


def _needed(setup: Setup) -> None:
    if find_spec("pocketsphinx") is None:
        raise ModuleNotFoundError("no pocketsphinx", name="pocketsphinx")
    if setup.model:
        raise EngineUnavailable(
            f"{setup.engine}/{setup.model}: pocketsphinx has one model, which comes with it",
            'Write "pocketsphinx", or name another engine.',
        )
