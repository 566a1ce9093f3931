"""Recognition of spoken commands as a service of the pipeline: an utterance at a time, beside the audio's way."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from typing import Protocol

import numpy as np
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
"""A voice is noticed a little after it began: so much of what was before is listened to as well, but nothing of the
utterance before."""
_WAKE_SECONDS = 1.2
"""The wake word, which is noticed at its end or later, and what came before it."""
_LONGEST_SECONDS = 12.0
"""A longer utterance is no command: its end is not kept."""
_RECOGNITION_SECONDS = 1.0
_MOST_WAITING = 8
"""Utterances; what is said while so many wait to be recognised is not."""
_EARLY_SECONDS = 0.1
"""Of quiet after which an utterance is listened to already, in case it is over: it counts as over a little later."""
_VOICE_SECONDS = 0.2
_QUIET = 0.06
"""Part of the loudest so far that is quiet."""


class Recogniser(Protocol):
    """Of 16-bit mono audio of 16 kHz."""

    async def hear(self, audio: bytes) -> Heard:
        """A whole utterance. `EngineUnavailable`."""
        ...


class CommandSTT(STTService):
    """Around a `Recogniser`. Frames do not wait for it; utterances are heard in their order. `early`: it may be asked
    for an utterance that then goes on; `longest`: seconds of one that are kept; `seconds`: it has told of it so long
    after the voice fell silent. Why it can't be heard what was said is told once, until it can again."""

    def __init__(
        self, recogniser: Recogniser, *, early: bool = True, longest: float = _LONGEST_SECONDS,
        seconds: float = _RECOGNITION_SECONDS,
    ) -> None:  # fmt: skip
        super().__init__(settings=STTSettings(model=None, language=None), ttfs_p99_latency=seconds)
        self._recogniser = recogniser
        self._problem = ""
        self._may_be_early = early
        self._longest = longest
        self._before: deque[bytes] = deque()
        self._before_bytes = 0
        self._quiet_before = float("inf")
        """Seconds since the last utterance ended."""
        self._utterance: bytearray | None = None
        self._heard: asyncio.Queue[bytes | asyncio.Task[Heard | EngineUnavailable] | None] = asyncio.Queue()
        self._hearing: asyncio.Task[None] | None = None
        self._early: asyncio.Task[Heard | EngineUnavailable] | None = None
        self._loudest = self._voice_seconds = self._quiet_seconds = 0.0

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        """See `STTService`: called with every piece of audio."""
        self._keep(audio)
        self._quiet_before += len(audio) / 2 / self.sample_rate
        if self._utterance is not None and len(self._utterance) < self._longest * self.sample_rate * 2:
            self._utterance.extend(audio)
            self._maybe_over(self._utterance, audio)
        return
        yield None

    def _maybe_over(self, utterance: bytearray, audio: bytes) -> None:
        """Begins to recognise it when it may be over; when it goes on, nobody looks at that."""
        samples = np.frombuffer(audio, dtype="<i2").astype(np.float32)
        level = float(np.sqrt(np.mean(samples**2))) if len(samples) else 0.0
        seconds = len(samples) / self.sample_rate
        self._loudest = max(self._loudest, level)
        if level > _QUIET * self._loudest:
            self._voice_seconds += seconds
            self._quiet_seconds, self._early = 0.0, None
            return
        self._quiet_seconds += seconds
        if (
            self._may_be_early
            and self._early is None
            and self._quiet_seconds >= _EARLY_SECONDS
            and self._voice_seconds >= _VOICE_SECONDS
        ):
            self._early = self.create_task(self._recognised(bytes(utterance)), name=f"{self}::early")

    async def _recognised(self, utterance: bytes) -> Heard | EngineUnavailable:
        try:
            return await self._recogniser.hear(utterance)
        except EngineUnavailable as error:
            return error

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """See `FrameProcessor`."""
        await super().process_frame(frame, direction)
        if direction != FrameDirection.DOWNSTREAM:
            return
        match frame:
            case VADUserStartedSpeakingFrame():
                self._begin(min(_BEFORE_SECONDS, self._quiet_before))
            case WakeFrame() if self._utterance is not None:
                self._begin(_WAKE_SECONDS)
            case VADUserStoppedSpeakingFrame() if self._utterance is not None:
                early, self._early = self._early, None
                self._quiet_before = frame.stop_secs
                full = self._heard.qsize() >= _MOST_WAITING
                self._heard.put_nowait(None if full else early or bytes(self._utterance))
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
            if utterance is None:
                heard = Heard("", 0.0)
            else:
                heard = await (self._recognised(utterance) if isinstance(utterance, bytes) else utterance)
            if isinstance(heard, EngineUnavailable):
                heard = await self._failed(heard)
            else:
                self._problem = ""
            await self.push_frame(WordsFrame(heard=heard))
            if heard.text:
                words = TranscriptionFrame(heard.text, "", time_now_iso8601(), result=heard, finalized=True)
                await self.push_frame(words)

    async def _failed(self, problem: EngineUnavailable) -> Heard:
        if problem.message != self._problem:
            self._problem = problem.message
            await self.push_error(f"{problem.message}. {problem.hint}".strip(), exception=problem)
        return Heard("", 0.0)

    def _begin(self, seconds: float) -> None:
        wanted = int(seconds * self.sample_rate) * 2
        before = b"".join(self._before)
        self._utterance = bytearray(before[max(0, len(before) - wanted) :])
        self._early = None
        self._loudest = self._voice_seconds = self._quiet_seconds = 0.0

    def _keep(self, audio: bytes) -> None:
        self._before.append(audio)
        self._before_bytes += len(audio)
        while self._before_bytes - len(self._before[0]) >= _WAKE_SECONDS * self.sample_rate * 2:
            self._before_bytes -= len(self._before.popleft())
