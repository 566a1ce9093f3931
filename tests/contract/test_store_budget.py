"""One budget for all model calls of a run: reserved before, settled after, whatever happens in between."""

from __future__ import annotations

import asyncio

import pytest
from sqlmodel import select

from state.agent_commands import CallEnd, ReserveCall, SettleCall
from state.agent_tables import BudgetRow, ModelCall
from state.commands import Claim, Done, Outcome, Refused, Release, Resume
from state.records import QUEUE
from tests.contract.store_world import RUN, World, submission, task, todo_id

BIG = (1 << 63) - 1


async def begin(world: World, tokens: int | None = None, nano: int | None = None, *keys: str) -> list[tuple[str, int]]:
    """A run with this budget; its TODOs (`a`, if none is named) are claimed."""
    command = submission(*(task(key, kind="agent") for key in keys or ("a",)))
    command.tokens, command.nano = tokens, nano
    await world.done(command)
    claims = [await world.claim(key) for key in keys or ("a",)]
    return [(claim.todo, claim.fence) for claim in claims]


def reserve(call: str, owner: tuple[str, int], tokens: int = 10, nano: int = 0) -> ReserveCall:
    return ReserveCall(call, *owner, "hephaestus", "model", tokens, nano)


async def budget(world: World) -> BudgetRow:
    found = await world.store.read(lambda session: session.get(BudgetRow, RUN))
    assert found
    return found


async def risks(world: World) -> list[str]:
    return [event.data["text"] for event in await world.events() if event.type == "todo.risk"]


async def test_what_is_reserved_is_held_and_what_was_not_used_comes_back(world: World) -> None:
    (owner,) = await begin(world, 100, 1000)
    await world.done(reserve("c1", owner, 60, 600))
    row = await budget(world)
    assert (row.tokens_held, row.nano_held, row.tokens, row.calls) == (60, 600, 0, 0)
    await world.done(SettleCall("c1", "answered", input=5, cached=3, written=2, output=10, nano=90))
    row = await budget(world)
    assert (row.tokens_held, row.nano_held, row.tokens, row.cached, row.nano, row.calls) == (0, 0, 20, 3, 90, 1)
    assert (row.tokens_withheld, row.nano_withheld) == (0, 0)
    call = await world.store.read(lambda session: session.get(ModelCall, "c1"))
    assert call
    assert (call.state, call.fence, call.attempt, call.output, call.ended_at) == (
        "answered", owner[1], 0, 10, world.clock.time,
    )  # fmt: skip


async def test_busy_is_not_exhausted(world: World) -> None:
    (owner,) = await begin(world, 100)
    await world.done(reserve("c1", owner, 60))
    assert await world.refused(reserve("c2", owner, 41)) == "budget_busy"
    assert await world.refused(reserve("c2", owner, 101)) == "budget"
    await world.done(reserve("c2", owner, 40))
    await world.done(SettleCall("c1", "answered", output=60))
    assert await world.refused(reserve("c3", owner, 41)) == "budget"


async def test_either_limit_counts(world: World) -> None:
    (owner,) = await begin(world, None, 100)
    await world.done(reserve("c1", owner, BIG >> 11, 100))
    assert await world.refused(reserve("c2", owner, 0, 1)) == "budget_busy"
    await world.done(reserve("c2", owner, 5, 0))


async def test_without_a_budget_there_is_a_ledger_all_the_same(world: World) -> None:
    (owner,) = await begin(world)
    await world.done(reserve("c1", owner, 1 << 50, 1 << 50))
    await world.done(SettleCall("c1", "answered", output=7))
    row = await budget(world)
    assert (row.tokens_limit, row.nano_limit, row.tokens, row.calls) == (None, None, 7, 1)


async def test_a_call_is_reserved_once_and_settled_once(world: World) -> None:
    (owner,) = await begin(world, 100)
    await world.done(reserve("c1", owner))
    assert await world.refused(reserve("c1", owner, 11)) == "exists"
    first, second = await world.do(reserve("c2", owner), reserve("c2", owner, 11))
    assert isinstance(first, Done)
    assert isinstance(second, Refused)
    assert second.code == "exists"
    await world.done(SettleCall("c1", "stopped"))
    assert await world.refused(SettleCall("c1", "answered", output=3)) == "not_ready"
    assert await world.refused(reserve("c1", owner)) == "exists", "it is over"
    assert await world.refused(SettleCall("none", "answered")) == "missing"


@pytest.mark.parametrize("end", ["answered", "failed", "stopped", "lost"])
async def test_what_is_said_again_since_nobody_confirmed_it_counts_once(world: World, end: CallEnd) -> None:
    (owner,) = await begin(world, 100, 100)
    first, again = await world.do(reserve("c1", owner, 60, 50), reserve("c1", owner, 60, 50))
    assert isinstance(first, Done)
    assert isinstance(again, Done)
    await world.done(reserve("c1", owner, 60, 50))
    row = await budget(world)
    assert (row.tokens_held, row.nano_held) == (60, 50)
    settled = SettleCall("c1", end, 1, 2, 3, 4, 5)
    for _ in range(2):
        await world.done(settled)
        row = await budget(world)
        assert (row.tokens, row.cached, row.nano, row.tokens_held, row.calls) == (10, 2, 5, 0, 1)


async def test_an_old_fence_reserves_nothing_but_settles(world: World) -> None:
    (owner,) = await begin(world, 100)
    await world.done(reserve("c1", owner))
    await world.done(Release(*owner, "lease_lost", "sweeper"))
    assert await world.refused(reserve("c2", owner)) == "lease_lost"
    await world.done(SettleCall("c1", "answered", output=4))
    assert (await budget(world)).tokens == 4


@pytest.mark.parametrize("estimated", [True, False])
async def test_what_a_lost_call_may_have_used_is_withheld_until_it_is_known(world: World, estimated: bool) -> None:
    (owner,) = await begin(world, 100, 100)
    await world.done(reserve("c1", owner, 60, 60))
    await world.done(SettleCall("c1", "lost", input=5, estimated=estimated))
    row = await budget(world)
    assert (row.tokens, row.tokens_held, row.tokens_withheld, row.nano_withheld) == (5, 0, 55, 60)
    assert await world.refused(reserve("c2", owner, 41)) == "budget"
    await world.done(SettleCall("c1", "answered", input=5, output=5, nano=20))
    row = await budget(world)
    assert (row.tokens, row.nano, row.tokens_withheld, row.nano_withheld, row.calls) == (10, 20, 0, 0, 1)
    assert await world.refused(SettleCall("c1", "lost")) == "not_ready"
    await world.done(reserve("c2", owner, 90, 80))


async def test_an_estimate_keeps_its_rest_for_ever(world: World) -> None:
    (owner,) = await begin(world, 100)
    await world.done(reserve("c1", owner, 60))
    await world.done(SettleCall("c1", "stopped", input=10, output=10, estimated=True))
    assert await world.refused(SettleCall("c1", "answered", input=10)) == "not_ready"
    row = await budget(world)
    assert (row.tokens, row.tokens_withheld) == (20, 40)
    assert await world.refused(reserve("c2", owner, 41)) == "budget"


async def test_four_fifths_are_told_once(world: World) -> None:
    (owner,) = await begin(world, 100)
    for number, used in enumerate((79, 1, 5)):
        await world.done(reserve(f"c{number}", owner, used))
        await world.done(SettleCall(f"c{number}", "answered", output=used))
    assert await risks(world) == ["80% of the budget is used"]
    (told,) = [event for event in await world.events() if event.type == "run.budget"]
    assert told.data == {"exhausted": False, "tokens": 80, "usd": 0.0}
    assert (await budget(world)).warned


async def test_an_exhausted_budget_is_a_clean_state(world: World) -> None:
    first, second = await begin(world, 100, None, "a", "b")
    await world.done(reserve("c1", first, 90))
    await world.done(SettleCall("c1", "answered", output=90))
    await world.done(Release(*first, "budget", "worker-1", tokens=11))
    run = await world.run()
    assert (run.state, run.budget_exhausted) == ("budget_exhausted", True)
    assert "10 of 100 tokens are left, and the next call may take 11" in (run.reason or "")
    assert (await world.todo("a")).state == "ready"
    assert (await world.todo("a")).attempt == 0
    assert [event.data["exhausted"] for event in await world.events() if event.type == "run.budget"] == [False, True]
    assert await world.refused(Claim(todo_id("a"), "w", QUEUE)) == "not_ready"
    await world.done(reserve("c2", second, 10))  # who is at work may use the rest
    await world.done(SettleCall("c2", "answered", output=10))
    await world.done(Resume(RUN, QUEUE, QUEUE, tokens=200))
    run = await world.run()
    assert (run.state, run.budget_exhausted, run.reason) == ("in_progress", False, None)
    again = await world.claim("a")
    assert (again.attempt, again.fence) == (0, 2)
    await world.done(reserve("c3", (again.todo, again.fence), 100))
    assert (await budget(world)).nano_limit is None


async def test_raised_meanwhile_it_is_not_exhausted(world: World) -> None:
    (owner,) = await begin(world, 10)
    assert await world.refused(reserve("c1", owner, 11)) == "budget"
    await world.done(Resume(RUN, QUEUE, QUEUE, tokens=20))
    await world.done(Release(*owner, "budget", "worker-1", tokens=11))
    assert (await world.run()).state == "in_progress"
    await world.claim("a")


async def test_waiting_for_other_calls_takes_its_time(world: World) -> None:
    first, second = await begin(world, 100, None, "a", "b")
    await world.done(reserve("c1", first, 60))
    assert await world.refused(reserve("c2", second, 60)) == "budget_busy"
    await world.done(Release(*second, "budget", "worker-1", after=5.0, tokens=60))
    assert (await world.run()).state == "in_progress"
    assert await world.refused(Claim(second[0], "w", QUEUE)) == "not_ready"
    world.clock.advance(5.0)
    await world.claim("b")


async def test_resuming_with_one_limit_leaves_the_other(world: World) -> None:
    await begin(world, 100, 200)
    await world.done(Resume(RUN, QUEUE, QUEUE, nano=300))
    row = await budget(world)
    assert (row.tokens_limit, row.nano_limit) == (100, 300)


async def test_a_limit_for_a_run_that_had_none(world: World) -> None:
    (owner,) = await begin(world)
    await world.done(Resume(RUN, QUEUE, QUEUE, tokens=50))
    assert await world.refused(reserve("c1", owner, 51)) == "budget"
    await world.done(reserve("c1", owner, 50))


@pytest.mark.parametrize("amount", [-1, 1 << 63, 1 << 54])
async def test_impossible_amounts_are_refused(world: World, amount: int) -> None:
    (owner,) = await begin(world, 100)
    assert await world.refused(reserve("c1", owner, amount)) == "invalid"
    assert await world.refused(reserve("c1", owner, 0, amount)) == "invalid"
    await world.done(reserve("c1", owner))
    assert await world.refused(SettleCall("c1", "answered", output=amount)) == "invalid"
    if abs(amount) != 1 << 54:
        assert await world.refused(Resume(RUN, QUEUE, QUEUE, tokens=amount)) == "invalid"
        other = submission(task("x", run="other"), run="other")
        other.nano = amount
        assert await world.refused(other) == "invalid"


async def test_a_cancelled_run_still_hears_what_its_calls_used(world: World) -> None:
    (owner,) = await begin(world, 100)
    await world.done(reserve("c1", owner, 90))
    await world.cancel()
    ends: tuple[CallEnd, ...] = ("lost", "answered")
    for end in ends:
        await world.done(SettleCall("c1", end, output=85))
    row = await budget(world)
    assert (row.tokens, row.tokens_held, row.tokens_withheld) == (85, 0, 0)
    assert (await world.run()).state == "cancelled"


async def test_many_at_once_never_reserve_more_than_there_is(world: World) -> None:
    owners = await begin(world, 100, None, *(f"t{number}" for number in range(12)))
    calls = [world.do(reserve(f"c{number}", owner, 30)) for number, owner in enumerate(owners)]
    outcomes: list[Outcome] = [outcome for answer in await asyncio.gather(*calls) for outcome in answer]
    assert sum(isinstance(outcome, Done) for outcome in outcomes) == 3
    assert {outcome.code for outcome in outcomes if isinstance(outcome, Refused)} == {"budget_busy"}
    rows = await world.store.read(lambda session: session.exec(select(ModelCall)).all())
    assert len(rows) == 3
    assert (await budget(world)).tokens_held == 90
