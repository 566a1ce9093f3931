"""Talking to a real `atlas serve` over a WebSocket."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.http.server import Server, served
from tests.voice.caller import calling
from tests.voice.sounds import loudness, script


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    with served(tmp_path_factory.mktemp("served")) as found:
        yield found


async def test_a_question_is_heard_and_answered_aloud(server: Server) -> None:
    async with calling(server) as caller:
        assert (await caller.message("bot-ready"))["data"]["version"] == "2.2.0"
        await caller.say(script(0.5, "atlas, what is the status?", 1.0))
        assert (await caller.event("wake"))["by"] == "keyword"
        assert (await caller.event("intent"))["intent"] == "Status"
        assert "no runs" in (await caller.event("saying"))["text"].lower()
        begun = await caller.event("speech-started")
        assert begun["latency"] < 3
        await caller.event("speech-stopped")
        assert caller.rates == {24_000}
        assert loudness(caller.heard()) > 0.02
