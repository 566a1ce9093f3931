"""Whole conversations by services in a cloud: from what somebody says to what is heard of the answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator

import pytest

from orchestrator.cli.compose import House
from tests.services.speech_server import SpeechServer, speech_server
from tests.voice.clouds import RECOGNITION, SPEECH, means_of, wanted
from tests.voice.room import room


@pytest.fixture
async def cloud() -> AsyncGenerator[SpeechServer]:
    async with speech_server() as server:
        yield server


@pytest.mark.parametrize("recognition", RECOGNITION)
async def test_a_question_is_heard(home: House, cloud: SpeechServer, recognition: str) -> None:
    cloud.lines.append("Atlas, what is the status?")
    async with means_of(home, wanted(cloud, recognition)) as means, room(means) as there:
        await there.speak("atlas, what is the status")
        assert (await there.until("intent"))["intent"] == "Status"
        assert (await there.until("saying"))["text"] == "There are no runs."
        assert (await there.until("turn"))["text"] == "Atlas, what is the status?"
        assert not there.of("error")


@pytest.mark.parametrize("speech", SPEECH)
async def test_an_answer_is_said(home: House, cloud: SpeechServer, speech: str) -> None:
    cloud.lines.append("what is the status")
    async with means_of(home, wanted(cloud, "deepgram/nova-3", speech)) as means, room(means) as there:
        await there.speak("what is the status")
        began = await there.until("speech-started")
        await there.until("speech-stopped", after=began["when"], seconds=20)
        assert [each.text.strip() for each in cloud.asked] == ["There are no runs."]
        assert cloud.asked[0].whole
        heard = sum(each.seconds for each in there.loudspeaker.written if each.level > 1_000)
        assert heard == pytest.approx(cloud.asked[0].sent, abs=0.3)  # pyright: ignore[reportUnknownMemberType]
        assert not there.of("error")
        assert not there.session.busy


async def test_a_whole_command_ends_its_turn_at_once(home: House, cloud: SpeechServer) -> None:
    cloud.lines.append("Stop.")
    async with means_of(home, wanted(cloud, "deepgram/nova-3")) as means, room(means) as there:
        await there.speak("stop")
        heard = await there.until("heard")
        turn = await there.until("turn")
        assert turn["when"] - heard["when"] < 0.3


async def test_what_comes_in_parts_is_one_command(home: House, cloud: SpeechServer) -> None:
    """Deepgram tells the words before a pause on their own: "stop" is not done before "the parser run" is heard."""
    cloud.lines.append("stop the parser run")
    async with means_of(home, wanted(cloud, "deepgram/nova-3")) as means, room(means) as there:
        await there.speak("stop the parser run")
        assert (await there.until("turn"))["text"] == "stop the parser run"
        assert [each["text"] for each in there.of("heard")] == ["stop the parser run"]


async def test_nothing_leaves_before_the_wake_word(home: House, cloud: SpeechServer) -> None:
    engines = wanted(cloud, "deepgram/nova-3", "cartesia/sonic-3")
    async with means_of(home, engines, "keyword") as means, room(means) as there:
        await there.speak("the weather is very nice today and the birds are singing")
        await asyncio.sleep(1.0)
        assert not there.of("wake")
        assert not cloud.sound
        asked = 0.0
        cloud.lines.extend(["so atlas, what is the status"] * 8)
        for _ in range(8):
            asked = time.monotonic()
            await there.speak("atlas, what is the status")
            try:
                await there.until("intent", after=asked, seconds=4)
            except AssertionError:
                continue  # the wake word is missed now and then
            break
        assert cloud.sound
        assert there.of("turn")[-1]["text"] == "atlas, what is the status"
        await there.until("speech-started", after=asked)
        assert cloud.asked[-1].text == "There are no runs."


@pytest.mark.parametrize("recognition", RECOGNITION)
async def test_noise_is_nothing(home: House, cloud: SpeechServer, recognition: str) -> None:
    async with means_of(home, wanted(cloud, recognition)) as means, room(means) as there:
        await there.speak("mm")
        await there.until("voice-stopped")
        await there.until("turn-stopped")
        assert not there.of("heard")
        assert not there.of("error")
