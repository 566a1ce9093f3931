"""What a "yes" is an answer to, and what was heard of what was said: on a real pipeline, with words that are given."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pipecat.frames.frames import OutputAudioRawFrame

from orchestrator import asking
from orchestrator.cli.compose import House
from roles.models.connect import Provider, connect
from roles.models.port import ChatModel
from tests.services.model_server import ModelServer, model_server
from tests.services.model_wires import Answer, Call, Say
from tests.voice.listening import Prompted
from tests.voice.room import Room, room
from voice.choices import Choices
from voice.sessions import Means
from voice.situation import Situation

ASKING = """
atlas: 1
name: release
todos:
  - {id: gate, ask: Push to production?, choices: [approve, reject]}
"""
SLEEPING = """
atlas: 1
name: nightly
todos:
  - {id: gate, ask: Never answered?, choices: [one, two]}
"""
REMARK = "the parser dislikes empty lines"


@pytest.fixture
def prompted() -> Prompted:
    return Prompted()


@pytest.fixture
def means(home: House, prompted: Prompted) -> Means:
    return Means(home.service, home.store, prompted.engines, Choices(wake="always", chimes=False))


async def told_here(there: Room) -> None:
    """Until what happens from now on is told here."""
    while not there.session.following.told_here:  # noqa: ASYNC110 - it does not tell
        await asyncio.sleep(0.02)


async def asks(home: House) -> None:
    await home.service.submit(asking.plan_of(ASKING), None, by="somebody")


async def says(there: Room, prompted: Prompted, *lines: str) -> dict[str, Any]:
    """One after the other; what is said after the last."""
    told: dict[str, Any] = {}
    for line in lines:
        prompted.lines.append(line)
        said = await there.speak(line)
        taken = await there.until("intent", after=said.onset)
        told = await there.until("saying", after=taken["when"])
        await there.until("speech-stopped", after=told["when"])
    return told


async def test_yes_is_no_answer_to_a_question_that_was_read_before_something_else(
    home: House, means: Means, prompted: Prompted
) -> None:
    await asks(home)
    async with room(means) as there:
        told = await says(there, prompted, "are there any questions", "what is the status", "sounds good")
        assert told["text"].startswith("Approve: Push")
        assert await home.service.questions()
        told = await says(there, prompted, "yes")
        assert "Noted" in told["text"]
        assert not await home.service.questions()


async def test_yes_is_no_answer_to_what_was_read_long_ago(
    home: House, means: Means, prompted: Prompted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voice.conversation._FRESH_SECONDS", 0.0)
    await asks(home)
    async with room(means) as there:
        told = await says(there, prompted, "are there any questions", "yes")
        assert told["text"].startswith("Approve: Push")  # it is read, and asked about again
        assert await home.service.questions()


async def test_yes_is_no_answer_to_what_is_asked_meanwhile(
    home: House, means: Means, prompted: Prompted, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = (await home.service.submit(asking.plan_of(SLEEPING), None, by="somebody")).run
    async with room(means) as there:
        await told_here(there)
        told = await says(there, prompted, "cancel the run")
        assert "are you sure" in told["text"]
        desk = there.session.talk.conversation.desk
        looks = desk.situation

        async def slowly() -> Situation:
            await asyncio.sleep(1.0)
            return await looks()

        monkeypatch.setattr(desk, "situation", slowly)
        prompted.lines.append("yes")
        saying = asyncio.create_task(there.speak("yes"))
        await there.until("turn-started", after=told["when"])
        await asks(home)
        said = await saying
        noted = await there.until("saying", after=said.end)
        assert noted["text"].startswith("Cancelled"), noted
        assert (await home.service.run(run)).state == "cancelled"
        assert await home.service.questions()


async def test_an_answer_is_for_what_was_asked_before_it(home: House, means: Means, prompted: Prompted) -> None:
    await asks(home)
    await home.service.submit(asking.plan_of(ASKING.replace("production", "staging")), None, by="somebody")
    async with room(means) as there:
        first = await says(there, prompted, "are there any questions")
        (other,) = [each for each in await home.service.questions() if each.text not in first["text"]]
        last = await there.until("saying", after=first["when"], where=lambda each: "reject" in each["text"])
        while there.session.talk.speech.taken:  # noqa: ASYNC110 - it does not tell
            await asyncio.sleep(0.02)
        await asyncio.sleep(1.0)
        assert there.of("saying", after=last["when"]) == [], "it listens"
        noted = await says(there, prompted, "yes")
        assert noted["text"].startswith("Noted")
        assert [each.id for each in await home.service.questions()] == [other.id]
        second = await there.until("saying", after=noted["when"], where=lambda each: other.text in each["text"])
        prompted.lines.append("yes")
        await there.until("speech-started", after=second["when"])
        said = await there.speak("yes")  # over its first words
        asked = await there.until("saying", after=said.onset)
        assert asked["text"].startswith("Approve: "), asked
        assert await home.service.questions()


async def test_be_quiet_ends_what_nobody_asked_for(home: House, means: Means, prompted: Prompted) -> None:
    async with room(means) as there:
        await told_here(there)
        await asks(home)
        said = await there.until("saying", where=lambda each: "Push" in each["text"], seconds=20)
        await there.until("speech-started", after=said["when"] - 1)
        prompted.lines.append("be quiet")
        hushed = await there.speak("be quiet")
        await there.until("intent", after=hushed.onset, where=lambda each: each["intent"] == "Quiet")
        await says(there, prompted, "what is the status")
        again = [each for each in there.of("saying", after=hushed.end) if "Push to" in each["text"]]
        assert again == []


async def test_what_left_nobody_has_heard_and_is_told_when_somebody_can(
    home: House, means: Means, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with room(means) as there:
        writes, away = there.loudspeaker.write_audio_frame, True

        async def write(frame: OutputAudioRawFrame) -> bool:
            return False if away else await writes(frame)

        monkeypatch.setattr(there.loudspeaker, "write_audio_frame", write)
        await told_here(there)
        await asks(home)
        said = await there.until("saying", where=lambda each: "Push" in each["text"], seconds=20)
        await there.until("saying", after=said["when"], where=lambda each: "Push" in each["text"])
        assert there.loudspeaker.last_heard(0.0) is None
        away = False
        back = time.monotonic()
        await there.until("speech-stopped", after=back + 0.5)
        assert there.loudspeaker.first_heard(back) is not None


async def test_a_short_question_over_speech_is_taken_soon(home: House, means: Means, prompted: Prompted) -> None:
    async with room(means) as there:
        prompted.lines.extend(["help", "why is that"])
        await there.speak("help")
        await there.until("speech-started")
        said = await there.speak("why")
        turn = await there.until("turn", after=said.end)
        assert turn["when"] - said.end < 4.5, "Pipecat's own watchdog, after five seconds, ended the turn"


@pytest.fixture
async def talker(home: House, prompted: Prompted) -> AsyncGenerator[tuple[Means, ModelServer]]:
    with model_server() as maker:
        provider = Provider(kind="openai", base_url=f"{maker.url}/v1", style="chat")
        model = connect("local/talker", {}, Path("/"), {"local": provider})

        async def models() -> Sequence[ChatModel]:
            return [model]

        yield Means(home.service, home.store, prompted.engines, Choices(wake="always", chimes=False), models), maker
        await model.close()


async def test_what_was_not_read_back_yet_is_not_started_by_a_yes(
    home: House, talker: tuple[Means, ModelServer], prompted: Prompted
) -> None:
    means, maker = talker
    proposal = Call("propose_goal", json.dumps({"goal": "make the parser accept empty lines"}))
    long = "That is so, since it was written for a format that had none of them. Shall I look closer at it?"
    maker.will(Answer((Say(long), proposal)))
    prompted.lines.extend([REMARK, "yes"])
    async with room(means) as there:
        await there.speak(REMARK)
        began = await there.until("speech-started")
        await there.speak("yes")
        taken = await there.until("intent", after=began["when"], where=lambda each: each["intent"] == "Yes")
        told = await there.until("saying", after=taken["when"])
        assert "tart" not in told["text"]
        assert not await home.service.runs()


async def test_a_goal_too_long_to_be_heard_is_refused(
    home: House, talker: tuple[Means, ModelServer], prompted: Prompted
) -> None:
    means, maker = talker
    goals = ["make the parser accept empty lines, " * 20, "make the parser accept empty lines"]
    maker.will(*(Answer((Call("propose_goal", json.dumps({"goal": goal})),)) for goal in goals))
    async with room(means) as there:
        told = await says(there, prompted, REMARK)
        assert goals[1] in told["text"]
        assert "200 characters" in str(maker.last.body["messages"][-1]["content"])
        assert not await home.service.runs()
