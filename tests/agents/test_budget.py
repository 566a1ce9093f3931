"""One budget for all that models do in a run: never exceeded by what their server counted (product.md, what peers fail
at: 7, unbounded spend)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest

from orchestrator.plan.document import Budget
from state.errors import InputError
from state.records import QUEUE
from tests.agents.cast import DONE, Answering, Heard, Player, writes
from tests.agents.world import World, opened, todo
from tests.services.model_wires import Answer, Billed, Part, Say, Wire

MANY = 8
BUDGET = 80_000
USED = Billed(input=3_000, cached=400, written=100, output=500)


def many() -> list[dict[str, object]]:
    """TODOs that do not meet."""
    return [
        todo(id=f"fix-{n}", prompt=f"Make {n}.txt say right.", touches=[f"{n}.txt"],
             verify=[{"run": f"grep -qx right {n}.txt"}])
        for n in range(MANY)
    ]  # fmt: skip


def costly(*parts: Part) -> Answer:
    return Answer(parts, usage=USED, chunk=200)


def _works(heard: Heard) -> Answering:
    number = heard.first.partition("# Do this: fix-")[2][0]
    return costly(DONE) if heard.replies else costly(Say("I shall."), writes(f"{number}.txt"))


def _breaks_off_at_times() -> Player:
    """Every third request is cut off in its middle, where a maker bills what was sent and says nothing of it."""
    numbers = itertools.count(1)

    def answer(heard: Heard) -> Answering:
        if next(numbers) % 3:
            return _works(heard)
        return Answer((Say("word " * 300),), usage=USED, chunk=200, cut_at=3_000)

    return answer


def _charged(world: World) -> int:
    return sum(asked.charged for asked in world.server.asked)


@pytest.mark.parametrize("wire", ["anthropic", "chat"])
async def test_many_at_once_stay_within_the_budget_and_go_on_with_a_higher_one(tmp_path: Path, wire: Wire) -> None:
    async with opened(tmp_path, wire, cast={"hephaestus": _works}) as world:
        await world.hire(slots=MANY)
        state = await world.play(*many(), concurrency=MANY, budget={"tokens": BUDGET})
        assert state == "budget_exhausted"
        assert BUDGET / 3 < _charged(world) <= BUDGET, _charged(world)
        assert all(state in ("ready", "completed", "pending") for state, *_ in (await world.told()).values())
        asked = len(world.server.asked)
        await world.service.resume(world.run, QUEUE, Budget(tokens=20 * BUDGET))
        assert await world.at_rest() == "completed"
        assert len(world.server.asked) > asked
        await _books_are_right(world)


async def test_calls_that_break_off_are_within_the_budget_too(tmp_path: Path) -> None:
    async with opened(tmp_path, "anthropic", cast={"hephaestus": _breaks_off_at_times()}) as world:
        await world.hire(slots=MANY)
        state = await world.play(*many(), concurrency=MANY, budget={"tokens": BUDGET})
        assert state in ("budget_exhausted", "completed")
        budget = await world.budget()
        assert _charged(world) <= budget.tokens + budget.tokens_withheld <= BUDGET
        assert any(not asked.whole for asked in world.server.asked)
        await _books_are_right(world)


async def _books_are_right(world: World) -> None:
    """What was told by the server is what the ledger says, call by call; nothing is held any more."""
    told = [asked.answer.usage for asked in world.server.asked if asked.whole]
    rows = [row for row in await world.calls() if not row.estimated]
    assert _sum(told) == (
        sum(row.input for row in rows), sum(row.cached for row in rows), sum(row.written for row in rows),
        sum(row.output for row in rows),
    )  # fmt: skip
    assert len(rows) == len(told)
    budget = await world.budget()
    assert (budget.tokens_held, budget.nano_held) == (0, 0)
    every = await world.calls()
    assert budget.tokens == sum(row.input + row.cached + row.written + row.output for row in every)
    assert budget.cached == sum(row.cached for row in every)


def _sum(used: Sequence[Billed | None]) -> tuple[int, int, int, int]:
    found = [each for each in used if each]
    return (
        sum(each.input for each in found), sum(each.cached for each in found), sum(each.written for each in found),
        sum(each.output for each in found),
    )  # fmt: skip


async def test_money_alone_is_no_budget_for_a_model_whose_price_nobody_knows(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        with pytest.raises(InputError) as refused:
            await world.submit(todo(), budget={"usd": 1.0})
        assert "chat/some-model" in str(refused.value)
        assert "token" in str(refused.value)
        assert await world.play(todo(), budget={"usd": 1.0, "tokens": 1_000_000}) == "completed"


async def test_nor_for_one_that_only_the_settings_name(tmp_path: Path) -> None:
    async with opened(tmp_path, settings_models=True) as world:
        assert await world.play(todo(), budget={"usd": 1.0}, models={}) == "blocked"
        _, reason, detail = (await world.told())["fix"]
        assert reason == "model"
        assert "chat/some-model" in (detail or "")
        assert "costs is not known" in (detail or "")
        assert not world.server.asked
