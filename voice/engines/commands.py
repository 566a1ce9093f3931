"""Recognition of spoken commands as a service of the pipeline: an utterance at a time, beside the audio's way."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from typing import Protocol

from pipecat.frames.frames import (
    Frame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.settings import STTSettings
from pipecat.services.stt_service import STTService
from pipecat.utils.time import time_now_iso8601

from state.errors import EngineUnavailable
from voice.engines.heard import Heard
from voice.frames import WakeFrame, WordsFrame

_BEFORE_SECONDS = 0.5
"""A voice is noticed a little after it began: so much of what was before is listened to as well."""
_WAKE_SECONDS = 1.2
"""The wake word, which is noticed at its end or later, and what came before it."""
_LONGEST_SECONDS = 12.0
"""A longer utterance is no command: its end is not kept."""
_RECOGNITION_SECONDS = 1.0


class Recogniser(Protocol):
    """Of 16-bit mono audio of 16 kHz."""

    async def hear(self, audio: bytes) -> Heard:
        """A whole utterance. `EngineUnavailable`."""
        ...


class CommandSTT(STTService):
    """Around a `Recogniser`. Frames do not wait for it; utterances are heard in their order."""

    def __init__(self, recogniser: Recogniser) -> None:
        super().__init__(settings=STTSettings(model=None, language=None), ttfs_p99_latency=_RECOGNITION_SECONDS)
        self._recogniser = recogniser
        self._before: deque[bytes] = deque()
        self._before_bytes = 0
        self._utterance: bytearray | None = None
        self._heard: asyncio.Queue[bytes] = asyncio.Queue()
        self._hearing: asyncio.Task[None] | None = None

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        """See `STTService`: called with every piece of audio."""
        self._keep(audio)
        if self._utterance is not None and len(self._utterance) < _LONGEST_SECONDS * self.sample_rate * 2:
            self._utterance.extend(audio)
        return
        yield None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """See `FrameProcessor`."""
        await super().process_frame(frame, direction)
        if direction != FrameDirection.DOWNSTREAM:
            return
        match frame:
            case VADUserStartedSpeakingFrame():
                self._utterance = self._last(_BEFORE_SECONDS)
            case WakeFrame() if self._utterance is not None:
                self._utterance = self._last(_WAKE_SECONDS)
            case VADUserStoppedSpeakingFrame() if self._utterance is not None:
                self._heard.put_nowait(bytes(self._utterance))
                self._utterance = None
                if self._hearing is None:
                    self._hearing = self.create_task(self._hear(), name=f"{self}::hear")
            case _:
                pass

    async def cleanup(self) -> None:
        """See `FrameProcessor`."""
        await super().cleanup()
        hearing, self._hearing = self._hearing, None
        if hearing is not None:
            await self.cancel_task(hearing)

    async def _hear(self) -> None:
        while True:
            utterance = await self._heard.get()
            try:
                heard = await self._recogniser.hear(utterance)
            except EngineUnavailable as error:
                await self.push_error(f"{error.message}. {error.hint}".strip(), exception=error)
                continue
            await self.push_frame(WordsFrame(heard=heard))
            if heard.text:
                words = TranscriptionFrame(heard.text, "", time_now_iso8601(), result=heard, finalized=True)
                await self.push_frame(words)

    def _last(self, seconds: float) -> bytearray:
        wanted = int(seconds * self.sample_rate) * 2
        return bytearray(b"".join(self._before)[-wanted:])

    def _keep(self, audio: bytes) -> None:
        self._before.append(audio)
        self._before_bytes += len(audio)
        while self._before_bytes - len(self._before[0]) >= _WAKE_SECONDS * self.sample_rate * 2:
            self._before_bytes -= len(self._before.popleft())
