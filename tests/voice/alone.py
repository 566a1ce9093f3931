"""A service on a pipeline of its own: what goes in, and what comes out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from pipecat.frames.frames import (
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner

from tests.services.speech import RATE

_PIECE = RATE // 50 * 2
_SECONDS = 20
Of = TypeVar("Of", bound=Frame)


class _Ends(FrameProcessor):
    def __init__(self, seen: Callable[[Frame], None]) -> None:
        super().__init__(enable_direct_mode=True)
        self._seen = seen

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        self._seen(frame)
        await self.push_frame(frame, direction)


class Alone:
    """See `alone`."""

    def __init__(self, worker: PipelineWorker) -> None:
        self._worker = worker
        self.frames: list[Frame] = []
        self._changed = asyncio.Event()

    def saw(self, frame: Frame) -> None:
        """It came out, at either end."""
        self.frames.append(frame)
        self._changed.set()

    def of(self, *kinds: type[Of]) -> Sequence[Of]:
        """What came out of these kinds."""
        return [frame for frame in self.frames if isinstance(frame, kinds)]

    async def give(self, *frames: Frame) -> None:
        """In this order."""
        for frame in frames:
            await self._worker.queue_frame(frame)

    async def say(self, sound: bytes) -> None:
        """An utterance: the voice begins with it, and has fallen silent after it."""
        await self.give(VADUserStartedSpeakingFrame(), *audio(sound), VADUserStoppedSpeakingFrame())

    async def until(self, met: Callable[[], Any]) -> None:
        """The condition, which is looked at whenever a frame came out."""
        async with asyncio.timeout(_SECONDS):
            while not met():
                self._changed.clear()
                await self._changed.wait()


def audio(sound: bytes) -> list[Frame]:
    """As a microphone gives it: 20 ms each."""
    return [InputAudioRawFrame(sound[at : at + _PIECE], RATE, 1) for at in range(0, len(sound), _PIECE)]


@asynccontextmanager
async def alone(service: FrameProcessor) -> AsyncGenerator[Alone]:
    """While it runs."""

    def seen(frame: Frame) -> None:
        if around is not None and not isinstance(frame, InputAudioRawFrame):
            around.saw(frame)

    around: Alone | None = None
    worker = PipelineWorker(
        Pipeline([_Ends(lambda frame: seen(frame) if isinstance(frame, ErrorFrame) else None), service, _Ends(seen)]),
        params=PipelineParams(audio_in_sample_rate=RATE, audio_out_sample_rate=24_000), enable_rtvi=False,
        idle_timeout_secs=None, cancel_on_idle_timeout=False,
    )  # fmt: skip
    around = Alone(worker)
    started = asyncio.Event()

    @worker.event_handler("on_pipeline_started")
    async def begun(*_: object) -> None:
        started.set()

    _ = begun
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    try:
        async with asyncio.timeout(_SECONDS):
            await started.wait()
        yield around
    finally:
        await runner.cancel()
        await running
