"""Tones that tell what words need not."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import numpy as np
import pytest
from pipecat.frames.frames import InterruptionFrame

from tests.voice.room import Room, room
from tests.voice.test_interrupting import talkative, woken
from voice.chimes import Chime, tone
from voice.frames import TroubleFrame
from voice.outlet import Outlet
from voice.pipeline import OUT_RATE
from voice.sessions import Means


@pytest.fixture
def chiming(means: Means) -> Means:
    return replace(means, choices=replace(means.choices, chimes=True))


def pitch(sound: bytes) -> float:
    """The strongest frequency, in Hz."""
    samples = np.frombuffer(sound, dtype="<i2").astype(np.float64)
    return float(np.abs(np.fft.rfft(samples)).argmax() * OUT_RATE / len(samples))


def heard(there: Room, after: float) -> bytes:
    """What left since, while speech was silenced."""
    silenced = [each.at for each in there.loudspeaker.written if each.at > after and each.gain == 0]
    count = sum(each.at <= (silenced[0] if silenced else after) for each in there.loudspeaker.written)
    start = sum(round(each.seconds * OUT_RATE) for each in there.loudspeaker.written[:count])
    return bytes(there.loudspeaker.sound[2 * start :])


async def test_the_wake_word_is_answered_by_a_tone_and_nothing_else_is_heard(chiming: Means) -> None:
    async with room(chiming) as there:
        await talkative(there)
        wake = await woken(there)
        await asyncio.sleep(0.5)
        assert there.session.outlet_gain == 0.0  # speech is silenced all the while
        assert 600 < pitch(heard(there, wake["when"] + 0.03)) < 950


async def test_who_interrupts_hears_another(chiming: Means) -> None:
    async with room(chiming) as there:
        began = await talkative(there)
        await there.speak("wait a moment please I want to say something different now")
        over = await there.until("onset-over", after=began)
        assert over["confirmed"]
        await asyncio.sleep(0.4)
        assert 450 < pitch(heard(there, over["when"] + 0.15)) < 600


async def test_an_error_is_heard(chiming: Means) -> None:
    async with room(chiming) as there:
        await there.until("speech-started") if there.happened else None
        now = time.monotonic()
        await there.session.talk.worker.queue_frame(TroubleFrame())
        await asyncio.sleep(0.6)
        assert 200 < pitch(heard(there, now)) < 350
        assert not there.of("speech-started")  # no speech of ours


async def test_there_are_none_unless_wanted(means: Means) -> None:
    async with room(means) as there:
        await there.session.talk.worker.queue_frame(InterruptionFrame())
        await asyncio.sleep(0.4)
        assert there.loudspeaker.written == []


@pytest.mark.parametrize("chime", ["woken", "interrupted", "trouble"])
async def test_a_tone_is_short_soft_and_does_not_click(chime: Chime) -> None:
    samples = tone(chime, OUT_RATE).astype(np.int32)
    assert len(samples) < 0.3 * OUT_RATE
    assert 500 < np.abs(samples).max() < 5_000
    assert abs(samples[0]) < 50
    assert abs(samples[-1]) < 50


async def test_it_is_laid_over_what_leaves_chunk_by_chunk() -> None:
    outlet = Outlet()
    await outlet.start(OUT_RATE)
    outlet.mute()
    await outlet.filter(bytes(960))
    sound = tone("woken", OUT_RATE)
    outlet.lay_over(sound)
    speech = np.full(480, 30_000, dtype="<i2").tobytes()
    left = b"".join([await outlet.filter(speech) for _ in range(10)])
    assert left[: 2 * len(sound)] == sound.astype("<i2").tobytes()
    assert not any(left[2 * len(sound) :])
