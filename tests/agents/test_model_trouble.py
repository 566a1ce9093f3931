"""Models that are away, talk nonsense, or will not: the TODO waits where everybody can see it and goes on where it was;
or it is blocked, with the reason (product.md, what peers fail at: 9)."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest

from roles.models.chain import Patience
from tests.agents.cast import DONE, TRY_AGAIN, USUAL, Answering, Heard, Player, acts, call, lists, runs, writes
from tests.agents.world import SMALL, opened, todo
from tests.services.model_wires import Answer, Say, Think, Wire

ONCE = replace(SMALL, patience=Patience(tries=1, first=0.01, longest=0.1))
"""No second try of a call in memory: every failure is a wait in the database."""
JSON = "application/json"
TROUBLE = {
    "its rate is limited": Answer(status=429, headers={"retry-after": "0.05"}),
    "it is overloaded": Answer(status=529),
    "it fails": Answer(status=500, body=b"<html>oops</html>", content_type="text/html"),
    "it breaks off": Answer((Say("I was about to say that"),), cut_at=900),
    "it breaks off at once": Answer(cut_at=1),
    "it fails within its reply": Answer((Say("I was about to say that"),), error_after=3),
    "it answers with something else": Answer(body=b'{"hello": "there"}', content_type=JSON),
    "it answers with a page": Answer(body=b"<html>Sign in</html>", content_type="text/html"),
    "it answers with nothing": Answer(body=b"", content_type=JSON),
    "it answers with an empty stream": Answer(body=b""),
    "it says nothing": Answer(()),
}
LONG = Answer(
    status=400, error={"type": "invalid_request_error", "message": "prompt is too long: 210000 tokens > 200000 maximum"}
)


def at_first(trouble: Answer, times: int, then: Player, when: int = 0) -> Player:
    """Fails so many times once `when` replies are given."""
    left = itertools.count(times, -1)
    return lambda heard: trouble if heard.replies == when and next(left) > 0 else then(heard)


@pytest.mark.parametrize(
    ("what", "wire"),
    [
        *((what, "anthropic") for what in TROUBLE),
        *((what, wire) for what in ("its rate is limited", "it breaks off") for wire in ("chat", "responses")),
    ],
)
async def test_the_same_attempt_goes_on(tmp_path: Path, what: str, wire: Wire) -> None:
    """After three failures in the middle of the work, without repeating what was done."""
    work = acts(runs(f"echo done >> {tmp_path}/effects"), writes(), DONE)
    async with opened(
        tmp_path, wire, cast={"hephaestus": at_first(TROUBLE[what], 3, work, when=1)}, bounds=ONCE
    ) as world:
        assert await world.play(todo()) == "completed", await world.told()
        assert (await world.todo()).attempt == 0
        claims = [each for each in await world.attempts() if each.todo_id == (await world.todo()).id]
        assert len(claims) == 4, "each failure was a wait in the database"
        assert (tmp_path / "effects").read_text() == "done\n"
        assert len(world.stage.by("hephaestus")) == 6
        calls = [call.state for call in await world.calls() if call.role == "hephaestus"]
        assert calls == ["answered", "failed", "failed", "failed", "answered", "answered"]
        assert len(await world.tools()) == 4  # and the report


@pytest.mark.parametrize("role", ["prometheus", "metis", "hephaestus", "oracle", "librarian"])
async def test_any_role_waits_for_its_model(tmp_path: Path, role: str) -> None:
    plan = json.dumps({"atlas": 1, "todos": [todo(verify=[{"run": "sh check.sh"}, {"review": "oracle"}])]})
    players: dict[str, Player] = {
        **USUAL, "prometheus": acts(call("submit_plan", plan=plan)), "oracle": acts(call("verdict", approve=True)),
    }  # fmt: skip
    players[role] = at_first(TROUBLE["it is overloaded"], 3, players[role])
    async with opened(tmp_path, cast=players, bounds=ONCE) as world:
        assert await world.play(goal="Make answer.txt say right.") == "completed", await world.told()
        assert len([each for each in await world.calls() if each.role == role and each.state == "failed"]) >= 1
        assert (await world.todo("plan")).attempt == (await world.todo()).attempt == 0
        assert await world.file("answer.txt") == "right\n"


async def test_a_diagnosis_waits_for_its_model_and_is_not_taken_for_done_work(tmp_path: Path) -> None:
    cast = {"hephaestus": acts(DONE), "oracle": at_first(TROUBLE["it is overloaded"], 2, acts(TRY_AGAIN))}
    async with opened(tmp_path, cast=cast, bounds=ONCE) as world:
        assert await world.play(todo(retries={"max": 1, "backoff": 0.01})) == "failed"
        roles = [each.role for each in world.stage.heard]
        assert roles == ["hephaestus", "oracle", "oracle", "oracle", "hephaestus", "librarian"]


async def test_a_model_that_stays_away_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    plan_is_away = {"prometheus": acts(TROUBLE["it is overloaded"])}
    async with opened(tmp_path, cast=plan_is_away, bounds=ONCE) as world:
        assert await world.play(goal="Anything.") == "blocked"
        _, reason, detail = (await world.told())["plan"]
        assert reason == "model"
        assert "could not answer 7 times in a row" in (detail or "")
        assert len(world.server.asked) == 7


@pytest.mark.parametrize("wire", ["anthropic", "chat", "responses"])
async def test_a_refused_key_blocks_with_a_hint(tmp_path: Path, wire: Wire) -> None:
    refused = Answer(status=401, error={"type": "authentication_error", "message": "invalid x-api-key"})
    async with opened(tmp_path, wire, cast={"hephaestus": acts(refused)}) as world:
        assert await world.play(todo()) == "blocked"
        _, reason, detail = (await world.told())["fix"]
        assert reason == "model"
        assert "refuses the key" in (detail or "")
        assert "Check THE_KEY" in (detail or "")
        assert len([each for each in world.stage.heard if each.role == "hephaestus"]) == 1


async def test_a_model_that_there_is_not_blocks(tmp_path: Path) -> None:
    missing = Answer(status=404, error={"type": "not_found_error", "message": "model: some-model"})
    async with opened(tmp_path, cast={"hephaestus": acts(missing)}) as world:
        assert await world.play(todo()) == "blocked"
        assert "no such model" in ((await world.told())["fix"][2] or "")


async def test_a_model_that_will_not_blocks(tmp_path: Path) -> None:
    async with opened(tmp_path, "anthropic", cast={"hephaestus": acts(Answer((Say("No."),), stop="refused"))}) as world:
        assert await world.play(todo()) == "blocked"
        assert "refused to answer" in ((await world.told())["fix"][2] or "")
        assert len(world.stage.by("hephaestus")) == 1


@pytest.mark.parametrize("lines", [600, 6_000], ids=["of a small model", "of a large model"])
@pytest.mark.parametrize("wire", ["anthropic", "chat"])
async def test_a_conversation_that_is_too_long_goes_on_shortened(tmp_path: Path, wire: Wire, lines: int) -> None:
    """Without what only fits the conversation as it was: a maker's own reasoning."""

    def short_of_breath(heard: Heard) -> Answering:
        if "Where this conversation was" in heard.first:
            return DONE
        if heard.replies == 0:
            return [lists("the answer is right"), writes(), call("checklist", action="complete", item=1)]
        return LONG if heard.replies == 8 else [Think(f"thought {heard.replies}"), runs(f"seq {heard.replies} {lines}")]

    async with opened(tmp_path, wire, cast={"hephaestus": short_of_breath}) as world:
        assert await world.play(todo()) == "completed", await world.told()
        work = world.stage.by("hephaestus")
        long, short = work[8:]
        assert (long.replies, short.replies) == (8, 0)
        assert 3 * len(short.text) < len(long.text)
        for kept in ("# Do this: fix", "1. [x] the answer is right", "+right", f"seq 7 {lines}", f"\n{lines}\n"):
            assert kept in short.first
        if wire == "anthropic":
            assert "thought 7" in long.asked.raw.decode()
        assert "thought" not in short.asked.raw.decode()
        assert (await world.todo()).attempt == 0


@pytest.mark.parametrize("wire", ["anthropic", "chat"])
async def test_a_conversation_that_cannot_be_shortened_blocks(tmp_path: Path, wire: Wire) -> None:
    async with opened(tmp_path, wire, cast={"hephaestus": acts(LONG)}) as world:
        assert await world.play(todo()) == "blocked"
        _, reason, detail = (await world.told())["fix"]
        assert reason == "model"
        assert "too long" in (detail or "")
        assert len(world.stage.by("hephaestus")) <= 2
