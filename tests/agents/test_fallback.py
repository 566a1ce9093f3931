"""Chains of models over the makers' own wires: who is away or will not have us is passed over, and the books say who
answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.agents.cast import WORKS, Answering, Heard, Player
from tests.agents.test_model_trouble import ONCE
from tests.agents.world import World, opened, todo
from tests.services.model_wires import Answer, Say, Wire

FIRST, SECOND = "anthropic/the-first", "chat/the-second"
CHAIN = {"default": [FIRST, SECOND]}
AWAY: dict[str, Answer] = {
    "is overloaded": Answer(status=529),
    "has no room for us": Answer(status=429, headers={"retry-after": "3600"}),
    "refuses our key": Answer(status=401, error={"type": "authentication_error", "message": "invalid x-api-key"}),
    "does not know the model": Answer(status=404, error={"type": "not_found_error", "message": "model: the-first"}),
    "breaks off": Answer((Say("I was about to say that"),), cut_at=900),
}


def unless(wire: Wire, trouble: Answer, then: Player, since: int = 0) -> Player:
    """Only the other wire answers, once there were so many replies."""

    def play(heard: Heard) -> Answering:
        return trouble if heard.asked.wire == wire and heard.replies >= since else then(heard)

    return play


async def _answered(world: World) -> list[tuple[str, str]]:
    return [(call.model, call.state) for call in await world.calls() if call.role == "hephaestus"]


@pytest.mark.parametrize("what", AWAY)
async def test_the_second_answers_for_the_first(tmp_path: Path, what: str) -> None:
    cast = {"hephaestus": unless("anthropic", AWAY[what], WORKS)}
    async with opened(tmp_path, cast=cast, bounds=ONCE) as world:
        assert await world.play(todo(), models=CHAIN) == "completed", await world.told()
        assert (await world.todo()).attempt == 0
        assert await _answered(world) == [(FIRST, "failed"), (SECOND, "answered")] * 2
        assert await world.file("answer.txt") == "right\n"


async def test_a_conversation_begun_with_one_maker_goes_on_with_another(tmp_path: Path) -> None:
    """With all that was said and done: the second is sent the first's calls, and their results."""
    cast = {"hephaestus": unless("anthropic", AWAY["is overloaded"], WORKS, since=1)}
    async with opened(tmp_path, cast=cast, bounds=ONCE) as world:
        assert await world.play(todo(), models=CHAIN) == "completed", await world.told()
        assert await _answered(world) == [(FIRST, "answered"), (FIRST, "failed"), (SECOND, "answered")]
        last = world.stage.by("hephaestus")[-1]
        assert last.asked.wire == "chat"
        assert last.called("workspace_write") == 1


async def test_who_will_not_answer_is_not_passed_over(tmp_path: Path) -> None:
    """A refusal is an answer: no other model is talked into it."""
    cast = {"hephaestus": unless("anthropic", Answer((Say("No."),), stop="refused"), WORKS)}
    async with opened(tmp_path, cast=cast, bounds=ONCE) as world:
        assert await world.play(todo(), models=CHAIN) == "blocked"
        assert "refused to answer" in ((await world.told())["fix"][2] or "")
        assert await _answered(world) == [(FIRST, "answered")]


async def test_each_role_has_its_own_chain(tmp_path: Path) -> None:
    models: dict[str, Any] = {"default": [SECOND], "librarian": [FIRST]}
    async with opened(tmp_path) as world:
        assert await world.play(todo(), models=models) == "completed", await world.told()
        wires = {heard.role: heard.asked.wire for heard in world.stage.heard}
        assert wires == {"hephaestus": "chat", "librarian": "anthropic"}


async def test_when_all_refuse_it_is_blocked_with_what_each_said(tmp_path: Path) -> None:
    refused, missing = AWAY["refuses our key"], AWAY["does not know the model"]
    cast = {"hephaestus": unless("chat", missing, unless("anthropic", refused, WORKS))}
    async with opened(tmp_path, cast=cast, bounds=ONCE) as world:
        assert await world.play(todo(), models=CHAIN) == "blocked"
        _, reason, detail = (await world.told())["fix"]
        assert reason == "model"
        for words in (FIRST, "refuses the key", SECOND, "no such model"):
            assert words in (detail or "")
        assert await _answered(world) == [(FIRST, "failed"), (SECOND, "failed")]


async def test_while_one_may_come_back_it_is_waited_for(tmp_path: Path) -> None:
    """The first will never have us; the second is away for a moment."""
    left = iter([AWAY["is overloaded"]] * 2)

    def second(heard: Heard) -> Answering:
        return next(left, None) or WORKS(heard)

    cast = {"hephaestus": unless("anthropic", AWAY["refuses our key"], second)}
    async with opened(tmp_path, cast=cast, bounds=ONCE) as world:
        assert await world.play(todo(), models=CHAIN) == "completed", await world.told()
        failed = [(FIRST, "failed"), (SECOND, "failed")]
        assert await _answered(world) == [*failed, *failed, *([(FIRST, "failed"), (SECOND, "answered")] * 2)]
        assert (await world.todo()).attempt == 0
