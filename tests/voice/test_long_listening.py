"""Hours of sound, played faster than they last: nothing grows, nothing is left behind, nobody is woken."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from pipecat.frames.frames import EndFrame, InputAudioRawFrame, OutputAudioRawFrame, StartFrame
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams

from orchestrator.tasks import ended
from tests.services.speech import RATE, VOICES, spoken
from tests.voice.corpus import OTHER
from tests.voice.room import OUT_RATE, Record
from voice.choices import Choices
from voice.chronicle import Chronicle, Entry
from voice.desk import Speaker
from voice.outlet import Outlet
from voice.pipeline import Ends
from voice.sessions import Means, Session

PIECE = RATE // 10 * 2
"""A tenth of a second."""
WAITING = 20
FASTER = 12
"""Than it was spoken; whoever recognises it takes a twentieth of the time on a slow machine, and what waits for that
would be taken for growth."""
MINUTES = 60
GROWTH = 60_000_000
"""Bytes: what an hour may add to what the first minutes took; the hour itself is 115 MB."""


class FastMicrophone(BaseInputTransport):
    """Plays it as fast as it is listened to, and not faster than that."""

    def __init__(self, pieces: Iterator[bytes], faster: float) -> None:
        super().__init__(TransportParams(audio_in_enabled=True))
        self._pieces = pieces
        self._faster = faster
        self._playing: asyncio.Task[None] | None = None
        self.played = 0
        self.over = asyncio.Event()

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)
        self._playing = self.create_task(self._play(), name="fast microphone")

    async def cleanup(self) -> None:
        await super().cleanup()
        playing, self._playing = self._playing, None
        if playing is not None:
            await self.cancel_task(playing)

    async def _play(self) -> None:
        began = time.monotonic()
        for piece in self._pieces:
            await self.push_audio_frame(InputAudioRawFrame(audio=piece, sample_rate=RATE, num_channels=1))
            self.played += len(piece)
            if self._audio_in_queue.qsize() > WAITING:
                await self._audio_in_queue.join()
                await asyncio.sleep(began + self.played / (RATE * 2) / self._faster - time.monotonic())
        self.over.set()


class FastLoudspeaker(BaseOutputTransport):
    """Plays it as much faster as it listens; what waits to be played is what would wait in a conversation."""

    def __init__(self, outlet: Outlet) -> None:
        super().__init__(
            TransportParams(
                audio_out_enabled=True, audio_out_sample_rate=OUT_RATE, audio_out_filter=outlet,
                audio_out_end_silence_secs=0,
            )
        )  # fmt: skip

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        await asyncio.sleep(frame.num_frames / frame.sample_rate / FASTER)
        return True


def silence(minutes: float) -> Iterator[bytes]:
    return (bytes(PIECE) for _ in range(int(minutes * 600)))


def talk(minutes: float) -> Iterator[bytes]:
    """Of something else, by four voices in turn."""
    said = [spoken(text, voice=VOICES[number % len(VOICES)]) for number, text in enumerate(OTHER)]
    left, number = int(minutes * 60 * RATE * 2), 0
    while left > 0:
        sound = said[number % len(said)]
        for at in range(0, len(sound), PIECE):
            yield sound[at : at + PIECE]
        left, number = left - len(sound), number + 1


def resident() -> int:
    """Bytes of this process."""
    line = next(each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


async def listened(
    means: Means,
    pieces: Iterator[bytes],
    minutes: float,
    choices: Choices,
    record: Record,
    *,
    faster: float = FASTER,
) -> list[Entry]:
    """What happened meanwhile."""
    happened: list[Entry] = []
    before = asyncio.all_tasks()
    microphone = FastMicrophone(pieces, faster)
    session = Session(
        means, Speaker("tester"), lambda outlet: _ends(microphone, outlet), choices=choices,
        observers=[Chronicle(happened.append)],
    )  # fmt: skip
    running = asyncio.create_task(session.run())
    began, early = time.monotonic(), 0
    try:
        while not microphone.over.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(microphone.over.wait(), 0.5)
            assert not running.done(), running.result()
            if not early and microphone.played > 120 * RATE * 2:
                early = resident()
        grown = resident() - early
        await session.talk.worker.queue_frame(EndFrame())
        await asyncio.wait([running], timeout=100)
    finally:
        await ended(running)
    took = time.monotonic() - began
    record("trial", f"{minutes} minutes in {took:.0f} s, {grown / 1e6:.1f} MB more, {len(happened)} happenings")
    assert took < minutes * 60, "slower than it was spoken"
    assert grown < GROWTH
    await asyncio.sleep(1)  # what is recognised apart is read to its end
    assert asyncio.all_tasks() - before == set()
    return happened


def _ends(microphone: FastMicrophone, outlet: Outlet) -> Ends:
    return Ends(microphone, FastLoudspeaker(outlet))


@pytest.mark.timeout(400)
async def test_ten_minutes_of_silence(means: Means, record_property: Record) -> None:
    assert await listened(means, silence(10), 10, Choices(), record_property, faster=1_000) == []


@pytest.mark.long
@pytest.mark.timeout(400)
async def test_ten_minutes_of_silence_with_everybody_listened_to(means: Means, record_property: Record) -> None:
    choices = Choices(wake="always")
    assert await listened(means, silence(10), 10, choices, record_property, faster=1_000) == []


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_an_hour_of_other_talk(means: Means, record_property: Record) -> None:
    happened = await listened(means, talk(MINUTES), MINUTES, Choices(), record_property)
    woken = [each for each in happened if each["event"] == "wake"]
    record_property("trial", f"woken {len(woken)} times in an hour")
    assert len(woken) <= 6  # one in ten minutes
    assert not [each for each in happened if each["event"] == "error"]


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_an_hour_of_talk_that_is_all_listened_to(means: Means, record_property: Record) -> None:
    happened = await listened(means, talk(MINUTES), MINUTES, Choices(wake="always"), record_property, faster=5)
    assert not [each for each in happened if each["event"] == "error"]
