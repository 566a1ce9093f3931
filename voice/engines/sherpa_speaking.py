"""Speech by sherpa-onnx: VITS (such as voices of Piper), Matcha, Kokoro and Kitten, a sentence at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from pipecat.frames.frames import ErrorFrame, Frame, TTSAudioRawFrame
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import TTSService

from state.errors import EngineUnavailable
from voice.engines.espeak import PROGRAM, installed
from voice.engines.parts import Setup
from voice.engines.phonemes import phonemes, sentences
from voice.engines.sherpa_files import Directory
from voice.engines.sherpa_models import REMEDY, Held, Manner, Voice, manner
from voice.engines.sherpa_voices import espeak_voice, voice
from voice.intents import Language

_THREADS = 2
_PIECE = 4_410
"""Bytes: a tenth of a second, or so."""
_PATIENCE_SECONDS = 10.0
"""For a sentence, which comes when all of it is made."""
_SILENCE_SECONDS = 0.1


class SherpaSpeaking:
    """See `Speaking`. `Setup.voice`: the number of one of the model's speakers."""

    def __init__(self, setup: Setup) -> None:
        if setup.voice and not setup.voice.isdecimal():
            raise EngineUnavailable(
                f"voice {setup.voice!r}: speakers of sherpa-onnx have numbers", "Write one, from 0 on, or leave it out."
            )
        self._speaker = int(setup.voice or 0)
        recipe = voice(Directory(setup))
        self._espeak = espeak_voice(recipe.told)
        if self._espeak and installed():
            settings = {name: value for name, value in recipe.settings.items() if name != "lexicon"}
            recipe = replace(recipe, settings=settings)
        elif self._espeak and "lexicon" in recipe.settings:
            self._espeak = ""
        elif self._espeak:
            raise EngineUnavailable(
                f"the voice in {recipe.place} speaks phonemes of {PROGRAM}, which is not installed",
                f"Install it (Debian: apt install {PROGRAM}).",
            )
        self.held: Held[Voice] = Held(recipe, threads=_THREADS)

    def service(self, language: Language) -> FrameProcessor:
        """For one conversation. The model speaks its own language."""
        del language
        return SherpaTTS(self.held, speaker=self._speaker, espeak=self._espeak)

    async def ready(self) -> None:
        """See `Part`."""
        await self.held.load()
        speakers = max(1, self.held.model.num_speakers)
        if self._speaker >= speakers:
            raise EngineUnavailable(
                f"there is no speaker {self._speaker} in {self.held.recipe.place}",
                f"Choose one from 0 to {speakers - 1}.",
            )

    async def close(self) -> None:
        """See `Part`."""
        self.held.close()


class SherpaTTS(TTSService):
    """`speaker`: a number; `espeak`: the voice of espeak-ng that phonemes are had by, empty where the model knows its
    words. A sentence is made in a thread while those before it are heard; when nobody listens any more, it is the
    last."""

    def __init__(self, held: Held[Voice], *, speaker: int = 0, espeak: str = "") -> None:
        self._held = held
        self._speaker = speaker
        self._espeak = espeak
        super().__init__(
            push_start_frame=True, push_stop_frames=True, stop_frame_timeout_s=_PATIENCE_SECONDS,
            max_consecutive_zero_audio_contexts=0,
            settings=TTSSettings(model=None, voice=str(speaker), language=None),
        )  # fmt: skip

    def can_generate_metrics(self) -> bool:
        """See `FrameProcessor`."""
        return True

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """See `TTSService`. Nothing more is made once this generator has ended, however that ends, but for the rest of
        a sentence that is being made. Text that has no sound is a short silence, so that it is over at once."""
        making, spoke = _Making(self._held), False
        try:
            for sentence in sentences(text):
                spoken = await phonemes(sentence, self._espeak) if self._espeak else ""
                if self._espeak and not spoken:
                    continue
                spoke = True
                sound = making.sound(sentence, manner(self._speaker, spoken))
                async for frame in self._stream_audio_frames_from_iterator(
                    sound, in_sample_rate=self._held.model.sample_rate, context_id=context_id
                ):
                    yield frame
            if not spoke:
                rate = self._held.model.sample_rate
                yield TTSAudioRawFrame(bytes(int(rate * _SILENCE_SECONDS) * 2), rate, 1, context_id)
        except EngineUnavailable as error:
            yield ErrorFrame(f"{error.message}. {error.hint}".strip(), exception=error)
        finally:
            making.stop()


class _Making:
    """Of sentences, one after the other, in a thread."""

    def __init__(self, held: Held[Voice]) -> None:
        self._held = held
        self._made: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._work: asyncio.Task[None] | None = None
        self._unwanted = False

    async def sound(self, sentence: str, how: Manner) -> AsyncIterator[bytes]:
        """As it is made: 16-bit mono at the model's rate, in pieces, so that others have their turn between them."""
        self._work = asyncio.create_task(self._make(sentence, how))
        while (sound := await self._made.get()) is not None:
            for at in range(0, len(sound), _PIECE):
                yield sound[at : at + _PIECE]
        await self._work

    def stop(self) -> None:
        """No more is wanted."""
        self._unwanted = True
        if self._work is not None and not self._work.cancel() and not self._work.cancelled():
            self._work.exception()  # told, or of no interest any more

    async def _make(self, sentence: str, how: Manner) -> None:
        try:
            await self._held.run(lambda: self._generate(sentence, how))
        finally:
            self._made.put_nowait(None)

    def _generate(self, sentence: str, how: Manner) -> None:
        if self._unwanted:
            return
        try:
            self._held.model.generate(sentence, how, self._take)
        except (RuntimeError, ValueError) as error:
            raise EngineUnavailable(f"sherpa-onnx can't say {sentence!r}: {error}", REMEDY) from error

    def _take(self, samples: NDArray[np.float32], part: float) -> int:
        """1: go on; 0: that is enough."""
        del part
        if self._unwanted:
            return 0
        sound = (np.clip(samples, -1, 1) * 32_767).astype("<i2").tobytes()
        self._loop.call_soon_threadsafe(self._made.put_nowait, sound)
        return 1
