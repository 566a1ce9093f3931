"""Recognition by Deepgram: sound goes there as it comes, words come back as they are spoken."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from typing import cast

from deepgram.listen.v1.socket_client import AsyncV1SocketClient
from deepgram.listen.v1.types import ListenV1Results
from pipecat.frames.frames import (
    Frame,
    InterimTranscriptionFrame,
    StartFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.deepgram.stt import DeepgramSTTService
from pipecat.services.whisper.utils import extract_deepgram_probability
from pipecat.transcriptions.language import Language as Spoken
from pipecat.utils.time import time_now_iso8601
from websockets.exceptions import ConnectionClosed

from voice.engines.deepgram_speech import DEEPGRAM
from voice.engines.heard import Heard
from voice.engines.makers import address, key_of
from voice.engines.parts import Setup
from voice.engines.troubled import Troubled
from voice.frames import WordsFrame
from voice.intents import Language
from voice.phrase_commands import PhraseCommands

_MODEL = "nova-3"
_WORDS_SECONDS = 1.5
"""After the voice fell silent and Deepgram was told so, in which its last words come."""
_AGAIN_SECONDS = 5.0
"""Between two attempts to connect while there is something to hear."""
_KEPT_SECONDS = 10.0
"""Of sound that waits for a connection."""
_SPOKEN: dict[Language, Spoken] = {"en": Spoken.EN, "zh": Spoken.ZH}


class DeepgramRecognition:
    """See `Recognition`."""

    free_speech = True
    trust_interim = True

    def __init__(self, setup: Setup) -> None:
        self._key = key_of(setup, DEEPGRAM)
        self._url = address(setup, "")
        self._model = setup.model or _MODEL

    def service(self, language: Language, commands: PhraseCommands) -> DeepgramSTT:
        """For one conversation."""
        return DeepgramSTT(self._key, self._url, self._model, _SPOKEN[language], ["Atlas", *commands.plans])

    async def ready(self) -> None:
        """See `Part`."""

    async def close(self) -> None:
        """See `Part`."""


class DeepgramSTT(Troubled, DeepgramSTTService):
    """Of one conversation, which does not wait for its connection. Of each utterance its words are told once, when
    Deepgram has told the last of them, if only that there were none (`WordsFrame`); before that, what it takes them for
    so far."""

    maker = DEEPGRAM
    _connection: AsyncV1SocketClient | None  # Pipecat says no more than None of it

    def __init__(self, key: str, url: str, model: str, language: Spoken, names: Sequence[str]) -> None:
        settings = DeepgramSTTService.Settings(model=model, language=language, interim_results=True)
        if model.startswith(_MODEL):
            settings.keyterm = list(names)  # which are spelled so, and more likely than others
        super().__init__(api_key=key, base_url=url, settings=settings, ttfs_p99_latency=_WORDS_SECONDS)
        self._parts: list[Heard] = []
        self._so_far = ""
        self._voice = False
        self._due: deque[asyncio.Task[None]] = deque()
        """Of the utterances that are over and whose words are not told yet."""
        self._kept: deque[bytes] = deque()
        self._started = False
        self._opening: asyncio.Task[None] | None = None
        self._not_before = 0.0

    # --- the connection ----------------------------------------------------------------------------------------------

    async def start(self, frame: StartFrame) -> None:
        """See `AIService`."""
        await super().start(frame)
        self._started = True
        self._open()

    async def cleanup(self) -> None:
        """See `FrameProcessor`."""
        waiting = [*self._due, *([self._opening] if self._opening else [])]
        self._due.clear()
        self._opening = None
        for task in waiting:
            await self.cancel_task(task)
        await super().cleanup()

    async def _connect(self) -> None:
        if self._started:
            await super()._connect()

    async def _disconnect(self) -> None:
        with suppress(ConnectionClosed):
            await super()._disconnect()
        await super()._disconnect()  # without a word of farewell to whom has gone

    def _open(self) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._not_before:
            self._not_before = now + _AGAIN_SECONDS
            self._opening = self.create_task(self._opened(self._opening), name=f"{self}::open")

    async def _opened(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await self.cancel_task(before)
        await self._disconnect()
        await self._connect()
        await self._send_kept()

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        """See `STTService`. What can't be sent waits for a moment."""
        self._kept.append(audio)
        if self._connection is None:
            self._open()
            most = _KEPT_SECONDS * self.sample_rate * 2
            while len(self._kept) * len(audio) > most:
                self._kept.popleft()
        else:
            await self._send_kept()
        return
        yield None

    async def _send_kept(self) -> None:
        while self._kept and (connection := self._connection) is not None:
            audio = self._kept.popleft()
            try:
                await connection.send_media(audio)
            except ConnectionClosed:
                self._kept.appendleft(audio)
                self._connection = None

    # --- the words ---------------------------------------------------------------------------------------------------

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """See `FrameProcessor`."""
        if isinstance(frame, VADUserStartedSpeakingFrame):
            self._voice = True
            if not self._due:
                self._parts, self._so_far = [], ""
        elif isinstance(frame, VADUserStoppedSpeakingFrame):
            self._voice = False
            self._due.append(cast("asyncio.Task[None]", self.create_task(self._give_up(), name=f"{self}::give-up")))
        with suppress(ConnectionClosed):
            await super().process_frame(frame, direction)

    async def push_frame(self, frame: Frame, direction: FrameDirection = FrameDirection.DOWNSTREAM) -> None:
        """See `FrameProcessor`."""
        match frame:
            case TranscriptionFrame() if not isinstance(frame.result, Heard):
                sure = extract_deepgram_probability(frame)
                self._parts.append(Heard(frame.text, 1.0 if sure is None else sure))
                self._so_far = ""
                if not self._voice and not self._due:
                    await self._tell_late()
                    return
                frame = InterimTranscriptionFrame(
                    self._text(), frame.user_id, frame.timestamp, frame.language, result=frame.result
                )
            case InterimTranscriptionFrame():
                self._so_far = frame.text
                frame.text = self._text()
            case _:
                pass
        await super().push_frame(frame, direction)

    async def _on_message(self, message: object) -> None:
        await super()._on_message(message)
        if isinstance(message, ListenV1Results) and message.is_final and message.from_finalize and self._due:
            await self.cancel_task(self._due.popleft())
            await self._tell()

    async def _give_up(self) -> None:
        await asyncio.sleep(_WORDS_SECONDS)
        self._due.popleft()  # who waits longest is this
        if self._connection is None:
            self._kept.clear()
        await self._tell()

    async def _tell(self) -> None:
        heard = Heard(self._text(), min((each.confidence for each in self._parts), default=1.0))
        self._parts, self._so_far = [], ""
        await self.push_frame(WordsFrame(heard=heard if heard.text else Heard("", 0.0)))
        if heard.text:
            await self.push_frame(TranscriptionFrame(heard.text, "", time_now_iso8601(), result=heard, finalized=True))

    async def _tell_late(self) -> None:
        """What comes when it was not waited for any more."""
        heard = Heard(self._text(), min(each.confidence for each in self._parts))
        self._parts = []
        late = TranscriptionFrame(heard.text, "", time_now_iso8601())
        await super().push_frame(late)

    def _text(self) -> str:
        return " ".join(filter(None, [*(each.text for each in self._parts), self._so_far]))
