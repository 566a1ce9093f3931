"""When somebody's turn begins: a strategy for Pipecat's `UserTurnProcessor`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pipecat.frames.frames import (
    Frame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    STTMetadataFrame,
    TranscriptionFrame,
    UserBackchannelFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.turns.types import ProcessFrameResult
from pipecat.turns.user_start import BaseUserTurnStartStrategy
from pipecat.utils.time import time_now_iso8601

from voice.engines.heard import SURE
from voice.frames import OnsetFrame, OnsetOverFrame, WakeFrame, WordsFrame
from voice.later import Later
from voice.outlet import Outlet

CONFIRM_SECONDS = 0.65
"""Speech over ours that lasts so long is meant, whatever the words. "mm", "okay" and "right" take less."""
_LAST_WORD_SECONDS = 0.6
"""How long recognition may take for a word, after the voice fell silent, besides what its engine says of itself."""


class Floor(Protocol):
    """Who speaks, or is about to: our side of it."""

    @property
    def taken(self) -> bool:
        """Whether something is being said, or an answer is being made."""
        ...


class TurnBegins(BaseUserTurnStartStrategy):
    """With the wake word at once. Without it: when nobody speaks, with the first sound of a voice; over our own speech,
    once it is clear that somebody wants to say something: by a word that is no backchannel, or because it goes on.
    Until then speech is only quieter (`OnsetFrame`), and louder again when it was nothing (`OnsetOverFrame`).
    `trust_interim`: a word counts when recognition has it for the time being; else when the voice has fallen silent."""

    def __init__(
        self, floor: Floor, outlet: Outlet, is_backchannel: Callable[[str], bool], *,
        confirm_seconds: float = CONFIRM_SECONDS, silence_seconds: float = 0.2, trust_interim: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self._floor = floor
        self._outlet = outlet
        self._is_backchannel = is_backchannel
        self._confirm_seconds = confirm_seconds + silence_seconds  # an end is noticed so much later
        self._trust_interim = trust_interim
        self._recognition_seconds = 0.0
        self._in_turn = False
        self._maybe = False
        self._voice_on = False
        self._voice_seconds = 0.0
        self._words = ""
        self._waiting = Later(self)

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        """See `BaseUserTurnStartStrategy`."""
        match frame:
            case STTMetadataFrame():
                self._recognition_seconds = frame.ttfs_p99_latency
            case WakeFrame():
                await self._begin(interrupt=False)  # whoever found the wake word has interrupted
            case VADUserStartedSpeakingFrame() if not self._in_turn:
                await self._voice()
            case InputAudioRawFrame() if self._maybe and self._voice_on:
                self._voice_seconds += frame.num_frames / frame.sample_rate  # of audio: a busy machine is no long word
                if self._voice_seconds >= self._confirm_seconds:
                    await self._confirmed()
            case VADUserStoppedSpeakingFrame() if self._maybe:
                self._voice_on = False
                await self._waiting.start(self._recognition_seconds + _LAST_WORD_SECONDS, self._nothing)
            case WordsFrame() if self._maybe:
                sure = frame.heard.confidence >= SURE
                await self._heard(frame.heard.text if sure else "", final=True)
            case TranscriptionFrame() if self._maybe and frame.text.strip():
                await self._heard(frame.text, final=True)
            case InterimTranscriptionFrame() if self._maybe and self._trust_interim and frame.text.strip():
                await self._heard(frame.text, final=False)
            case _:
                pass
        return ProcessFrameResult.CONTINUE

    async def handle_user_turn_started(self) -> None:
        """See `BaseUserTurnStartStrategy`."""
        self._in_turn = True
        if self._maybe:
            await self._over(confirmed=True)

    async def handle_user_turn_stopped(self) -> None:
        """See `BaseUserTurnStartStrategy`."""
        self._in_turn = False

    async def cleanup(self) -> None:
        """Nothing is waited for any more."""
        await super().cleanup()
        await self._waiting.stop()

    async def _voice(self) -> None:
        if not self._floor.taken:
            await self._begin(interrupt=False)
            return
        if not self._maybe:
            self._outlet.duck()
            self._maybe, self._words = True, ""
            await self.push_frame(OnsetFrame())
        self._voice_on, self._voice_seconds = True, 0.0
        await self._waiting.stop()

    async def _heard(self, words: str, *, final: bool) -> None:
        self._words = words
        if words and not self._is_backchannel(words):
            await self._confirmed()
        elif final and not self._voice_on:  # else somebody goes on: "Atlas", and what is wanted
            await self._nothing()

    async def _confirmed(self) -> None:
        self._outlet.mute()
        await self._begin(interrupt=True)

    async def _nothing(self) -> None:
        self._outlet.release()
        if self._words:
            await self.push_frame(UserBackchannelFrame(self._words, "", time_now_iso8601()))
        await self._over(confirmed=False)

    async def _over(self, *, confirmed: bool) -> None:
        self._maybe = False
        await self._waiting.stop()
        await self.push_frame(OnsetOverFrame(confirmed=confirmed, words=self._words))

    async def _begin(self, *, interrupt: bool) -> None:
        await self.trigger_user_turn_started(enable_interruptions=interrupt)
