"""Services in a cloud that refuse, fail, vanish or talk nonsense: people are told once, and a conversation goes on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.compose import House
from tests.services.ports import free_port
from tests.services.speech_server import KEY, Fault, SpeechServer, speech_server
from tests.voice.caller import calling
from tests.voice.clouds import RECOGNITION, SPEECH, means_of, wanted
from tests.voice.in_process import settled, voice_here
from tests.voice.room import Room, room
from voice.frames import TalkFrame
from voice.saying import Saying

FAULTS: tuple[Fault, ...] = ("trouble", "drop", "garbage")
SOCKETS = ("cartesia/sonic-3", "elevenlabs/eleven_flash_v2_5")
DEAF = "I can't understand you right now."


@pytest.fixture
async def cloud() -> AsyncGenerator[SpeechServer]:
    async with speech_server() as server:
        yield server


async def asks(there: Room, cloud: SpeechServer, seconds: float = 12.0) -> dict[str, Any]:
    """Somebody asks until they are understood."""
    for _ in range(5):
        cloud.lines.append("what is the status")
        said = await there.speak("what is the status")
        try:
            return await there.until(
                "intent", after=said.onset, seconds=seconds / 4, where=lambda each: each["intent"] == "Status"
            )
        except AssertionError:
            cloud.lines.clear()
    raise AssertionError(f"nobody understands: {there.happened[-20:]}")


async def silent(there: Room) -> None:
    """Until nothing is being said."""
    await settled(lambda: int(there.session.talk.speech.taken), 0, "sentences")


@pytest.mark.parametrize("recognition", RECOGNITION)
async def test_a_refused_key_is_told_and_spoken(
    home: House, cloud: SpeechServer, recognition: str, caplog: pytest.LogCaptureFixture
) -> None:
    cloud.keys.clear()
    maker = recognition.partition("/")[0]
    with caplog.at_level(logging.DEBUG, "pipecat"):
        async with means_of(home, wanted(cloud, recognition)) as means, room(means) as there:
            for _ in range(2):
                said = await there.speak("what is the status")
                await there.until("turn-stopped", after=said.onset)
            assert [each["text"] for each in there.of("error")] == [
                f"{maker} does not accept the key. Check {maker.upper()}_API_KEY."
            ]
            deaf = await there.until("saying", where=lambda each: each["text"].startswith(DEAF))
            assert maker in (await there.until("saying", after=deaf["when"]))["text"].lower()
            cloud.keys.add(KEY)
            await there.until("speech-stopped", after=deaf["when"])
            await asks(there, cloud)  # it is tried again
    assert f"{maker} does not accept the key" in caplog.text
    assert KEY not in caplog.text


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("recognition", RECOGNITION)
async def test_recognition_comes_back(
    home: House, cloud: SpeechServer, recognition: str, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "pipecat")
    cloud.always = fault
    async with means_of(home, wanted(cloud, recognition)) as means, room(means) as there:
        said = await there.speak("what is the status")
        await there.until("turn-stopped", after=said.onset)
        await there.until("error")
        cloud.always = None
        await asks(there, cloud)
        assert len({each["text"] for each in there.of("error")}) == len(there.of("error")) <= 2
    assert KEY not in caplog.text


async def test_a_line_that_breaks_in_the_middle_is_made_again(home: House, cloud: SpeechServer) -> None:
    async with means_of(home, wanted(cloud, "deepgram/nova-3")) as means, room(means) as there:
        await asks(there, cloud)
        before = cloud.connections
        cloud.drop()
        await asks(there, cloud)
        assert cloud.connections == before + 1


async def test_words_that_never_come_are_not_waited_for(home: House, cloud: SpeechServer) -> None:
    cloud.lines.append("(nothing comes)")
    async with means_of(home, wanted(cloud, "deepgram/nova-3")) as means, room(means) as there:
        said = await there.speak("what is the status")
        await there.until("turn-stopped", after=said.onset, seconds=8)
        await asks(there, cloud)
        assert not there.of("error")


async def test_an_answer_that_never_comes_is_not_waited_for(home: House, cloud: SpeechServer) -> None:
    cloud.faults.append("silence")
    async with means_of(home, wanted(cloud, "openai/gpt-transcribe")) as means, room(means) as there:
        said = await there.speak("what is the status")
        await there.until("turn-stopped", after=said.onset, seconds=8)
        assert "does not answer" in (await there.until("error"))["text"]
        await asks(there, cloud)


async def test_nobody_is_there(home: House, cloud: SpeechServer) -> None:
    """The conversation begins, and says so."""
    cloud.url = f"http://127.0.0.1:{free_port()}"
    async with means_of(home, wanted(cloud, "deepgram/nova-3", "cartesia/sonic-3")) as means, room(means) as there:
        told = [await there.until("error", where=lambda each, of=of: each["text"].startswith(of)) for of in (
            "deepgram can't be reached", "cartesia can't be reached"
        )]  # fmt: skip
        assert all("voice.urls" in each["text"] for each in told)
        await there.session.talk.worker.queue_frame(TalkFrame(pressed=True))
        await there.until("wake")
        await asyncio.sleep(2)
        assert len(there.of("error")) == 2


@pytest.mark.parametrize("speech", SPEECH)
async def test_a_voice_that_is_refused_is_told_once(
    home: House, cloud: SpeechServer, speech: str, caplog: pytest.LogCaptureFixture
) -> None:
    cloud.keys.clear()
    maker = speech.partition("/")[0]
    with caplog.at_level(logging.DEBUG, "pipecat"):
        async with means_of(home, wanted(cloud, speech=speech)) as means, room(means) as there:
            for text in ("One.", "Two.", "Three."):
                there.session.say(Saying(text, "answer"))
                await there.until("saying", where=lambda each, text=text: each["text"] == text, seconds=15)
            assert [each["text"] for each in there.of("error")] == [
                f"{maker} does not accept the key. Check {maker.upper()}_API_KEY."
            ]
            await silent(there)
            cloud.keys.add(KEY)
            there.session.say(Saying("Four.", "answer"))
            await there.until("speech-started", seconds=20)
            assert cloud.asked[-1].text.strip() == "Four."
    assert KEY not in caplog.text


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("speech", SPEECH)
async def test_speech_comes_back(
    home: House, cloud: SpeechServer, speech: str, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "pipecat")
    if fault == "garbage" and speech.startswith("deepgram"):
        pytest.skip("its answer has no mark by which garbage is known")
    cloud.always = fault
    async with means_of(home, wanted(cloud, speech=speech)) as means, room(means) as there:
        there.session.say(Saying("One.", "answer"))
        await there.until("saying")
        await there.until("error", seconds=15)
        cloud.always = None
        for number in range(6):
            there.session.say(Saying(f"Number {number}.", "answer"))
            try:
                await there.until("speech-started", seconds=6)
            except AssertionError:
                continue
            break
        assert there.of("speech-started")
        assert len({each["text"] for each in there.of("error")}) == len(there.of("error")) <= 2
    assert KEY not in caplog.text


@pytest.mark.parametrize("speech", SOCKETS)
async def test_a_line_that_breaks_while_it_speaks(home: House, cloud: SpeechServer, speech: str) -> None:
    cloud.slowly = True
    async with means_of(home, wanted(cloud, speech=speech)) as means, room(means) as there:
        there.session.say(Saying("This is something that takes a while to say, so that it can break.", "answer"))
        began = await there.until("speech-started")
        await asyncio.sleep(0.5)
        cloud.drop()
        await there.until("speech-stopped", after=began["when"], seconds=15)
        there.session.say(Saying("And this is new.", "answer"))
        await there.until("speech-started", after=began["when"], seconds=15)
        assert cloud.asked[-1].text.strip() == "And this is new."


async def test_a_client_is_shown_why(tmp_path: Path, cloud: SpeechServer) -> None:
    """Who can't be heard, or not be spoken to, sees it."""
    cloud.keys.clear()
    engines = wanted(cloud, "deepgram/nova-3", "cartesia/sonic-3")
    async with voice_here(tmp_path, wanted=engines) as here, calling(here) as caller:
        for maker in ("deepgram", "cartesia"):
            told = f"{maker} does not accept the key. Check {maker.upper()}_API_KEY."
            await caller.event("error", text=told)
            await caller.until(
                lambda told=told: any(
                    each["type"] == "error" and each["data"]["error"] == told for each in caller.messages
                ),
                told,
            )
        assert sum(each["event"] == "error" for each in caller.events) == 2
