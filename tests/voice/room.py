"""A room to talk in: somebody speaks into a microphone and hears a loudspeaker, in real time, on a real pipeline."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from pipecat.frames.frames import CancelFrame, InputAudioRawFrame, OutputAudioRawFrame, StartFrame
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams

from orchestrator.tasks import ended
from tests.services.speech import RATE, spoken
from voice.chronicle import Chronicle
from voice.desk import Speaker
from voice.outlet import Outlet
from voice.pipeline import OUT_RATE, Ends
from voice.sessions import Means, Session

Record = Callable[[str, object], None]
"""Of `record_property`: what a test has measured."""
_PIECE = RATE // 50 * 2
_HEARD = 200
"""Amplitude from which a chunk is something that is heard."""


@dataclass(frozen=True)
class Spoken:
    """When an utterance is heard to begin and to end (`time.monotonic`)."""

    onset: float
    end: float


@dataclass(frozen=True)
class Written:
    """A chunk that went to the loudspeaker: when, for how long, how loud (the largest sample), and at which part of
    its loudness."""

    at: float
    seconds: float
    level: int
    gain: float


class Microphone(BaseInputTransport):
    """Silence with a little noise, in real time, but when somebody speaks."""

    def __init__(self) -> None:
        super().__init__(TransportParams(audio_in_enabled=True))
        self._pieces: deque[tuple[bytes, Callable[[float], None] | None]] = deque()
        self._pump: asyncio.Task[None] | None = None
        self._noise = np.random.default_rng(3)

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)
        self._pump = self.create_task(self._play(), name="microphone")

    async def cleanup(self) -> None:
        await super().cleanup()
        pump, self._pump = self._pump, None
        if pump is not None:
            await self.cancel_task(pump)

    async def speak(self, sound: bytes) -> Spoken:
        """Returns when it has been spoken."""
        samples = np.abs(np.frombuffer(sound, dtype="<i2").astype(np.int32))
        loud = np.flatnonzero(samples > samples.max() / 20)
        began: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        over: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        pieces = [sound[at : at + _PIECE] for at in range(0, len(sound), _PIECE)]
        for number, piece in enumerate(pieces):
            told = began.set_result if number == 0 else over.set_result if number == len(pieces) - 1 else None
            self._pieces.append((piece, told))
        start = await began
        await over
        return Spoken(start + loud[0] / RATE, start + loud[-1] / RATE)

    async def _play(self) -> None:
        began, count = time.monotonic(), 0
        while True:
            if self._pieces:
                piece, told = self._pieces.popleft()
                if told is not None:
                    told(time.monotonic())
            else:
                piece = self._noise.integers(-12, 13, _PIECE // 2).astype("<i2").tobytes()
            await self.push_audio_frame(InputAudioRawFrame(audio=piece, sample_rate=RATE, num_channels=1))
            count += 1
            await asyncio.sleep(max(0.0, began + count * 0.02 - time.monotonic()))


class Loudspeaker(BaseOutputTransport):
    """Takes chunks as fast as a sound card does, and remembers them."""

    def __init__(self, outlet: Outlet, chunks: int = 2) -> None:
        super().__init__(
            TransportParams(
                audio_out_enabled=True, audio_out_sample_rate=OUT_RATE, audio_out_10ms_chunks=chunks,
                audio_out_filter=outlet, audio_out_end_silence_secs=0,
            )
        )  # fmt: skip
        self._outlet = outlet
        self.written: list[Written] = []
        self.sound = bytearray()
        self._free = 0.0

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        now = time.monotonic()
        self._free = max(self._free, now)
        seconds = frame.num_frames / frame.sample_rate
        level = int(np.abs(np.frombuffer(frame.audio, dtype="<i2").astype(np.int32)).max(initial=0))
        self.written.append(Written(now, seconds, level, self._outlet.gain))
        self.sound.extend(frame.audio)
        self._free += seconds
        await asyncio.sleep(max(0.0, self._free - time.monotonic()))
        return True

    def last_heard(self, after: float, before: float = float("inf")) -> Written | None:
        """The last chunk with something to be heard in it that was written between these moments."""
        found = [each for each in self.written if after < each.at < before and each.level > _HEARD]
        return found[-1] if found else None

    def first_heard(self, after: float) -> Written | None:
        """The first one."""
        return next((each for each in self.written if each.at > after and each.level > _HEARD), None)

    def ducked(self, after: float) -> Written | None:
        """The first one that was made quieter, or silent."""
        return next((each for each in self.written if each.at > after and each.gain < 1), None)


class Room:
    """`happened`: all that the chronicle has told so far, each with `when` (`time.monotonic`)."""

    def __init__(self, means: Means, speaker: Speaker, *, chunks: int = 2, conversation: str | None = None) -> None:
        self.happened: list[dict[str, Any]] = []
        self._more = asyncio.Event()
        self.microphone = Microphone()
        self.loudspeaker: Loudspeaker

        def ends(outlet: Outlet) -> Ends:
            self.loudspeaker = Loudspeaker(outlet, chunks)
            return Ends(self.microphone, self.loudspeaker)

        self.session = Session(means, speaker, ends, observers=[Chronicle(self._tell)], conversation=conversation)

    def _tell(self, happening: dict[str, Any]) -> None:
        self.happened.append({**happening, "when": time.monotonic()})
        self._more.set()

    async def until(
        self,
        event: str,
        *,
        after: float = 0.0,
        seconds: float = 10.0,
        where: Callable[[dict[str, Any]], bool] | None = None,
    ) -> dict[str, Any]:
        """The first such happening later than `after`, which comes within so many seconds."""
        deadline = time.monotonic() + seconds
        while True:
            self._more.clear()
            for each in self.happened:
                if each["event"] == event and each["when"] > after and (where is None or where(each)):
                    return each
            left = deadline - time.monotonic()
            try:
                await asyncio.wait_for(self._more.wait(), left)
            except TimeoutError:
                said = "\n".join(map(str, self.happened[-30:]))
                raise AssertionError(f"no {event} within {seconds} s; lately:\n{said}") from None

    def of(self, event: str, after: float = 0.0) -> list[dict[str, Any]]:
        """All of this kind so far."""
        return [each for each in self.happened if each["event"] == event and each["when"] > after]

    async def speak(self, text: str, **how: Any) -> Spoken:
        """Somebody says this."""
        return await self.microphone.speak(spoken(text, **how))


@asynccontextmanager
async def room(
    means: Means, speaker: Speaker | None = None, *, chunks: int = 2, conversation: str | None = None
) -> AsyncGenerator[Room]:
    """With its conversation running."""
    made = Room(means, speaker or Speaker("tester"), chunks=chunks, conversation=conversation)
    running = asyncio.create_task(made.session.run())
    try:
        yield made
    finally:
        await made.session.talk.worker.queue_frame(CancelFrame())
        await asyncio.wait([running], timeout=10)
        await ended(running)
