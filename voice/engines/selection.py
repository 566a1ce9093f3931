"""Which engines a conversation gets."""

from __future__ import annotations

from voice.choices import Choices
from voice.engines.commands import CommandSTT
from voice.engines.espeak import EspeakTTS
from voice.engines.pocketsphinx import CommandRecognizer, KeywordSpotter
from voice.phrase_commands import PhraseCommands
from voice.pipeline import Engines


def local_engines(choices: Choices, commands: PhraseCommands) -> Engines:
    """Those that need no download: PocketSphinx and espeak-ng."""
    recogniser = CommandRecognizer(runs=commands.runs, plans=commands.plans)
    spotter = KeywordSpotter() if choices.wake == "keyword" else None
    return Engines(CommandSTT(recogniser), EspeakTTS(choices.language), spotter, trust_interim=False)
