"""What is no command is answered by a model: over real HTTP, sentence by sentence, and no longer than wanted."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Generator, Sequence
from pathlib import Path

import pytest

from orchestrator.cli.compose import House
from roles.models.connect import Provider, connect
from roles.models.port import ChatModel
from tests.services.model_server import ModelServer, model_server
from tests.services.model_wires import Answer, Call, Say
from tests.voice.listening import Prompted
from tests.voice.room import room
from voice.choices import Choices
from voice.sessions import Means

QUESTION = "tell me how it is going with everything please"


@pytest.fixture
def maker() -> Generator[ModelServer]:
    with model_server() as server:
        yield server


@pytest.fixture
def prompted() -> Prompted:
    return Prompted()


@pytest.fixture
async def means(home: House, maker: ModelServer, prompted: Prompted) -> AsyncGenerator[Means]:
    provider = Provider(kind="openai", base_url=f"{maker.url}/v1", style="chat")
    model = connect("local/talker", {}, Path("/"), {"local": provider})

    async def models() -> Sequence[ChatModel]:
        return [model]

    yield Means(home.service, home.store, prompted.engines, Choices(wake="always"), models)
    await model.close()


async def test_sentences_are_said_while_the_rest_is_written(
    means: Means, maker: ModelServer, prompted: Prompted
) -> None:
    maker.will(Answer((Say("It goes well. Nothing failed. " + "And more of it comes. " * 40),), delay=0.05))
    prompted.lines.append(QUESTION)
    async with room(means) as there:
        said = await there.speak(QUESTION)
        first = await there.until("saying", after=said.onset)
        assert first["text"] == "It goes well."
        await there.until("speech-started", after=said.onset)
        assert not maker.last.whole


async def test_who_speaks_over_it_ends_the_model_s_answer(means: Means, maker: ModelServer, prompted: Prompted) -> None:
    maker.will(
        Answer((Say("It goes well. " + "And more of it comes, as long as nobody stops it. " * 200),), delay=0.05)
    )
    prompted.lines.extend([QUESTION, "stop talking"])
    async with room(means) as there:
        await there.speak(QUESTION)
        began = await there.until("speech-started")
        said = await there.speak("stop talking")
        over = await there.until("onset-over", after=began["when"])
        assert over["confirmed"], said
        assert maker.last.closed.wait(5)
        assert maker.last.closed_at - over["when"] < 1.0  # 100 ms is the aim, ten times that the bound
        count = len(there.of("saying"))
        await there.until("intent", after=over["when"], where=lambda each: each["intent"] == "Quiet")
        assert len(there.of("saying")) == count


async def test_what_it_proposes_is_read_back_and_started_by_a_yes(
    means: Means, home: House, maker: ModelServer, prompted: Prompted
) -> None:
    goal = "make the parser accept empty lines"
    maker.will(Answer((Call("propose_goal", json.dumps({"goal": goal})),)))
    prompted.lines.extend(["the parser dislikes empty lines", "yes"])
    async with room(means) as there:
        said = await there.speak("the parser dislikes empty lines")
        asked = await there.until("saying", after=said.onset)
        assert goal in asked["text"]
        assert not await home.service.runs()
        await there.until("speech-stopped", after=asked["when"])
        await there.speak("yes")
        started = await there.until("saying", after=asked["when"] + 0.01)
        assert "tarted" in started["text"] or "tarting" in started["text"]
        (run,) = await home.service.runs()
        assert run.goal == goal


async def test_it_looks_at_what_there_is_and_what_it_reads_is_data(
    means: Means, maker: ModelServer, prompted: Prompted
) -> None:
    maker.will(Answer((Call("look_at_runs"),)), Answer((Say("There is nothing going on."),)))
    prompted.lines.append(QUESTION)
    async with room(means) as there:
        said = await there.speak(QUESTION)
        told = await there.until("saying", after=said.onset)
        assert told["text"] == "There is nothing going on."
        result = str(maker.last.body["messages"][-1]["content"])
        assert result.startswith("<data>")


async def test_a_model_that_is_away_is_told_and_nothing_hangs(
    means: Means, maker: ModelServer, prompted: Prompted
) -> None:
    maker.otherwise = Answer(status=401, body=b'{"error": {"message": "no such key"}}', content_type="application/json")
    prompted.lines.extend([QUESTION, "what is the status"])
    async with room(means) as there:
        said = await there.speak(QUESTION)
        told = await there.until("saying", after=said.onset)
        assert "did not work" in told["text"]
        await there.until("speech-stopped", after=told["when"])
        began = time.monotonic()
        await there.speak("what is the status")
        await there.until("saying", after=began, where=lambda each: "no runs" in each["text"])
