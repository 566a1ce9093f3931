"""How long a run is in progress, and what happens when that is longer than its budget allows."""

from __future__ import annotations

import pytest
from sqlmodel import select

from state import reading, sweeping
from state.commands import Answer, Complete, ExhaustTime, Hold, NewTodo, Refused, Resume
from state.records import QUEUE
from state.tables import Attempt, Run
from tests.contract.store_world import RUN, World, gate, proof, submission, task


async def run(world: World) -> Run:
    return await world.store.read(lambda session: session.get_one(Run, RUN))


async def submit(world: World, *todos: NewTodo, seconds: float | None = 100.0) -> None:
    command = submission(*todos)
    command.seconds = seconds
    await world.done(command)


async def test_time_is_counted_while_somebody_could_work(world: World) -> None:
    await submit(world, task("a"), gate("ask", "a"))
    world.clock.advance(30)
    assert (await run(world)).since == world.clock.time - 30
    world.clock.advance(20)
    await world.finish("a")
    row = await run(world)
    assert (row.state, row.worked, row.since) == ("awaiting_input", 50, None)
    world.clock.advance(1_000)  # a person thinks
    assert (await world.store.read(sweeping.due)).out_of_time == []
    (question,) = await world.store.read(reading.questions)
    await world.done(Answer(question.id, "yes", "me"))
    assert (await run(world)).worked == 50


async def test_held_is_not_working(world: World) -> None:
    await submit(world, task("a"))
    world.clock.advance(10)
    await world.done(Hold(RUN, "lunch"))
    world.clock.advance(1_000)
    await world.done(Resume(RUN, QUEUE, QUEUE))
    world.clock.advance(5)
    await world.finish("a")
    assert (await run(world)).worked == 15


async def test_a_run_without_time_left_stands_still_with_everything_kept(world: World) -> None:
    await submit(world, task("a"), task("b", "a"))
    claim = await world.claim("a")
    world.clock.advance(99)
    assert isinstance((await world.do(ExhaustTime(RUN)))[0], Refused)
    world.clock.advance(1)
    assert (await world.store.read(sweeping.due)).out_of_time == [
        RUN
    ]  # by the database's own clock, which is later still
    await world.done(ExhaustTime(RUN))
    row = await run(world)
    assert (row.state, row.worked, row.since) == ("budget_exhausted", 100, None)
    assert "wall_clock" in (row.reason or "")
    (attempt,) = await world.store.read(lambda session: session.exec(select(Attempt)).all())
    assert (attempt.outcome, attempt.reason) == ("released", "budget")
    assert await world.refused(Complete(claim.todo, claim.fence, [proof()])) == "lease_lost"
    assert isinstance((await world.do(ExhaustTime(RUN)))[0], Refused)
    await world.done(Resume(RUN, QUEUE, QUEUE, seconds=300))
    await world.finish("a")
    assert (await run(world)).state == "in_progress"


@pytest.mark.parametrize("seconds", [None, 100.0])
async def test_only_those_with_a_limit_end(world: World, seconds: float | None) -> None:
    await submit(world, task("a"), seconds=seconds)
    world.clock.advance(1_000)
    (outcome,) = await world.do(ExhaustTime(RUN))
    assert isinstance(outcome, Refused) == (seconds is None)


async def test_planning_is_a_state_until_the_plan_is_frozen(world: World) -> None:
    await submit(world, task("plan", kind="plan"), seconds=None)
    assert (await run(world)).state == "planning"
    await world.claim("plan")
    row = await run(world)
    assert (row.state, row.planning) == ("planning", True)
