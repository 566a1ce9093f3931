"""What happens in a conversation, as plain data: for programs, for pages, for measuring."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    ErrorFrame,
    Frame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    TranscriptionFrame,
    TTSStoppedFrame,
    UserBackchannelFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.observers.base_observer import BaseObserver, FramePushed

from voice.frames import IntentFrame, OnsetFrame, OnsetOverFrame, SaidFrame, TurnFrame, WakeFrame

Entry = dict[str, Any]
"""``event`` and ``at`` (seconds since the conversation began), and what belongs to it."""

_PLAIN: dict[type[Frame], str] = {
    InterruptionFrame: "interrupted",
    OnsetFrame: "onset",
    VADUserStartedSpeakingFrame: "voice-started",
    VADUserStoppedSpeakingFrame: "voice-stopped",
    UserStartedSpeakingFrame: "turn-started",
    UserStoppedSpeakingFrame: "turn-stopped",
    BotStartedSpeakingFrame: "speech-started",
    BotStoppedSpeakingFrame: "speech-stopped",
    TTSStoppedFrame: "synthesis-stopped",
}

_TOLD: dict[type[Frame], Callable[[Any], Entry]] = {
    WakeFrame: lambda frame: {"event": "wake", "by": frame.source},
    OnsetOverFrame: lambda frame: {"event": "onset-over", "confirmed": frame.confirmed, "words": frame.words},
    TranscriptionFrame: lambda frame: {"event": "heard", "text": frame.text},
    InterimTranscriptionFrame: lambda frame: {"event": "hearing", "text": frame.text},
    UserBackchannelFrame: lambda frame: {"event": "backchannel", "text": frame.text},
    TurnFrame: lambda frame: {
        "event": "turn", "text": frame.text, "woken": frame.woken, "confidence": round(frame.confidence, 3)
    },
    IntentFrame: lambda frame: {"event": "intent", "intent": type(frame.intent).__name__, **asdict(frame.intent)},
    SaidFrame: lambda frame: {"event": "saying", "text": frame.text, "kind": frame.kind},
    ErrorFrame: lambda frame: {"event": "error", "text": frame.error},
}  # fmt: skip


class Chronicle(BaseObserver):
    """Tells each once, as it comes up."""

    def __init__(self, told: Callable[[Entry], None], clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._told = told
        self._clock = clock
        self._began = clock()
        self._seen: dict[int, None] = {}
        self._ended: float | None = None

    async def on_push_frame(self, data: FramePushed) -> None:
        """See `BaseObserver`."""
        frame = data.frame
        if frame.id in self._seen or frame.broadcast_sibling_id in self._seen:
            return
        found = self._described(frame)
        if found is None:
            return
        self._seen[frame.id] = None
        if len(self._seen) > 1_000:
            del self._seen[next(iter(self._seen))]
        self._told({"event": found.pop("event"), "at": round(self._clock() - self._began, 4), **found})

    def _described(self, frame: Frame) -> Entry | None:
        if isinstance(frame, TurnFrame):
            self._ended = frame.ended if frame.text else None
        if isinstance(frame, BotStartedSpeakingFrame) and self._ended is not None:
            latency, self._ended = round(self._clock() - self._ended, 4), None
            return {"event": "speech-started", "latency": latency}
        if plain := _PLAIN.get(type(frame)):
            return {"event": plain}
        if describe := _TOLD.get(type(frame)):
            return describe(frame)
        return None
