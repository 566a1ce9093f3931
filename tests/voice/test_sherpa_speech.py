"""Speech by sherpa-onnx on the real runtime, with a real voice of Piper."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pipecat.frames.frames import TTSAudioRawFrame, TTSSpeakFrame, TTSStoppedFrame

from state.errors import EngineUnavailable
from tests.services.piper_voice import joe
from tests.voice.alone import alone
from tests.voice.sounds import loudness
from voice.engines.apart import Apart
from voice.engines.parts import Setup
from voice.engines.sherpa_models import Held, Made, Manner, Voice
from voice.engines.sherpa_speaking import SherpaSpeaking, SherpaTTS

ONE = "The tests have passed."
MANY = " ".join(f"This is sentence number {number}." for number in range(1, 9))


def setup(models: Path, voice: str = "", model: str = "joe") -> Setup:
    return Setup("sherpa-onnx", model, voice, models, None, {}, Apart())


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("models")
    joe(place / "joe")
    return place


@pytest.fixture(scope="module")
def speaking(models: Path) -> Generator[SherpaSpeaking]:
    """Loaded once: it takes seconds."""
    part = SherpaSpeaking(setup(models))
    asyncio.run(part.ready())
    yield part
    asyncio.run(part.close())


def tts(part: SherpaSpeaking) -> SherpaTTS:
    service = part.service("en")
    assert isinstance(service, SherpaTTS)
    return service


async def seconds(part: SherpaSpeaking, text: str) -> float:
    """How long it takes to say."""
    async with alone(tts(part)) as room:
        await room.give(TTSSpeakFrame(text))
        await room.until(lambda: room.of(TTSStoppedFrame))
        heard = room.of(TTSAudioRawFrame)
        assert {frame.sample_rate for frame in heard} == {24_000}
        assert loudness([frame.audio for frame in heard]) > 0.02
        return sum(len(frame.audio) for frame in heard) / 2 / 24_000


async def test_what_is_said_takes_its_time(speaking: SherpaSpeaking) -> None:
    assert 0.8 < await seconds(speaking, ONE) < 2.5
    assert 8 < await seconds(speaking, MANY) < 24


async def test_there_is_sound_before_all_is_made(speaking: SherpaSpeaking) -> None:
    async with alone(tts(speaking)) as room:
        began = time.perf_counter()
        await room.give(TTSSpeakFrame(MANY))
        await room.until(lambda: room.of(TTSAudioRawFrame))
        first = time.perf_counter() - began
        await room.until(lambda: room.of(TTSStoppedFrame))
        assert first < (time.perf_counter() - began) / 2


async def test_what_cannot_be_spoken_is_a_short_silence(speaking: SherpaSpeaking) -> None:
    service = tts(speaking)
    async with alone(service):
        for text in ("...", ""):
            made = [frame async for frame in service.run_tts(text, "c")]
            assert [type(frame) for frame in made] == [TTSAudioRawFrame]
            assert loudness([each.audio for each in made if isinstance(each, TTSAudioRawFrame)]) == 0


class Counting:
    """A voice that counts what it makes."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self.sample_rate = voice.sample_rate
        self.num_speakers = voice.num_speakers
        self.samples = 0
        self.idle = threading.Event()

    def generate(self, text: str, config: Manner, callback: Callable[[NDArray[np.float32], float], int]) -> Made:
        self.idle.clear()
        made = self._voice.generate(text, config, callback)
        self.samples += len(made.samples)
        self.idle.set()
        return made


class CountingHeld(Held[Voice]):
    """With such a voice."""

    def __init__(self, held: Held[Voice]) -> None:
        super().__init__(held.recipe, threads=2)
        self.voice = Counting(held.model)

    @property
    def model(self) -> Voice:
        return self.voice


@pytest.fixture
async def counted(speaking: SherpaSpeaking) -> AsyncGenerator[CountingHeld]:
    counting = CountingHeld(speaking.held)
    yield counting
    counting.close()


async def test_nothing_is_made_that_nobody_waits_for(counted: CountingHeld) -> None:
    service = SherpaTTS(counted, espeak="en-us")
    async with alone(service):
        saying = service.run_tts(MANY, "c")
        assert isinstance(await anext(saying), TTSAudioRawFrame)
        await saying.aclose()
        await asyncio.to_thread(counted.voice.idle.wait, 10)
        stopped = counted.voice.samples
        assert 0 < stopped < 22_050 * 5, "a sentence or two, not eight"
        await counted.run(lambda: None)
        assert counted.voice.samples == stopped
        async for _ in service.run_tts(MANY, "c"):
            pass
        assert counted.voice.samples - stopped > 22_050 * 8


async def test_two_at_once_are_both_heard(speaking: SherpaSpeaking) -> None:
    one, other = await asyncio.gather(seconds(speaking, ONE), seconds(speaking, MANY))
    assert 0.8 < one < 2.5
    assert 8 < other < 24


async def test_a_speaker_that_there_is_not(models: Path) -> None:
    part = SherpaSpeaking(setup(models, "7"))
    with pytest.raises(EngineUnavailable, match="no speaker 7") as caught:
        await part.ready()
    assert "from 0 to 0" in caught.value.hint
    await part.close()
    with pytest.raises(EngineUnavailable, match="have numbers"):
        SherpaSpeaking(setup(models, "joe"))


async def test_a_broken_voice_is_told_of_and_nobody_dies(tmp_path: Path) -> None:
    place = joe(tmp_path / "joe")
    whole = (place / "model.onnx").read_bytes()
    (place / "model.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(EngineUnavailable, match="its end is missing"):
        SherpaSpeaking(setup(tmp_path))
    (place / "model.onnx").write_bytes(whole.replace(b"sample_rate", b"simple_rate"))
    part = SherpaSpeaking(setup(tmp_path))
    with pytest.raises(EngineUnavailable, match="'sample_rate' does not exist"):
        await part.ready()
    await part.close()
