"""A role asks a person: nobody waits in memory, and the same conversation goes on with the answer (A8, A9)."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from state.errors import Conflict, InputError
from tests.agents.cast import DONE, Answering, Heard, acts, call, runs, writes
from tests.agents.world import PATIENCE, SMALL, World, opened, todo
from tests.services.model_wires import Wire

WHICH = call("ask_person", question="Which answer is right?", choices=["right", "wrong"])


async def _asked(world: World, number: int) -> bool:
    """Whether there are so many questions, once there are or the run has failed."""
    seen = 0
    async with asyncio.timeout(PATIENCE):
        while len(await world.questions()) < number:
            if (await world.row()).state == "failed":
                return False
            seen = await world.store.changed(seen, 0.05)
    await world.until(lambda run: run.state == "awaiting_input")
    return True


@pytest.mark.parametrize("wire", ["anthropic", "chat"])
async def test_the_same_conversation_goes_on_with_the_answer(tmp_path: Path, wire: Wire) -> None:
    asks = acts([runs(f"echo once >> {tmp_path}/effects"), WHICH, runs("echo after")], writes(), DONE)
    async with opened(tmp_path, wire, cast={"hephaestus": asks}) as world:
        assert await world.play(todo()) == "awaiting_input"
        assert (await world.todo()).state == "awaiting_input"
        assert not world.busy, "nobody waits"
        assert len(world.server.asked) == 1
        (question,) = await world.questions()
        assert (question.text, question.state) == ("Which answer is right?", "pending")
        await world.answer("right")
        await world.until(lambda run: run.state == "completed")
        first, second, third = world.stage.by("hephaestus")
        assert (first.replies, second.replies, third.replies) == (0, 1, 2)
        ran, answer, after = second.turns[-1].results
        assert "once" in (tmp_path / "effects").read_text()
        assert answer == "me answers: right"
        assert "exit code 0" in ran
        assert "after" in after
        assert (tmp_path / "effects").read_text() == "once\n"
        assert (await world.todo()).attempt == 0


async def test_another_worker_goes_on_with_the_answer(tmp_path: Path) -> None:
    async with opened(tmp_path, cast={"hephaestus": acts([writes(), WHICH], DONE)}) as world:
        assert await world.play(todo()) == "awaiting_input"
        await world.hands[0].leave()
        await world.answer("right")
        await world.hire()
        await world.until(lambda run: run.state == "completed")
        assert await world.file("answer.txt", hand=1) == "right\n"
        assert len(world.stage.by("hephaestus")) == 2


async def test_a_worker_with_one_slot_works_on_something_else_meanwhile(tmp_path: Path) -> None:
    def asks(heard: Heard) -> Answering:
        if "# Do this: other" in heard.first:
            return [writes("other.txt"), DONE]
        return [writes(), DONE] if heard.replies else WHICH

    other = todo(id="other", touches=["other.txt"], verify=[{"file": "other.txt"}])
    async with opened(tmp_path, cast={"hephaestus": asks}) as world:
        await world.hire(slots=1)
        assert await world.play(todo(priority=5), other) == "awaiting_input"
        assert {key: state for key, (state, *_) in (await world.told()).items()} == {
            "fix": "awaiting_input", "other": "completed", "report": "pending",
        }  # fmt: skip
        await world.answer("right")
        await world.until(lambda run: run.state == "completed")


async def test_one_question_after_the_other(tmp_path: Path) -> None:
    """Each is asked once, whatever the words; two of one reply as well."""
    same = call("ask_person", question="Sure?")
    async with opened(tmp_path, cast={"hephaestus": acts([same, same], same, [writes(), DONE])}) as world:
        assert await world.play(todo()) == "awaiting_input"
        for number, answer in enumerate(("yes", "no", "perhaps"), start=1):
            assert await _asked(world, number)
            assert len(await world.questions()) == number
            await world.answer(answer)
        await world.until(lambda run: run.state == "completed")
        *_, last = world.stage.by("hephaestus")
        answers = [result for turn in last.turns for result in turn.results]
        assert answers == ["me answers: yes", "me answers: no", "me answers: perhaps"]


async def test_asking_in_between_gives_nobody_more_time(tmp_path: Path) -> None:
    """The seconds of an attempt are those of all workers that had it, however often it paused."""
    again = [runs("sleep 1.5"), call("ask_person", question="Sure?")]
    bounds = replace(SMALL, caps=replace(SMALL.caps, seconds=5.0))
    async with opened(tmp_path, cast={"hephaestus": acts(*[again] * 8)}, bounds=bounds) as world:
        await world.play(todo())
        for number in range(1, 7):
            if not await _asked(world, number):
                break
            await world.answer("yes")
        state, reason, detail = (await world.told())["fix"]
        assert (state, reason) == ("failed", "cap"), detail
        assert "seconds" in (detail or "")
        assert len(await world.questions()) < 6


async def test_an_answer_that_is_no_choice_is_refused_and_an_answer_stands(tmp_path: Path) -> None:
    async with opened(tmp_path, cast={"hephaestus": acts(WHICH, [writes(), DONE])}) as world:
        assert await world.play(todo()) == "awaiting_input"
        (question,) = await world.questions()
        with pytest.raises(InputError):
            await world.service.answer(question.id, "whatever", "me")
        assert (await world.todo()).state == "awaiting_input"
        await world.answer("right")
        with pytest.raises(Conflict):
            await world.service.answer(question.id, "wrong", "you")
        await world.until(lambda run: run.state == "completed")
        assert "me answers: right" in world.stage.by("hephaestus")[-1].text


async def test_a_planner_asks_and_plans_with_the_answer(tmp_path: Path) -> None:
    plan = call("submit_plan", plan=json.dumps({"atlas": 1, "todos": [todo()]}))
    async with opened(tmp_path, cast={"prometheus": acts(WHICH, plan)}) as world:
        assert await world.play(goal="Make it right.") == "awaiting_input"
        await world.answer("right")
        await world.until(lambda run: run.state == "completed")
        assert "me answers: right" in world.stage.by("prometheus")[-1].last


async def test_asking_for_ever_ends(tmp_path: Path) -> None:
    """Every question is a turn, and turns have a cap."""
    async with opened(tmp_path, cast={"hephaestus": acts(WHICH)}) as world:
        await world.play(todo())
        number = 1
        while await _asked(world, number):
            await world.answer("right")
            number += 1
        assert (await world.told())["fix"][1] == "cap"
        assert len(world.stage.by("hephaestus")) == world.bounds.caps.turns
