"""Of the TODOs in one lane of a run only one is worked on at a time."""

from __future__ import annotations

import asyncio

import pytest

from state.agent_commands import AskPerson
from state.commands import Block, Claim, Claimed, ClaimedMany, ClaimNext, Command, Complete, Fail, Refused, Release
from state.records import QUEUE
from tests.contract.store_world import RUN, World, keys, proof, task, todo_id


def claim(key: str, run: str = RUN) -> Claim:
    return Claim(todo_id(key, run), "w", QUEUE)


async def take(world: World, limit: int = 10) -> list[str]:
    (outcome,) = await world.do(ClaimNext("w", QUEUE, limit))
    assert isinstance(outcome, ClaimedMany)
    return keys([claim.todo for claim in outcome.claims])


async def test_one_at_a_time(world: World) -> None:
    await world.submit(task("a", lane="tree"), task("b", lane="tree"), task("c", lane="docs"), task("d"))
    first = await world.claim("a")
    assert await world.refused(claim("b")) == "not_ready"
    await world.claim("c")
    await world.claim("d")
    await world.verify("a", first.fence)
    assert await world.refused(claim("b")) == "not_ready"
    await world.done(Complete(first.todo, first.fence, [proof()]))
    await world.claim("b")


async def test_lanes_are_a_runs_own(world: World) -> None:
    await world.submit(task("a", lane="tree"))
    await world.submit(task("a", run="other", lane="tree"), run="other")
    await world.claim("a")
    await world.claim("a", run="other")


def ending(word: str, todo: str, fence: int) -> Command:
    match word:
        case "complete":
            return Complete(todo, fence, [proof()])
        case "fail":
            return Fail(todo, fence, "exit", "it broke", 0.0)
        case "block":
            return Block(todo, fence, "image", "no such image")
        case "ask":
            return AskPerson(todo, fence, "t1", "Which?")
        case _:
            return Release(todo, fence, "died", "sweeper")


@pytest.mark.parametrize("word", ["complete", "fail", "block", "ask", "release"])
@pytest.mark.parametrize("together", [True, False])
async def test_whoever_leaves_frees_the_lane(world: World, word: str, together: bool) -> None:
    await world.submit(task("a", kind="agent", lane="tree"), task("b", lane="tree"))
    owner = await world.claim("a")
    commands = [ending(word, owner.todo, owner.fence), claim("b")]
    if together:
        _, outcome = await world.do(*commands)
    else:
        _, outcome = [(await world.do(command))[0] for command in commands]
    assert isinstance(outcome, Claimed)
    if word in ("fail", "release"):
        assert await world.refused(claim("a")) == "not_ready"


async def test_one_batch_takes_one(world: World) -> None:
    await world.submit(*(task(key, lane="tree") for key in "abc"))
    outcomes = await world.do(claim("a"), claim("b"), claim("c"))
    assert [type(outcome) for outcome in outcomes] == [Claimed, Refused, Refused]


async def test_who_looks_for_work_finds_one_of_a_lane(world: World) -> None:
    await world.submit(*(task(key, lane="tree", priority=1) for key in "abc"), task("d"), task("e", lane="docs"))
    taken = await take(world)
    assert sorted(taken) == ["a", "d", "e"]
    assert await take(world) == []


async def test_a_lane_hides_nobody_for_long(world: World) -> None:
    """Asked for less than a lane has ready, one gets one of the lane, and the next time what is not in it."""
    await world.submit(*(task(f"a{number}", lane="tree", priority=1) for number in range(5)), task("z"))
    assert await take(world, 2) == ["a0"]
    assert await take(world, 2) == ["z"]


async def test_a_cancelled_owner_is_no_owner(world: World) -> None:
    await world.submit(task("a", lane="tree"))
    await world.claim("a")
    await world.cancel()
    row = await world.todo("a")
    assert (row.owner, row.state) == (None, "cancelled")


async def test_many_claims_at_once(world: World) -> None:
    names = [f"t{number}" for number in range(20)]
    await world.submit(*(task(name, lane=f"lane-{place % 3}") for place, name in enumerate(names)))
    answers = await asyncio.gather(*(world.do(claim(name)) for name in names))
    assert sum(isinstance(answer[0], Claimed) for answer in answers) == 3
