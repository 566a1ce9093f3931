"""When somebody's turn ends, and what was said in it: strategies for Pipecat's `UserTurnProcessor`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from pipecat.audio.turn.base_turn_analyzer import BaseTurnAnalyzer, EndOfTurnState
from pipecat.frames.frames import (
    Frame,
    InputAudioRawFrame,
    STTMetadataFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameProcessorSetup
from pipecat.turns.types import ProcessFrameResult
from pipecat.turns.user_stop import BaseUserTurnStopStrategy

from voice.attention import Attention
from voice.engines.heard import SURE_CALL, Heard
from voice.frames import TurnFrame, WakeFrame, WordsFrame
from voice.later import Later

_TOLD_SECONDS = 4.0
"""What an engine that tells of every utterance is waited for: on a busy machine it takes its time."""
OPEN_SECONDS = 0.1
"""What a command that may go on to mean another is given to go on, besides the silence that ends a voice."""
_WAKE_WORD = r"(?:(?<![A-Za-z0-9_])atlas(?![A-Za-z0-9_])|阿特拉斯)"
_BEGINS = re.compile(rf"\s*(?:\w+[\s,.!，。！]+|嘿|嗨|你好)?{_WAKE_WORD}", re.IGNORECASE)
"""The wake word, which who listened for it may have missed."""
_CALL = re.compile(_WAKE_WORD, re.IGNORECASE)
_LIKE_A_CALL = re.compile(r"\s*(?:at last|at least|at las|at loss|atlus|alas|outlast)\b[\s,.!]*", re.IGNORECASE)
"""What engines with small models make of the wake word."""


class Standing(Protocol):
    """What a grammar says of an utterance so far."""

    def __call__(self, text: str) -> Literal["whole", "open", "unknown"]:
        """A command that needs nothing more; one that may go on to mean another; none, or words of one's own."""
        ...


class Told:
    """Which utterances an engine has told the words of: some tell of each once, if only that it was nothing."""

    def __init__(self) -> None:
        self.tells = False
        """Whether this engine does, as far as is known."""
        self._awaited = 0

    @property
    def all(self) -> bool:
        """Whether nothing is waited for, or nobody knows."""
        return not (self.tells and self._awaited)

    def awaited(self) -> None:
        """An utterance is over."""
        self._awaited += 1

    def told(self) -> None:
        """Its words were told."""
        self.tells = True
        self._awaited = max(0, self._awaited - 1)


def from_call(text: str, standing: Standing) -> str:
    """From the wake word on, where it was said: what came before was meant for somebody else. What is wanted may have
    the same word in it, as the name of something. Without what sounds like it, if a command follows."""
    calls = list(_CALL.finditer(text))
    if not calls:
        rest = _LIKE_A_CALL.sub("", text, count=1) if _LIKE_A_CALL.match(text) else ""
        return rest if rest and standing(rest) != "unknown" else text
    ends = [*(later.start() for later in calls[1:]), len(text)]
    spans = zip(calls, ends, strict=True)
    called = [text[call.start() :] for call, end in spans if any(map(str.isalnum, text[call.end() : end]))]
    whole = next((each for each in called if standing(each) != "unknown"), None)
    return whole or (called or [text[calls[-1].start() :]])[0]


class CommandEndsTurn(BaseUserTurnStopStrategy):
    """A turn is over when the voice is silent and all that was said is a whole command: it need not be found out
    whether more comes. One that may go on is given a moment. Stands before the strategies that do find out, and keeps
    what was said for `TurnFrame`."""

    def __init__(
        self, attention: Attention, standing: Standing, is_backchannel: Callable[[str], bool],
        clock: Callable[[], float], *, open_seconds: float = OPEN_SECONDS,
    ) -> None:  # fmt: skip
        super().__init__()
        self._attention = attention
        self._standing = standing
        self._is_backchannel = is_backchannel
        self._clock = clock
        self._open_seconds = open_seconds
        self._parts: list[Heard] = []
        self._voice = False
        self._woken = False
        self._called = False
        self._ended = 0.0
        self._told = Told()
        self._waiting = Later(self)

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        """See `BaseUserTurnStopStrategy`."""
        match frame:
            case WakeFrame():
                self._parts = []
                self._woken = self._called = True
            case VADUserStartedSpeakingFrame():
                self._voice = True
                await self._waiting.stop()
            case VADUserStoppedSpeakingFrame():
                self._voice = False
                self._told.awaited()
                self._ended = self._clock() - frame.stop_secs
                if await self._over():
                    return ProcessFrameResult.STOP  # nobody need find out
            case WordsFrame():
                self._told.told()
                if frame.heard.text:
                    self._parts.append(frame.heard)
                await self._over()
            case TranscriptionFrame() if not isinstance(frame.result, Heard) and (text := frame.text.strip()):
                self._parts.append(Heard(text))
                await self._over()
            case _:
                pass
        return ProcessFrameResult.CONTINUE

    async def handle_user_turn_started(self) -> None:
        """See `BaseUserTurnStopStrategy`."""
        self._parts = []
        self._woken = self._attention.awake(self._clock())

    async def handle_user_turn_stopped(self) -> None:
        """See `BaseUserTurnStopStrategy`. Whatever ended it, this is what was said."""
        await self._waiting.stop()
        parts = self._said()
        self._parts = []
        sure = min((part.confidence for part in parts), default=1.0)
        text = self._text(parts)
        woken = self._woken or (sure >= SURE_CALL and _BEGINS.match(text) is not None)
        turn = TurnFrame(text=text, woken=woken, called=self._called, confidence=sure, ended=self._ended)
        self._called = False
        await self.push_frame(turn)

    async def cleanup(self) -> None:
        """Nothing is waited for any more."""
        await super().cleanup()
        await self._waiting.stop()

    def _said(self) -> list[Heard]:
        """Without what was only a sound to begin with, or an assent in between."""
        meant = [part for part in self._parts if not self._is_backchannel(part.text)]
        return meant or self._parts

    def _text(self, parts: Sequence[Heard]) -> str:
        text = " ".join(part.text for part in parts)
        return from_call(text, self._standing) if self._called else text

    async def _over(self) -> bool:
        if self._voice or not self._parts or not self._told.all:
            return False
        standing = self._standing(self._text(self._said()))
        if standing == "whole":
            await self.trigger_user_turn_stopped()
        elif standing == "open":
            await self._waiting.start(self._open_seconds, self.trigger_user_turn_stopped)
        return standing == "whole"


class SoundEndsTurn(BaseUserTurnStopStrategy):
    """A turn is over when it sounds so (a model of how people end their sentences), or after a longer silence, and
    what was said in it is known. Frames do not wait while the model thinks: whoever goes on meanwhile goes on."""

    def __init__(self, analyzer: BaseTurnAnalyzer) -> None:
        super().__init__()
        self._analyzer = analyzer
        self._recognition_seconds = 0.0
        self._voice = False
        self._sounds_over = False
        self._words = False
        self._told = Told()
        self._thinking: asyncio.Task[None] | None = None
        self._late = Later(self)

    async def setup(self, setup: FrameProcessorSetup) -> None:
        """See `BaseUserTurnStopStrategy`."""
        await super().setup(setup)
        self._analyzer.set_sample_rate(setup.audio_in_sample_rate)

    async def cleanup(self) -> None:
        """See `BaseUserTurnStopStrategy`."""
        await super().cleanup()
        await self._forget()
        await self._analyzer.cleanup()

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        """See `BaseUserTurnStopStrategy`."""
        match frame:
            case STTMetadataFrame():
                self._recognition_seconds = frame.ttfs_p99_latency
            case WakeFrame():
                await self._forget()
            case InputAudioRawFrame():
                if self._analyzer.append_audio(frame.audio, self._voice) == EndOfTurnState.COMPLETE:
                    await self._over()
            case VADUserStartedSpeakingFrame():
                self._voice, self._words = True, False
                self._analyzer.update_vad_start_secs(frame.start_secs)
                await self._forget()
            case VADUserStoppedSpeakingFrame():
                self._voice = False
                self._told.awaited()
                await self._forget()
                self._thinking = self.create_task(self._think(), name=f"{self}::think")
            case WordsFrame():
                self._told.told()
                self._words = True
                await self._maybe_over()
            case TranscriptionFrame():
                self._words = True
                await self._maybe_over()
            case _:
                pass
        return ProcessFrameResult.CONTINUE

    async def handle_user_turn_started(self) -> None:
        """See `BaseUserTurnStopStrategy`. A turn may begin with words that are known when the voice is over: then it
        sounds as it did."""
        self._words = False
        if self._voice:
            await self._forget()

    async def handle_user_turn_stopped(self) -> None:
        """See `BaseUserTurnStopStrategy`."""
        await self._forget()
        self._words = False
        self._analyzer.clear()

    async def _think(self) -> None:
        state, _ = await self._analyzer.analyze_end_of_turn()
        if state == EndOfTurnState.COMPLETE:
            await self._over()

    async def _over(self) -> None:
        self._sounds_over = True
        patience = _TOLD_SECONDS if self._told.tells else self._recognition_seconds
        await self._late.start(patience, self.trigger_user_turn_stopped)
        await self._maybe_over()

    async def _maybe_over(self) -> None:
        known = self._words and self._told.all
        if self._sounds_over and known and not self._voice:
            await self.trigger_user_turn_stopped()

    async def _forget(self) -> None:
        self._sounds_over = False
        await self._late.stop()
        thinking, self._thinking = self._thinking, None
        if thinking is not None and thinking is not asyncio.current_task():
            await self.cancel_task(thinking)
