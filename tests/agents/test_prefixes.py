"""What makers recognise a conversation by stays the same to the byte, turn after turn, whoever goes on (A13)."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.agents.cast import DONE, Answering, Heard, call, lists, runs, ticks, writes
from tests.agents.test_cancelling import become
from tests.agents.world import World, opened, todo
from tests.services.model_wires import Answer, Billed, Say, Think, Wire

USED = Billed(input=50, cached=700, written=30, output=20)
STEPS: Sequence[Answering] = (
    [Think("Hm."), Say('Ümläute, 漢字 \\ "quoted".'), lists("the answer is right")],
    [call("workspace_read", path="answer.txt"), runs("echo 'a < b & c'; false")],
    Say("I think about it."),
    writes(),
    [ticks(1), DONE],
)


def section(raw: str, key: str) -> str:
    """The value of a key of the outermost object, as it was written."""
    decoder, at = json.JSONDecoder(), raw.index("{") + 1
    while True:
        at += len(raw[at:]) - len(raw[at:].lstrip(" ,\n"))
        name, at = decoder.raw_decode(raw, at)
        at += len(raw[at:]) - len(raw[at:].lstrip(" :\n"))
        _, end = decoder.raw_decode(raw, at)
        if name == key:
            return raw[at:end]
        at = end


def same_beginnings(asked: Sequence[Heard]) -> None:
    """Each request begins as the one before did."""
    for before, after in itertools.pairwise(asked):
        one, other = before.asked.raw.decode(), after.asked.raw.decode()
        for key in ("tools", "system") if before.asked.wire == "anthropic" else ("tools",):
            assert section(one, key) == section(other, key)
        messages = "input" if before.asked.wire == "responses" else "messages"
        said, more = section(one, messages), section(other, messages)
        assert len(more) > len(said)
        assert more.startswith(said.removesuffix("]")), (said[-200:], more[len(said) - 200 : len(said) + 50])


def _steps(heard: Heard) -> Answer:
    given = STEPS[min(heard.replies, len(STEPS) - 1)]
    parts = given if isinstance(given, Sequence) else [given]  # pyright: ignore[reportUnknownVariableType]
    return Answer(parts, usage=USED, chunk=200)  # pyright: ignore[reportArgumentType, reportUnknownArgumentType]


@pytest.mark.parametrize("wire", ["anthropic", "chat", "responses"])
async def test_turn_after_turn(tmp_path: Path, wire: Wire) -> None:
    async with opened(tmp_path, wire, cast={"hephaestus": _steps}) as world:
        assert await world.play(todo()) == "completed", await world.told()
        work = world.stage.by("hephaestus")
        assert len(work) == len(STEPS)
        same_beginnings(work)
        if wire == "anthropic":
            assert "Hm." in work[1].asked.raw.decode(), "its reasoning is sent back"
        await _cached_tokens_are_in_the_books(world)


async def test_after_a_takeover(tmp_path: Path) -> None:
    """The first worker gives the TODO back at every turn; another one, with a disk of its own, goes on."""
    async with opened(tmp_path, "anthropic") as world:
        holding = {2, 4}

        def stands_still(heard: Heard) -> Answer:
            answer = _steps(heard)
            if heard.replies in holding:
                holding.discard(heard.replies)
                return replace(answer, hold_after=3)
            return answer

        world.stage.cast["hephaestus"] = stands_still
        await world.submit(todo())
        for number in (3, 6):
            hand = await world.hire()
            await become(lambda: len(world.server.asked) == number, f"request {number}")  # noqa: B023
            await hand.leave()
        await world.hire()
        assert await world.at_rest() == "completed", await world.told()
        work = world.stage.by("hephaestus")
        assert len({each.worker for each in await world.attempts()}) == 3
        assert (await world.todo()).attempt == 0
        assert [each.replies for each in work] == [0, 1, 2, 2, 3, 4, 4]
        assert section(work[2].asked.raw.decode(), "messages") == section(work[3].asked.raw.decode(), "messages")
        same_beginnings([each for number, each in enumerate(work) if number not in (2, 5)])
        assert {section(each.asked.raw.decode(), "tools") for each in work} == {
            section(work[0].asked.raw.decode(), "tools")
        }


async def _cached_tokens_are_in_the_books(world: World) -> None:
    cached = sum(asked.answer.usage.cached for asked in world.server.asked if asked.answer.usage)
    assert cached >= USED.cached * len(STEPS)
    assert (await world.budget()).cached == cached
    assert sum(row.cached for row in await world.calls()) == cached
    assert (await world.service.run(world.run)).spend.cached_tokens == cached
