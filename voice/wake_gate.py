"""Who is listened to: audio goes on to voice detection and recognition while somebody has said the wake word, or holds
the talk button, or may speak over what is being said; otherwise it stays here, and is forgotten after a moment.

The moment is kept because the wake word is known only when it has been said: what was said with it is passed on, too.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    InputAudioRawFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from state.errors import EngineUnavailable
from voice.attention import Attention
from voice.frames import SleepFrame, TalkFrame, WakeFrame
from voice.outlet import Outlet

PRE_ROLL_SECONDS = 1.2
WHOLE_SECONDS = 8.0
"""Of audio, at most, that is kept of an utterance which may turn out to begin with the wake word."""
_BYTES_A_SECOND = 32_000
_ANSWER_SECONDS = 30.0
"""What is said so soon after somebody spoke is an answer, or belongs to one."""
LONGEST_UTTERANCE_SECONDS = 60.0
"""Speech without a pause for longer is nobody who talks to us, and is not passed on until it pauses."""


class Spotter(Protocol):
    """Finds the wake word in 16-bit mono audio of 16 kHz."""

    def feed(self, audio: bytes) -> bytes | None:
        """The audio to judge by, when it may just have been said."""
        ...

    async def is_it(self, audio: bytes) -> bool:
        """Whether it was. `EngineUnavailable`."""
        ...

    def reset(self) -> None:
        """Forget what was heard."""
        ...


class WakeGate(FrameProcessor):
    """See the module. `spotter` None: there is only the button. `second`: asked as well while nobody is listened to,
    of whole utterances for example. `over_speech`: while something is said, everybody is listened to, with or without
    the wake word; else nobody is, but with the wake word or the button: it may be our own voice that is heard."""

    def __init__(
        self, spotter: Spotter | None, attention: Attention, outlet: Outlet, *, second: Spotter | None = None,
        over_speech: bool = True,
        pre_roll: float = PRE_ROLL_SECONDS, longest: float = LONGEST_UTTERANCE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        super().__init__(enable_direct_mode=True)
        self._spotter = spotter
        self._second = second
        self._attention = attention
        self._outlet = outlet
        self._over_speech = over_speech
        self._pre_roll = pre_roll
        self._longest = longest
        self._clock = clock
        self._kept: deque[InputAudioRawFrame] = deque()
        self._kept_seconds = self._kept_seconds_ever = 0.0
        self._wanted = 0.0
        """Seconds of what was kept that belong to what woke us, if that is more than the usual."""
        self._judging: asyncio.Task[None] | None = None
        self._bot_speaks = False
        self._answers = False
        self._answers_until = float("-inf")
        self._voice_seconds: float | None = None
        self._shut = False

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Audio passes when the gate is open, all else always."""
        await super().process_frame(frame, direction)
        match frame:
            case InputAudioRawFrame():
                await self._hear(frame)
                return
            case WakeFrame():
                await self._woken(frame.source)
                return
            case TalkFrame(pressed=pressed):
                self._attention.hold(pressed, self._clock())
                if pressed:
                    await self._woken("button")
                return
            case SleepFrame():
                self._attention.sleep()
                self._answers, self._answers_until = False, float("-inf")
            case _:
                self._follow(frame)
        await self.push_frame(frame, direction)

    def _follow(self, frame: Frame) -> None:
        """Who speaks."""
        match frame:
            case BotStartedSpeakingFrame():
                self._bot_speaks = True
                now = self._clock()
                self._answers = now < self._answers_until or self._attention.awake(now)
            case BotStoppedSpeakingFrame():
                self._bot_speaks = False
                if self._answers:  # however long that took
                    self._attention.wake(self._clock())
            case VADUserStartedSpeakingFrame():
                self._voice_seconds = 0.0
            case VADUserStoppedSpeakingFrame():
                self._voice_seconds, self._shut = None, False
                if self._attention.awake(self._clock()):
                    self._attention.go_on(self._clock())
                    self._answers_until = self._clock() + _ANSWER_SECONDS
            case _:
                pass

    @property
    def _open(self) -> bool:
        if self._shut:
            return False
        if self._voice_seconds is not None:  # never shut in the middle of a word
            return True
        if self._bot_speaks:
            return self._over_speech or self._attention.held
        return self._attention.awake(self._clock())

    async def _hear(self, frame: InputAudioRawFrame) -> None:
        found = self._found(frame.audio)
        seconds = frame.num_frames / frame.sample_rate
        if self._voice_seconds is not None:
            self._voice_seconds += seconds
            self._shut = self._shut or self._voice_seconds > self._longest
        if self._open:
            await self._pass_kept()
            await self.push_frame(frame)
        else:
            self._keep(frame, seconds)
        if found is not None and self._judging is None:
            self._judging = self.create_task(self._judge(*found), name=f"{self}::judge")

    def _found(self, audio: bytes) -> tuple[Spotter, bytes] | None:
        """What may be the wake word, and who has to say whether it is."""
        if self._second is not None:
            whole = self._second.feed(audio)
            if whole is not None and not self._open:
                return self._second, whole
        spotted = self._spotter.feed(audio) if self._spotter is not None else None
        return (self._spotter, spotted) if self._spotter is not None and spotted is not None else None

    async def _judge(self, spotter: Spotter, spotted: bytes) -> None:
        began = self._kept_seconds_ever
        try:
            if await spotter.is_it(spotted) and (spotter is not self._second or not self._open):
                self._wanted = len(spotted) / _BYTES_A_SECOND + self._kept_seconds_ever - began
                await self._woken("keyword")
        except EngineUnavailable as error:
            await self.push_error(f"{error.message}. {error.hint}".strip(), exception=error)
        finally:
            self._judging = None

    async def cleanup(self) -> None:
        """Nobody is listened to any more."""
        await super().cleanup()
        judging, self._judging = self._judging, None
        if judging is not None:
            await self.cancel_task(judging)

    async def _woken(self, source: str) -> None:
        self._outlet.mute()
        self._bot_speaks = False  # which nobody hears any more
        self._attention.wake(self._clock())
        if self._spotter is not None:
            self._spotter.reset()
        await self.push_frame(WakeFrame(source="button" if source == "button" else "keyword"))
        await self.broadcast_interruption()
        await self._pass_kept()

    def _keep(self, frame: InputAudioRawFrame, seconds: float) -> None:
        self._kept.append(frame)
        self._kept_seconds += seconds
        self._kept_seconds_ever += seconds
        self._forget_before(self._pre_roll if self._second is None else WHOLE_SECONDS)

    def _forget_before(self, seconds: float) -> None:
        """What was kept longer ago."""
        while self._kept_seconds > seconds and self._kept:
            gone = self._kept.popleft()
            self._kept_seconds -= gone.num_frames / gone.sample_rate

    async def _pass_kept(self) -> None:
        self._forget_before(max(self._wanted, self._pre_roll))
        self._wanted = 0.0
        kept, self._kept, self._kept_seconds = self._kept, deque(), 0.0
        for frame in kept:
            await self.push_frame(frame)
