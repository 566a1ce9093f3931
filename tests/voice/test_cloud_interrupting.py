"""Somebody speaks while a service in a cloud does: it is told to stop, and nothing more of it is heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from orchestrator.cli.compose import House
from tests.services.speech_server import SpeechServer, speech_server
from tests.voice.clouds import RECOGNITION, SPEECH, means_of, wanted
from tests.voice.room import Room, room
from voice.saying import Saying

LONG = "This is a rather long report about what is going on at the moment and about all that there is to come."


@pytest.fixture
async def cloud() -> AsyncGenerator[SpeechServer]:
    async with speech_server() as server:
        server.slowly = True
        yield server


async def talkative(there: Room) -> float:
    """Atlas speaks; returns when it has been heard for a while."""
    there.session.say(Saying(LONG, "answer"))
    began = await there.until("speech-started")
    await asyncio.sleep(0.5)
    return float(began["when"])


@pytest.mark.parametrize("speech", SPEECH)
async def test_synthesis_ends(home: House, cloud: SpeechServer, speech: str) -> None:
    cloud.lines.append("what is the status")
    cloud.hearing.append("what is")
    async with means_of(home, wanted(cloud, "deepgram/nova-3", speech)) as means, room(means) as there:
        began = await talkative(there)
        await there.speak("what is the status")
        over = await there.until("onset-over", after=began)
        assert over["confirmed"]
        await asyncio.wait_for(cloud.asked[0].cut.wait(), 5)
        assert cloud.asked[0].sent < 3
        stopped = await there.until("speech-stopped", after=over["when"] - 0.5)
        answer = await there.until("saying", after=over["when"])
        late = there.loudspeaker.last_heard(over["when"] + 0.1, before=stopped["when"])
        assert late is None
        await there.until("speech-started", after=stopped["when"])
        assert cloud.asked[1].text.strip() == answer["text"]
        await there.until("synthesis-stopped", after=answer["when"])
        assert cloud.asked[1].whole
        assert not there.of("error")


async def test_a_word_is_enough_before_the_voice_is_silent(home: House, cloud: SpeechServer) -> None:
    """What Deepgram takes it for so far stops speech."""
    cloud.lines.append("wait wait wait")
    cloud.hearing.append("wait")
    async with means_of(home, wanted(cloud, "deepgram/nova-3")) as means, room(means) as there:
        began = await talkative(there)
        await there.speak("wait, wait, wait")
        over = await there.until("onset-over", after=began)
        assert over["confirmed"]
        assert over["words"] == "wait"
        assert over["when"] < (await there.until("voice-stopped", after=began))["when"]


@pytest.mark.parametrize("recognition", RECOGNITION)
@pytest.mark.parametrize("words", ["Okay.", ""])
async def test_a_backchannel_does_not(home: House, cloud: SpeechServer, recognition: str, words: str) -> None:
    cloud.lines.append(words)
    cloud.hearing.append("Okay")
    async with means_of(home, wanted(cloud, recognition)) as means, room(means) as there:
        began = await talkative(there)
        await there.speak("okay")
        over = await there.until("onset-over", after=began, seconds=5)
        assert not over["confirmed"]
        assert not there.of("interrupted")
        assert there.session.outlet_gain == 1.0


async def test_a_word_after_the_voice_is_silent_stops_it(home: House, cloud: SpeechServer) -> None:
    """From a service that hears whole utterances."""
    cloud.lines.append("stop")
    async with means_of(home, wanted(cloud, "openai/gpt-transcribe")) as means, room(means) as there:
        began = await talkative(there)
        await there.speak("stop")
        over = await there.until("onset-over", after=began, seconds=5)
        assert over["confirmed"]
        await there.until("intent", after=began)
