"""Recognition of spoken commands as a service of the pipeline: an utterance at a time, beside the audio's way."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

import numpy as np

from state.errors import EngineUnavailable
from voice.engines.heard import Heard
from voice.engines.utterances import UtteranceSTT

log = logging.getLogger(__name__)

_LONGEST_SECONDS = 12.0
"""A longer utterance is no command: its end is not kept."""
LONGEST_OF_WORDS_SECONDS = 30.0
"""Of an utterance in one's own words that are kept: as much as Whisper takes."""
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


class CommandSTT(UtteranceSTT):
    """Around a `Recogniser`. `early`: it may be asked for an utterance that then goes on; `longest`: seconds of one
    that are kept; `seconds`: see `UtteranceSTT`. Why it can't be heard what was said is told once, until it can
    again."""

    def __init__(
        self, recogniser: Recogniser, *, early: bool = True, longest: float = _LONGEST_SECONDS,
        seconds: float = _RECOGNITION_SECONDS,
    ) -> None:  # fmt: skip
        super().__init__(seconds)
        self._recogniser = recogniser
        self._problem = ""
        self._may_be_early = early
        self._longest = longest
        self._utterance = bytearray()
        self._said: asyncio.Queue[bytes | asyncio.Task[Heard | EngineUnavailable] | None] = asyncio.Queue()
        self._early: asyncio.Task[Heard | EngineUnavailable] | None = None
        self._loudest = self._voice_seconds = self._quiet_seconds = 0.0

    def _begun(self, before: bytes) -> None:
        self._utterance = bytearray(before)
        self._take_back()
        self._loudest = self._voice_seconds = self._quiet_seconds = 0.0

    def _more(self, audio: bytes) -> None:
        if len(self._utterance) < self._longest * self.sample_rate * 2:
            self._utterance.extend(audio)
            self._maybe_over(self._utterance, audio)

    def _over(self) -> None:
        full = self._said.qsize() >= _MOST_WAITING
        self._said.put_nowait(None if full else self._early or bytes(self._utterance))
        self._early = None

    def _take_back(self) -> None:
        """What was asked for early: it went on, and nobody wants to know."""
        early, self._early = self._early, None
        if early is not None:
            early.cancel()

    async def cleanup(self) -> None:
        """See `FrameProcessor`. Nothing is recognised any more."""
        await super().cleanup()
        self._take_back()
        while not self._said.empty():
            if isinstance(said := self._said.get_nowait(), asyncio.Task):
                said.cancel()

    def _maybe_over(self, utterance: bytearray, audio: bytes) -> None:
        """Begins to recognise it when it may be over; when it goes on, nobody looks at that."""
        samples = np.frombuffer(audio, dtype="<i2").astype(np.float32)
        level = float(np.sqrt(np.mean(samples**2))) if len(samples) else 0.0
        seconds = len(samples) / self.sample_rate
        self._loudest = max(self._loudest, level)
        if level > _QUIET * self._loudest:
            self._voice_seconds += seconds
            self._quiet_seconds = 0.0
            self._take_back()
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
        except Exception:
            log.exception("an utterance could not be recognised")
            return EngineUnavailable("what was said could not be recognised", "Say it again.")

    async def _work(self) -> None:
        while True:
            utterance = await self._said.get()
            if utterance is None:
                heard = Heard("", 0.0)
            else:
                heard = await (self._recognised(utterance) if isinstance(utterance, bytes) else utterance)
            if isinstance(heard, EngineUnavailable):
                heard = await self._failed(heard)
            else:
                self._problem = ""
            await self._tell(heard)

    async def _failed(self, problem: EngineUnavailable) -> Heard:
        if problem.message != self._problem:
            self._problem = problem.message
            await self.push_error(f"{problem.message}. {problem.hint}".strip(), exception=problem)
        return Heard("", 0.0)
