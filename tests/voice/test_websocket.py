"""Talking to a real `atlas serve` over a WebSocket."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.http.server import Server, served
from tests.voice.caller import calling
from tests.voice.sounds import loudness


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    with served(tmp_path_factory.mktemp("served")) as found:
        yield found


async def test_a_question_is_heard_and_answered_aloud(server: Server) -> None:
    async with calling(server) as caller:
        assert (await caller.message("bot-ready"))["data"]["version"] == "2.2.0"
        await caller.asks()
        assert (await caller.event("wake"))["by"] == "keyword"
        assert "no runs" in (await caller.event("saying"))["text"].lower()
        begun = await caller.event("speech-started")
        assert begun["latency"] < 30
        await caller.event("speech-stopped")
        assert caller.rates == {24_000}
        assert loudness(caller.heard()) > 0.02


async def test_a_server_that_is_told_to_stop_ends_its_conversations(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        async with calling(server) as caller, calling(server, query="?conversation=another-one") as other:
            await caller.asks()
            server.running.send(signal.SIGTERM)
            assert await caller.closed() == (1012, "the server ends")
            assert await other.closed() == (1012, "the server ends")
        ended = await asyncio.to_thread(server.running.ended)
        assert ended.code == 0
        assert "Traceback" not in ended.err, ended.err


async def test_who_comes_back_goes_on_with_the_same_conversation(server: Server) -> None:
    async with calling(server, query="?conversation=my-own-name") as before:
        assert (await before.event("hello"))["conversation"] == "my-own-name"
        async with calling(server, query="?conversation=my-own-name") as after:
            assert (await after.event("hello"))["conversation"] == "my-own-name"
            assert await before.closed() == (1008, "this conversation goes on elsewhere")


async def test_two_who_talk_do_not_hear_each_other(server: Server) -> None:
    token = server.new_token("another", "operate")
    async with calling(server) as one, calling(server, token) as other:
        await one.asks()
        await one.event("speech-stopped")
        assert loudness(one.heard()) > 0.02
        assert other.sound == []
        assert {each["event"] for each in other.events} == {"hello"}
