"""Recognition while somebody speaks, as a service of the pipeline: in threads, beside the audio's way."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from pipecat.frames.frames import InterimTranscriptionFrame
from pipecat.utils.time import time_now_iso8601

from state.errors import EngineUnavailable
from voice.engines.heard import Heard
from voice.engines.utterances import UtteranceSTT

log = logging.getLogger(__name__)

LONGEST_SECONDS = 60.0
"""Of an utterance that are listened to, and of audio that may wait for it."""
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


class StreamingSTT(UtteranceSTT):
    """Around what makes an `Utterance`, and what runs a call in a thread."""

    def __init__(self, begin: Begin, run: Run) -> None:
        super().__init__(_LAST_WORDS_SECONDS)
        self._new = begin
        self._run = run
        self._number = 0
        """Of the utterance that was begun last."""
        self._fed = 0
        self._steps: deque[_Step] = deque()
        self._todo = asyncio.Event()

    def _begun(self, before: bytes) -> None:
        """What there is of an utterance that is begun anew is not listened to."""
        while self._steps and not self._steps[-1].over:
            self._steps.pop()
        self._number += 1
        self._fed = 0
        self._more(before)

    def _more(self, audio: bytes) -> None:
        longest = int(LONGEST_SECONDS * self.sample_rate) * 2
        waiting = sum(len(step.audio) for step in self._steps)
        if self._fed + len(audio) > longest or waiting + len(audio) > longest:
            return
        self._fed += len(audio)
        self._step().audio.extend(audio)
        self._todo.set()

    def _over(self) -> None:
        self._step().over = True
        self._todo.set()

    def _step(self) -> _Step:
        if not self._steps or self._steps[-1].number != self._number:
            self._steps.append(_Step(self._number))
        return self._steps[-1]

    async def _work(self) -> None:
        listening: _Listening | None = None
        while True:
            while not self._steps:
                self._todo.clear()
                await self._todo.wait()
            step = self._steps.popleft()
            if listening is None or listening.number != step.number:
                listening = _Listening(step.number, self._new)
            await self._listen(listening, step)

    async def _listen(self, listening: _Listening, step: _Step) -> None:
        heard: Heard | str = Heard("", 0.0) if step.over else ""
        try:
            if not listening.failed:
                heard = await self._run(lambda: listening.take(bytes(step.audio), over=step.over))
        except EngineUnavailable as error:
            listening.failed = True
            await self.push_error(f"{error.message}. {error.hint}".strip(), exception=error)
        except Exception:
            listening.failed = True
            log.exception("an utterance could not be recognised")
            await self.push_error("what was said could not be recognised")
        if isinstance(heard, Heard):
            await self._tell(heard)
        elif heard and heard != listening.words and listening.number == self._number:
            listening.words = heard
            await self.push_frame(InterimTranscriptionFrame(heard, "", time_now_iso8601()))


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
