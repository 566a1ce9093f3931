"""Which engines the conversations of a process get, by their names in the settings."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import cast

from state.errors import AtlasError, EngineUnavailable
from voice.choices import Choices
from voice.engines.apart import Apart
from voice.engines.parts import Part, Recognition, Setup, Speaking, WakeWords, Wanted
from voice.phrase_commands import PhraseCommands
from voice.pipeline import Engines

RECOGNITION = {
    "deepgram": "deepgram_recognition:DeepgramRecognition",
    "groq": "openai_recognition:GroqRecognition",
    "openai": "openai_recognition:OpenAIRecognition",
    "pocketsphinx": "sphinx_parts:SphinxRecognition",
    "sherpa-onnx": "sherpa_listening:SherpaRecognition",
    "whisper": "whisper_parts:WhisperRecognition",
}
SPEECH = {
    "cartesia": "socket_speech:CartesiaSpeaking",
    "deepgram": "deepgram_speech:DeepgramSpeaking",
    "elevenlabs": "socket_speech:ElevenLabsSpeaking",
    "espeak-ng": "espeak:EspeakSpeaking",
    "piper": "piper_speech:PiperSpeaking",
    "sherpa-onnx": "sherpa_speaking:SherpaSpeaking",
    "groq": "openai_speech:GroqSpeaking",
    "openai": "openai_speech:OpenAISpeaking",
}
WAKE_WORD = {
    "pocketsphinx": "sphinx_parts:SphinxWakeWords",
    "sherpa-onnx": "sherpa_wake:SherpaWakeWords",
}
"""Each by its name; loaded when it is wanted, since some need packages that need not be there."""
_SERVERS = ("cartesia", "deepgram", "elevenlabs", "groq", "openai")
"""Those that are reached by a network."""
_PACKAGES = {"deepgram": "deepgram-sdk"}
"""Names under which what is imported is installed, where they are others."""


class ChosenEngines:
    """Of all conversations, until `close`. `EngineUnavailable` says what is missing, before anybody talks."""

    def __init__(self, wanted: Wanted | None = None) -> None:
        wanted = wanted or Wanted()
        for engine in wanted.urls:
            if engine not in _SERVERS:
                raise EngineUnavailable(f"[voice.urls]: there is no server of {engine!r}", _hint(engine, _SERVERS))
        apart = Apart()
        self._recognition = cast(Recognition, _made("recognition", wanted.recognition, RECOGNITION, wanted, apart))
        self._speech = cast(Speaking, _made("speech", wanted.speech, SPEECH, wanted, apart))
        self._wake = cast(WakeWords, _made("wake_word", wanted.wake_word, WAKE_WORD, wanted, apart))

    def __call__(self, choices: Choices, commands: PhraseCommands) -> Engines:
        """For one conversation."""
        return Engines(
            self._recognition.service(choices.language, commands),
            self._speech.service(choices.language),
            self._wake.spotter() if choices.wake == "keyword" else None,
            second=self._wake.second(commands) if choices.wake == "keyword" else None,
            trust_interim=self._recognition.trust_interim,
            free_speech=self._recognition.free_speech,
        )

    async def ready(self) -> None:
        """What takes a moment is loaded."""
        await asyncio.gather(self._recognition.ready(), self._speech.ready(), self._wake.ready())

    async def close(self) -> None:
        """What they hold is given back."""
        for part in (self._recognition, self._speech, self._wake):
            await part.close()


def _hint(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name.casefold(), known, n=1)
    return f'Did you mean "{near[0]}"?' if near else f"There are {', '.join(sorted(known))}."


def _made(kind: str, name: str, known: Mapping[str, str], wanted: Wanted, apart: Apart) -> Part:
    engine, _, model = name.partition("/")
    if engine not in known:
        raise EngineUnavailable(f"[voice] {kind}: there is no engine {engine!r}", _hint(engine, known))
    module, _, made = known[engine].partition(":")
    setup = Setup(engine, model, wanted.voice, wanted.models, wanted.urls.get(engine), wanted.environ, apart)
    try:
        return getattr(import_module(f"voice.engines.{module}"), made)(setup)
    except AtlasError as error:
        raise EngineUnavailable(f"[voice] {kind}: {error.message}", error.hint) from error
    except OSError as error:
        raise EngineUnavailable(f"[voice] {kind}: {error}", "Check who may read it.") from error
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        raise EngineUnavailable(
            f"[voice] {kind}: {engine} needs the package {_PACKAGES.get(package, package)}, which is not installed",
            "Install it, or choose another engine in [voice] of atlas.toml.",
        ) from error
