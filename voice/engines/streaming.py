"""Recognition while somebody speaks, as a service of the pipeline: in threads, beside the audio's way."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
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

from state.errors import EngineUnavailable
from voice.engines.heard import Heard
from voice.frames import WakeFrame, WordsFrame

LONGEST_SECONDS = 60.0
"""Of an utterance that are listened to, and of audio that may wait for it."""
_BEFORE_SECONDS = 0.5
"""A voice is noticed a little after it began: so much of what was before is listened to as well."""
_WAKE_SECONDS = 1.2
"""The wake word, which is noticed at its end or later, and what came before it."""
_LAST_WORDS_SECONDS = 0.5


class Utterance(Protocol):
    """One, being recognised. It is called in threads, but never twice at once; each call may take its time, and raise
    `EngineUnavailable`."""

    def feed(self, audio: bytes) -> str:
        """Some more of it: 16-bit mono of 16 kHz. The words so far."""
        ...

    def end(self) -> Heard:
        """There is no more of it. All its words."""
        ...


Begin = Callable[[], Utterance]
Run = Callable[[Callable[[], "Heard | str"]], Awaitable["Heard | str"]]
"""In a thread."""


@dataclass
class _Step:
    """What is to be done next: audio of an utterance, by its number, that may end with it."""

    number: int
    audio: bytearray = field(default_factory=bytearray)
    over: bool = False


class StreamingSTT(STTService):
    """Around what makes an `Utterance`, and what runs a call in a thread. Frames do not wait for it; utterances are
    heard in their order, each ends with one `WordsFrame`, even if nothing was understood."""

    def __init__(self, begin: Begin, run: Run) -> None:
        super().__init__(settings=STTSettings(model=None, language=None), ttfs_p99_latency=_LAST_WORDS_SECONDS)
        self._begin = begin
        self._run = run
        self._before: deque[bytes] = deque()
        self._before_bytes = 0
        self._number = 0
        """Of the utterance that was begun last."""
        self._fed = 0
        self._speaking = False
        self._steps: deque[_Step] = deque()
        self._more = asyncio.Event()
        self._working: asyncio.Task[None] | None = None

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        """See `STTService`: called with every piece of audio."""
        self._keep(audio)
        if self._speaking:
            self._add(audio)
        return
        yield None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """See `FrameProcessor`."""
        await super().process_frame(frame, direction)
        if direction != FrameDirection.DOWNSTREAM:
            return
        match frame:
            case VADUserStartedSpeakingFrame():
                self._begun(_BEFORE_SECONDS)
            case WakeFrame() if self._speaking:
                self._begun(_WAKE_SECONDS)
            case VADUserStoppedSpeakingFrame() if self._speaking:
                self._speaking = False
                self._step().over = True
                self._more.set()
                self._before.clear()  # what was said then is not said again
                self._before_bytes = 0
            case _:
                pass

    async def cleanup(self) -> None:
        """See `FrameProcessor`."""
        await super().cleanup()
        working, self._working = self._working, None
        if working is not None:
            await self.cancel_task(working)

    def _begun(self, seconds: float) -> None:
        """What there is of an utterance that is begun anew is not listened to."""
        while self._steps and not self._steps[-1].over:
            self._steps.pop()
        self._number += 1
        self._fed, self._speaking = 0, True
        self._add(b"".join(self._before)[-int(seconds * self.sample_rate) * 2 :])

    def _add(self, audio: bytes) -> None:
        longest = int(LONGEST_SECONDS * self.sample_rate) * 2
        waiting = sum(len(step.audio) for step in self._steps)
        if self._fed + len(audio) > longest or waiting + len(audio) > longest:
            return
        self._fed += len(audio)
        self._step().audio.extend(audio)
        self._more.set()

    def _step(self) -> _Step:
        if not self._steps or self._steps[-1].number != self._number:
            self._steps.append(_Step(self._number))
        if self._working is None:
            self._working = self.create_task(self._work(), name=f"{self}::work")
        return self._steps[-1]

    async def _work(self) -> None:
        listening: _Listening | None = None
        while True:
            while not self._steps:
                self._more.clear()
                await self._more.wait()
            step = self._steps.popleft()
            if listening is None or listening.number != step.number:
                listening = _Listening(step.number, self._begin)
            await self._listen(listening, step)

    async def _listen(self, listening: _Listening, step: _Step) -> None:
        heard: Heard | str = Heard("", 0.0) if step.over else ""
        try:
            if not listening.failed:
                heard = await self._run(lambda: listening.take(bytes(step.audio), over=step.over))
        except EngineUnavailable as error:
            listening.failed = True
            await self.push_error(f"{error.message}. {error.hint}".strip(), exception=error)
        if isinstance(heard, Heard):
            await self.push_frame(WordsFrame(heard=heard))
            if heard.text:
                words = TranscriptionFrame(heard.text, "", time_now_iso8601(), result=heard, finalized=True)
                await self.push_frame(words)
        elif heard and heard != listening.words and listening.number == self._number:
            listening.words = heard
            await self.push_frame(InterimTranscriptionFrame(heard, "", time_now_iso8601()))

    def _keep(self, audio: bytes) -> None:
        self._before.append(audio)
        self._before_bytes += len(audio)
        while self._before and self._before_bytes - len(self._before[0]) >= _WAKE_SECONDS * self.sample_rate * 2:
            self._before_bytes -= len(self._before.popleft())


class _Listening:
    """To one utterance. `words`: what was told of it so far; `failed`: nothing more is expected of it."""

    def __init__(self, number: int, begin: Begin) -> None:
        self.number = number
        self.words = ""
        self.failed = False
        self._begin = begin
        self._utterance: Utterance | None = None

    def take(self, audio: bytes, *, over: bool) -> Heard | str:
        """In a thread."""
        if self._utterance is None:
            self._utterance = self._begin()
        words = self._utterance.feed(audio) if audio else self.words
        return self._utterance.end() if over else words
