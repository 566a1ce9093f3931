"""Tones that tell what words need not."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import numpy as np
import pytest
from pipecat.frames.frames import InterruptionFrame

from tests.voice.in_process import settled
from tests.voice.room import Room, room
from tests.voice.test_interrupting import talkative, woken
from voice.chimes import Chime, tone
from voice.frames import TroubleFrame
from voice.outlet import Outlet
from voice.pipeline import OUT_RATE
from voice.sessions import Means

_SILENCE = 50
"""Amplitude up to which nothing is heard."""
_FADED_SECONDS = 0.15
"""What was on its way when speech was silenced has left; a tone comes 0.2 s after that."""


@pytest.fixture
def chiming(means: Means) -> Means:
    return replace(means, choices=replace(means.choices, chimes=True))


def pitch(sound: bytes) -> float:
    """The strongest frequency, in Hz."""
    samples = np.frombuffer(sound, dtype="<i2").astype(np.float64)
    return float(np.abs(np.fft.rfft(samples)).argmax() * OUT_RATE / len(samples))


async def heard(there: Room, after: float, seconds: float, gain: float = 0) -> bytes:
    """The end of what was heard since while speech was silenced, or as loud as this: when there is so much of it."""
    written, sound = there.loudspeaker.written, there.loudspeaker.sound

    def found() -> bytes:
        parts: list[bytes] = []
        end, changed = 0, float("-inf")
        for each in written:
            begin, end = end, end + 2 * round(each.seconds * OUT_RATE)
            if each.gain != gain:
                changed = each.at
            elif each.at > max(after, changed + _FADED_SECONDS) and each.level > _SILENCE:
                parts.append(bytes(sound[begin:end]))
        return b"".join(parts)

    size = 2 * round(seconds * OUT_RATE)
    await settled(lambda: -len(found()), -size, "bytes")
    await asyncio.sleep(0.2)
    return found()[-size:]


async def test_the_wake_word_is_answered_by_a_tone_and_nothing_else_is_heard(chiming: Means) -> None:
    async with room(chiming) as there:
        await talkative(there)
        wake = await woken(there)
        assert 600 < pitch(await heard(there, wake["when"], 0.12)) < 950
        assert there.session.outlet_gain == 0.0  # speech is silenced all the while


async def test_who_interrupts_hears_another(chiming: Means) -> None:
    async with room(chiming) as there:
        began = await talkative(there)
        await there.speak("wait a moment please I want to say something different now")
        over = await there.until("onset-over", after=began)
        assert over["confirmed"]
        assert 450 < pitch(await heard(there, over["when"], 0.04)) < 600


async def test_an_error_is_heard(chiming: Means) -> None:
    async with room(chiming) as there:
        await there.until("speech-started") if there.happened else None
        now = time.monotonic()
        await there.session.talk.worker.queue_frame(TroubleFrame())
        assert 200 < pitch(await heard(there, now, 0.25, gain=1)) < 350
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
