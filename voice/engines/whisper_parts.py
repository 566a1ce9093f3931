"""Recognition by a Whisper model on this machine, with the package faster-whisper."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from state.errors import EngineUnavailable
from voice.engines.commands import LONGEST_OF_WORDS_SECONDS, CommandSTT
from voice.engines.heard import Heard
from voice.engines.parts import Setup
from voice.intents import Language
from voice.phrase_commands import PhraseCommands

_PACKAGE = "faster_whisper"
_FILES = ("model.bin", "config.json", "tokenizer.json")
"""Without the last of them the package fetches another."""
_SECONDS = 4.0
"""In which a processor without help tells what it heard, with one of the small models."""


class _Segment(Protocol):
    text: str
    avg_logprob: float


class _Model(Protocol):
    def transcribe(self, audio: NDArray[np.float32], **how: object) -> tuple[Iterable[_Segment], object]: ...


class WhisperRecognition:
    """See `Recognition`. The model is a directory of `models` in the form of CTranslate2, and is never downloaded."""

    free_speech = True
    trust_interim = False

    def __init__(self, setup: Setup) -> None:
        if find_spec(_PACKAGE) is None:
            raise ModuleNotFoundError("no faster-whisper", name="faster-whisper")
        if not setup.model:
            raise EngineUnavailable("whisper needs the name of a model", 'Write "whisper/small", for example.')
        self._directory = setup.models / setup.model
        if missing := [name for name in _FILES if not (self._directory / name).is_file()]:
            raise EngineUnavailable(
                f"there is no whole Whisper model in {self._directory}; missing: {', '.join(missing)}",
                "`atlas voice models` says where to get one; nothing is downloaded by itself.",
            )
        self._model: _Model | None = None
        self._turn = asyncio.Lock()

    def service(self, language: Language, commands: PhraseCommands) -> CommandSTT:
        """For one conversation."""
        del commands
        return CommandSTT(_Recogniser(self, language), early=False, longest=LONGEST_OF_WORDS_SECONDS, seconds=_SECONDS)

    async def ready(self) -> None:
        """See `Part`."""
        if self._model is None:
            self._model = await asyncio.to_thread(_loaded, self._directory)

    async def close(self) -> None:
        """See `Part`."""
        self._model = None

    async def heard(self, audio: bytes, language: Language) -> Heard:
        """One at a time: a model uses all cores."""
        async with self._turn:
            await self.ready()
            model = self._model
            return Heard("", 0.0) if model is None else await asyncio.to_thread(_heard, model, audio, language)


class _Recogniser:
    def __init__(self, shared: WhisperRecognition, language: Language) -> None:
        self._shared = shared
        self._language: Language = language

    async def hear(self, audio: bytes) -> Heard:
        return await self._shared.heard(audio, self._language)


def _loaded(directory: Path) -> _Model:
    try:
        made = import_module(_PACKAGE).WhisperModel(str(directory), compute_type="int8", local_files_only=True)
    except Exception as error:  # of the library: RuntimeError, ValueError, whatever is in its files
        raise EngineUnavailable(
            f"the Whisper model in {directory} can't be loaded: {error}", "Put a whole one there."
        ) from error
    return cast(_Model, made)


def _heard(model: _Model, audio: bytes, language: Language) -> Heard:
    samples = np.frombuffer(audio, dtype="<i2").astype(np.float32) / np.float32(32768)
    try:
        found, _ = model.transcribe(
            samples, language=language, beam_size=1, condition_on_previous_text=False, without_timestamps=True
        )
        parts = list(found)  # it is recognised while they are taken
    except Exception as error:  # of the library
        raise EngineUnavailable(f"whisper failed: {error}", "Say it again.") from error
    text = " ".join(part.text.strip() for part in parts).strip()
    return Heard(text, min((math.exp(min(0.0, part.avg_logprob)) for part in parts), default=0.0))
