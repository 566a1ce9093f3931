"""Recognition of spoken commands while they are being spoken, as a service of the pipeline."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from typing import Protocol

from pipecat.frames.frames import (
    Frame,
    InterimTranscriptionFrame,
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
"""A voice is noticed a little after it began: so much of what was before is listened to as well."""
_WAKE_SECONDS = 1.0
"""The wake word, which is noticed at its end, and what came before it."""


class Recogniser(Protocol):
    """Of 16-bit mono audio of 16 kHz, an utterance at a time."""

    def begin(self) -> None: ...

    def feed(self, audio: bytes) -> str:
        """What it seems to be so far."""
        ...

    def end(self) -> Heard: ...


class CommandSTT(STTService):
    """Around a `Recogniser` that is fast enough to be called between frames."""

    def __init__(self, recogniser: Recogniser) -> None:
        super().__init__(settings=STTSettings(model=None, language=None), ttfs_p99_latency=0.3)
        self._recogniser = recogniser
        self._before: deque[bytes] = deque()
        self._before_bytes = 0
        self._listening = False
        self._said = ""

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        """See `STTService`: called with every piece of audio."""
        self._keep(audio)
        if not self._listening:
            return
        said = self._recogniser.feed(audio)
        if said and said != self._said:
            self._said = said
            yield InterimTranscriptionFrame(said, "", time_now_iso8601())

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Words come before the frame that says that the voice fell silent."""
        if direction == FrameDirection.DOWNSTREAM:
            match frame:
                case VADUserStartedSpeakingFrame():
                    self._begin(_BEFORE_SECONDS)
                case WakeFrame() if self._listening:
                    self._begin(_WAKE_SECONDS)
                case VADUserStoppedSpeakingFrame() if self._listening:
                    self._listening = False
                    heard = self._recogniser.end()
                    if heard.text:
                        words = TranscriptionFrame(heard.text, "", time_now_iso8601(), result=heard, finalized=True)
                        await self.push_frame(WordsFrame(heard=heard))
                        await self.push_frame(words)
                case _:
                    pass
        await super().process_frame(frame, direction)

    def _begin(self, seconds: float) -> None:
        if self._listening:
            self._recogniser.end()
        self._listening, self._said = True, ""
        self._recogniser.begin()
        wanted = int(seconds * self.sample_rate) * 2
        before = b"".join(self._before)[-wanted:]
        if before:
            self._recogniser.feed(before)

    def _keep(self, audio: bytes) -> None:
        self._before.append(audio)
        self._before_bytes += len(audio)
        while self._before_bytes - len(self._before[0]) >= _WAKE_SECONDS * self.sample_rate * 2:
            self._before_bytes -= len(self._before.popleft())
