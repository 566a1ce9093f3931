"""Stock Pipecat with our engines: what `voice` is measured beside."""
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from pipecat.audio.turn.smart_turn.local_smart_turn_v3 import LocalSmartTurnAnalyzerV3
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import (
    CancelFrame,
    Frame,
    InterruptionFrame,
    TTSSpeakFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.audio.vad_processor import VADProcessor
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.turns.user_stop import TurnAnalyzerUserTurnStopStrategy
from pipecat.turns.user_turn_processor import UserTurnProcessor
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.workers.runner import WorkerRunner

from tests.services.speech import spoken
from tests.voice.room import Loudspeaker, Microphone, Spoken
from voice.engines.apart import Apart
from voice.engines.commands import CommandSTT
from voice.engines.espeak import EspeakTTS
from voice.outlet import Outlet


class _Answers(FrameProcessor):
    """Says something when a turn is over, and notes interruptions."""

    def __init__(self) -> None:
        super().__init__()
        self.interruptions: list[float] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InterruptionFrame):
            self.interruptions.append(time.monotonic())
        await self.push_frame(frame, direction)
        if isinstance(frame, UserStoppedSpeakingFrame) and direction == FrameDirection.DOWNSTREAM:
            await self.push_frame(TTSSpeakFrame("There are no runs.", append_to_context=False))


class StockRoom:
    """A microphone and a loudspeaker around it."""

    def __init__(self) -> None:
        self.microphone = Microphone()
        self.loudspeaker = Loudspeaker(Outlet(), chunks=4)
        self.answers = _Answers()
        self.apart = Apart()
        turns = UserTurnProcessor(
            user_turn_strategies=UserTurnStrategies(
                stop=[TurnAnalyzerUserTurnStopStrategy(turn_analyzer=LocalSmartTurnAnalyzerV3())]
            )
        )
        parts: list[FrameProcessor] = [
            self.microphone, VADProcessor(vad_analyzer=SileroVADAnalyzer()), CommandSTT(self.apart), turns,
            self.answers, EspeakTTS(), self.loudspeaker,
        ]  # fmt: skip
        self.worker = PipelineWorker(
            Pipeline(parts), params=PipelineParams(audio_in_sample_rate=16_000, audio_out_sample_rate=24_000),
            enable_rtvi=False, idle_timeout_secs=None, cancel_on_idle_timeout=False,
        )  # fmt: skip

    async def speak(self, text: str, voice: str) -> Spoken:
        """Somebody says this."""
        return await self.microphone.speak(spoken(text, voice=voice, pad=0.05))

    async def say(self, text: str) -> None:
        """It speaks; returns when it has been heard for a while."""
        asked = time.monotonic()
        await self.worker.queue_frame(TTSSpeakFrame(text, append_to_context=False))
        await self.first_heard(asked, 5.0)
        await asyncio.sleep(0.7)

    async def first_heard(self, after: float, seconds: float) -> float | None:
        """When something is heard."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := self.loudspeaker.first_heard(after):
                return found.at
            await asyncio.sleep(0.01)
        return None

    async def interrupted(self, after: float, seconds: float) -> float | None:
        """When it was."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := [each for each in self.answers.interruptions if each > after]:
                return found[0]
            await asyncio.sleep(0.01)
        return None

    async def quiet(self) -> None:
        """Until nothing has been said for a while."""
        await self.worker.queue_frame(InterruptionFrame())
        while True:
            count = len(self.loudspeaker.written)
            await asyncio.sleep(0.7)
            if len(self.loudspeaker.written) == count:
                return
            if len(self.loudspeaker.written) > count + 30:
                await self.worker.queue_frame(InterruptionFrame())


@asynccontextmanager
async def stock_room() -> AsyncGenerator[StockRoom]:
    """With its pipeline running."""
    made = StockRoom()
    await made.apart.ready()
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(made.worker)
    running = asyncio.create_task(runner.run())
    await asyncio.sleep(1.0)
    try:
        yield made
    finally:
        await made.worker.queue_frame(CancelFrame())
        await asyncio.wait([running], timeout=10)
        await made.apart.close()
