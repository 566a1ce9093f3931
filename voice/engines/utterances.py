"""When an utterance begins and ends for what recognises it, and what was before it: beside the audio's way."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import deque
from collections.abc import AsyncGenerator

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

from voice.engines.heard import Heard
from voice.frames import WakeFrame, WordsFrame

_BEFORE_SECONDS = 0.5
"""A voice is noticed a little after it began: so much of what was before is listened to as well, but nothing of the
utterance before."""
_WAKE_SECONDS = 1.2
"""The wake word, which is noticed at its end or later, and what came before it."""


class UtteranceSTT(STTService):
    """Frames do not wait for recognition; utterances are heard in their order, each ends with one `WordsFrame`, even if
    nothing was understood. `seconds`: words are told so long after the voice fell silent."""

    def __init__(self, seconds: float) -> None:
        super().__init__(settings=STTSettings(model=None, language=None), ttfs_p99_latency=seconds)
        self._before: deque[bytes] = deque()
        self._before_bytes = 0
        self._quiet_before = float("inf")
        """Seconds since the last utterance ended."""
        self._speaking = False
        self._working: asyncio.Task[None] | None = None

    @abstractmethod
    def _begun(self, before: bytes) -> None:
        """An utterance, with what came before it; one that has not ended is begun anew."""

    @abstractmethod
    def _more(self, audio: bytes) -> None:
        """Of the utterance."""

    @abstractmethod
    def _over(self) -> None:
        """The utterance ends here."""

    @abstractmethod
    async def _work(self) -> None:
        """Recognise what there is, for ever."""

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        """See `STTService`: called with every piece of audio."""
        self._keep(audio)
        self._quiet_before += len(audio) / 2 / self.sample_rate
        if self._speaking:
            self._more(audio)
        return
        yield None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """See `FrameProcessor`."""
        await super().process_frame(frame, direction)
        if direction != FrameDirection.DOWNSTREAM:
            return
        match frame:
            case VADUserStartedSpeakingFrame():
                self._begin(min(_BEFORE_SECONDS, self._quiet_before))
            case WakeFrame() if self._speaking:
                self._begin(_WAKE_SECONDS)
            case VADUserStoppedSpeakingFrame() if self._speaking:
                self._speaking = False
                self._quiet_before = frame.stop_secs
                self._over()
            case _:
                pass

    async def cleanup(self) -> None:
        """See `FrameProcessor`."""
        await super().cleanup()
        working, self._working = self._working, None
        if working is not None:
            await self.cancel_task(working)

    async def _tell(self, heard: Heard) -> None:
        await self.push_frame(WordsFrame(heard=heard))
        if heard.text:
            words = TranscriptionFrame(heard.text, "", time_now_iso8601(), result=heard, finalized=True)
            await self.push_frame(words)

    def _begin(self, seconds: float) -> None:
        if self._working is None:
            self._working = self.create_task(self._work(), name=f"{self}::work")
        self._speaking = True
        before = b"".join(self._before)
        self._begun(before[max(0, len(before) - int(seconds * self.sample_rate) * 2) :])

    def _keep(self, audio: bytes) -> None:
        self._before.append(audio)
        self._before_bytes += len(audio)
        while self._before_bytes - len(self._before[0]) >= _WAKE_SECONDS * self.sample_rate * 2:
            self._before_bytes -= len(self._before.popleft())
