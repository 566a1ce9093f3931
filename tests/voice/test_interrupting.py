"""Somebody speaks while Atlas does."""

from __future__ import annotations

import asyncio

import pytest

from tests.voice.room import Room, room
from voice.saying import Saying
from voice.sessions import Means

LONG = (
    "This is a rather long report about what is going on at the moment. It has several sentences, so that somebody"
    " has the time to speak in between. The third sentence goes on for a while as well. And here is a fourth one."
)


async def talkative(there: Room) -> float:
    """Atlas speaks; returns when it has been heard for a while."""
    there.session.say(Saying(LONG, "answer"))
    began = await there.until("speech-started")
    await asyncio.sleep(1.0)
    return float(began["when"])


async def test_the_wake_word_stops_speech_at_once(means: Means) -> None:
    async with room(means) as there:
        await talkative(there)
        await there.speak("Atlas", rate=140)
        wake = await there.until("wake", seconds=3)
        await there.until("speech-stopped", after=wake["when"] - 0.01)
        await asyncio.sleep(0.5)
        heard = there.loudspeaker.last_heard(wake["when"])
        assert heard is None or heard.at - wake["when"] < 0.2


async def test_somebody_who_goes_on_speaking_stops_it(means: Means) -> None:
    async with room(means) as there:
        await talkative(there)
        said = await there.speak("wait a moment please I want to say something different now")
        onset = await there.until("onset", after=said.onset)
        over = await there.until("onset-over", after=onset["when"] - 0.001)
        assert over["confirmed"]
        await there.until("speech-stopped", after=over["when"] - 0.01)
        assert over["when"] - said.onset < 1.5


@pytest.mark.parametrize("words", ["mm", "okay", "right", "uh huh"])
async def test_a_backchannel_does_not(means: Means, words: str) -> None:
    async with room(means) as there:
        await talkative(there)
        said = await there.speak(words)
        over = await there.until("onset-over", after=said.onset, seconds=3)
        assert not over["confirmed"]
        assert not there.of("interrupted")
        await asyncio.sleep(0.5)
        assert not there.of("speech-stopped")
        assert there.session.outlet_gain == 1.0
