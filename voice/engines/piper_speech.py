"""Speech by Piper's voices: neural, in this process, one voice loaded for all conversations, nothing downloaded.

Not by Pipecat's own service, which downloads a voice that it does not find, and loads one for each conversation.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import TYPE_CHECKING

from pipecat.frames.frames import Frame
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import TTSService

from state.errors import EngineUnavailable
from voice.engines.parts import Setup
from voice.engines.piper_files import WHERE_FROM, PiperFiles, find_voice
from voice.intents import Language

if TYPE_CHECKING:
    from voice.engines.piper_voice import LoadedVoice

EXTRA = "Install atlas-orchestrator[voice-piper], or choose another engine in [voice] of atlas.toml."
_THREADS = 4
_PATIENCE_SECONDS = 10.0
"""For the next piece on a busy machine: after that, Pipecat takes the sentence for one that has no sound."""
_CHUNK_SECONDS = 0.5
_SILENCE_SECONDS = 0.1


class PiperSpeaking:
    """See `Speaking`."""

    def __init__(self, setup: Setup) -> None:
        if find_spec("piper") is None:
            raise EngineUnavailable("piper needs the package piper-tts, which is not installed", EXTRA)
        self.shared = SharedVoice(find_voice(setup.models, setup.model, setup.voice))

    def service(self, language: Language) -> PiperTTS:
        """For one conversation. The voice decides what language it speaks."""
        return PiperTTS(self.shared)

    async def ready(self) -> None:
        """See `Part`."""
        await self.shared.loaded()

    async def close(self) -> None:
        """See `Part`."""
        await self.shared.close()


class SharedVoice:
    """One voice and the threads in which it speaks, loaded when it is first wanted. `close` ends them."""

    def __init__(self, files: PiperFiles) -> None:
        self._files = files
        self._threads = ThreadPoolExecutor(_THREADS, "piper")
        self._loading = asyncio.Lock()
        self._loaded: LoadedVoice | None = None

    async def loaded(self) -> LoadedVoice:
        """`EngineUnavailable`: its files are no voice."""
        async with self._loading:
            loaded = self._loaded or await asyncio.get_running_loop().run_in_executor(self._threads, self._load)
            self._loaded = loaded
            return loaded

    def _load(self) -> LoadedVoice:
        try:
            from voice.engines.piper_voice import LoadedVoice
        except ImportError as error:
            raise EngineUnavailable(f"piper-tts can't be loaded: {error}", EXTRA) from error
        try:
            return LoadedVoice(self._files)
        except Exception as error:  # onnxruntime and piper raise what they like
            raise EngineUnavailable(f"{self._files.model} can't be loaded: {error}", WHERE_FROM) from error

    async def pieces(self, text: str) -> AsyncGenerator[bytes]:
        """16 bits a sample, mono, as they are made. When this generator ends, so does the making, soon."""
        utterance = (await self.loaded()).utterance(text)
        made = utterance.pieces()
        try:
            while piece := await asyncio.get_running_loop().run_in_executor(self._threads, _next, made):
                yield piece
        finally:
            utterance.stop()

    async def close(self) -> None:
        """What is being said ends."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)


class PiperTTS(TTSService):
    """Of one conversation."""

    def __init__(self, voice: SharedVoice) -> None:
        self._shared = voice
        super().__init__(
            push_start_frame=True, push_stop_frames=True, stop_frame_timeout_s=_PATIENCE_SECONDS,
            max_consecutive_zero_audio_contexts=0,
            settings=TTSSettings(model=None, voice=None, language=None),
        )  # fmt: skip

    def can_generate_metrics(self) -> bool:
        """See `FrameProcessor`."""
        return True

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """See `TTSService`. Text that has no sound is a short silence, so that it is over at once."""
        rate = (await self._shared.loaded()).rate
        pieces = self._shared.pieces(text)
        try:
            async for frame in self._stream_audio_frames_from_iterator(
                _chunks(pieces, rate), in_sample_rate=rate, context_id=context_id
            ):
                yield frame
        finally:
            await pieces.aclose()


def _next(pieces: Iterator[bytes]) -> bytes | None:
    return next(pieces, None)


async def _chunks(pieces: AsyncIterator[bytes], rate: int) -> AsyncIterator[bytes]:
    """Small enough to be resampled beside everything else that is to be done."""
    size, sound = int(rate * _CHUNK_SECONDS) * 2, False
    async for piece in pieces:
        sound = sound or bool(piece)
        for start in range(0, len(piece), size):
            yield piece[start : start + size]
    if not sound:
        yield bytes(int(rate * _SILENCE_SECONDS) * 2)
