"""Services that may fail: people are told once, until it works again, and it is always tried again.

What these are mixed into has to come after them in a class's bases.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator

from pipecat.frames.frames import (
    ErrorFrame,
    Frame,
    StartFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor, FrameProcessorSetup
from pipecat.services.tts_service import TTSService, WebsocketTTSService
from pipecat.services.websocket_service import ReportErrorCallback
from pipecat.utils.errors import ErrorCategory

from voice.engines.makers import Maker, category_of, is_refusal

log = logging.getLogger(__name__)

SILENT_SECONDS = 8.0
"""After which a service that says nothing more of a sentence is not waited for."""
_PAUSE_SECONDS = 0.5
"""Between two connections: some services ask for another at once when theirs is closed."""


class Troubled(FrameProcessor):
    """`maker` is whose service it is."""

    maker: Maker
    _trouble: str | None = None

    async def push_error_frame(self, error: ErrorFrame, force_treat_as_permanent: bool = False) -> None:
        """See `FrameProcessor`. The exception is always `EngineUnavailable`; what is known already is only logged."""
        del force_treat_as_permanent
        problem = self.maker.problem(error.exception, error.error, error.category)
        vague = category_of(error.exception, error.error, error.category) == ErrorCategory.UNKNOWN
        if self._trouble == problem.message or (self._trouble is not None and vague):
            log.debug("%s", problem)
            return
        self._trouble = problem.message
        told = ErrorFrame(f"{problem.message}. {problem.hint}".strip(), exception=problem, processor=self)
        await super().push_error_frame(told)

    async def push_frame(self, frame: Frame, direction: FrameDirection = FrameDirection.DOWNSTREAM) -> None:
        """See `FrameProcessor`."""
        if isinstance(frame, TTSAudioRawFrame | TranscriptionFrame):
            self._trouble = None
        await super().push_frame(frame, direction)

    async def set_usable(self, is_usable: bool) -> None:
        """See `FrameProcessor`. Nothing is given up for good: a key is changed, a network comes back."""
        if is_usable:
            await super().set_usable(True)


class TroubledSpeech(Troubled, TTSService):
    """A sentence that can't be said is over at once, and the next one is tried."""

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """See `TTSService`."""
        failed = False
        async for frame in super().run_tts(text, context_id):  # pyright: ignore[reportAbstractUsage]
            if isinstance(frame, ErrorFrame):
                failed = True
                await self.push_error_frame(frame)
            else:
                yield frame
        if failed:
            if not self.audio_context_available(context_id):
                yield TTSStartedFrame(context_id=context_id)
            await self.remove_audio_context(context_id)


class TroubledSocketSpeech(TroubledSpeech, WebsocketTTSService):
    """The connection is made when a conversation begins, which does not wait for it, and again whenever there is
    something to say and none."""

    _receive_task: asyncio.Task[None] | None
    _first: asyncio.Task[None] | None = None
    _may_connect = False
    _not_before = 0.0

    async def setup(self, setup: FrameProcessorSetup) -> None:
        """See `FrameProcessor`."""
        await super().setup(setup)
        self._connecting = asyncio.Lock()
        self._push_stop_frames = True  # whatever becomes of a sentence, it has an end

    async def start(self, frame: StartFrame) -> None:
        """See `AIService`."""
        await super().start(frame)
        self._may_connect = True
        self._first = self.create_task(self._connect(), name=f"{self}::first")

    async def cleanup(self) -> None:
        """See `FrameProcessor`."""
        first, self._first = self._first, None
        if first is not None:
            await self.cancel_task(first)
        await super().cleanup()

    async def _maybe_try_reconnect(
        self, error_message: str, report_error: ReportErrorCallback, error: Exception | None = None
    ) -> bool:
        if is_refusal(error):
            await self.push_error(error_message, exception=error)
            return False
        return await super()._maybe_try_reconnect(error_message, report_error, error)

    async def _connect_websocket(self) -> None:
        now = asyncio.get_running_loop().time()
        self._not_before = max(now, self._not_before) + _PAUSE_SECONDS
        await asyncio.sleep(self._not_before - _PAUSE_SECONDS - now)
        await super()._connect_websocket()  # pyright: ignore[reportAbstractUsage]

    async def _connect(self) -> None:
        if not self._may_connect:
            return
        async with self._connecting:
            if self._receive_task is not None and self._receive_task.done():
                self._receive_task = None
            await super()._connect()
