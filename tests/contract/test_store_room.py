"""What TODOs ask of a worker, what there is, and who goes first when there is not enough for all."""

from __future__ import annotations

from typing import Any

import pytest

from state.commands import ClaimedMany, ClaimNext, NewTodo, Release, Resume
from state.limits import ROOM_SECONDS
from state.records import QUEUE
from state.room import NOTHING, Room
from tests.contract.store_world import RUN, WORKER, World, task, todo_id

GIB = 1 << 30
ALL = Room(4, 8 * GIB)


def asks(key: str, cpus: float | None = None, memory: int | None = None, **options: Any) -> NewTodo:
    return task(key, cpus=cpus, memory=memory, **options)


async def take(world: World, free: Room | None = ALL, limit: int = 100, *, alone: bool = False) -> list[str]:
    """Keys of what is claimed, and a * when something was passed over."""
    command = ClaimNext(WORKER, QUEUE, limit, room=ALL if free else None, free=free, alone=alone)
    (outcome,) = await world.do(command)
    assert isinstance(outcome, ClaimedMany)
    return [claim.key for claim in outcome.claims] + ["*"] * outcome.passed_over


async def give_back(world: World, key: str) -> None:
    await world.done(Release(todo_id(key), (await world.todo(key)).fence, "drain", WORKER))


async def test_who_does_not_count_takes_all(world: World) -> None:
    await world.submit(asks("a", 64, 1000 * GIB), asks("b"), asks("c", 0.5))
    assert await take(world, None) == ["a", "b", "c"]


async def test_together_they_get_no_more_than_there_is(world: World) -> None:
    await world.submit(*(asks(f"t{number}", 1.5, GIB) for number in range(4)))
    assert await take(world) == ["t0", "t1", "*"]
    assert await take(world, Room(1, 6 * GIB)) == []
    assert await take(world, Room(1.5, GIB)) == ["t2", "*"]
    assert await take(world, Room(1.5, GIB - 1)) == []
    assert await take(world, Room(1.5, GIB)) == ["t3"]


async def test_tenths_of_cores_add_up(world: World) -> None:
    await world.submit(*(asks(f"t{number:02}", 0.1) for number in range(41)))
    found = await take(world)
    assert (len(found), found[-1]) == (41, "*")
    left = ALL
    for _ in range(39):
        left -= Room(0.1)
    assert await take(world, left) == ["t40"]


async def test_memory_alone_counts_too(world: World) -> None:
    await world.submit(asks("a", None, 5 * GIB), asks("b", None, 5 * GIB), asks("c", None, 3 * GIB))
    assert await take(world) == ["a", "c", "*"]


async def test_who_asks_for_nothing_needs_a_place_only(world: World) -> None:
    await world.submit(asks("a"), asks("b", 0.01))
    assert await take(world, NOTHING) == ["a"]


async def test_what_a_claim_gets_is_told(world: World) -> None:
    await world.submit(asks("a", 1.5, GIB), asks("b"))
    (outcome,) = await world.do(ClaimNext(WORKER, QUEUE, 2, room=ALL, free=ALL))
    assert isinstance(outcome, ClaimedMany)
    assert [claim.asks for claim in outcome.claims] == [Room(1.5, GIB), NOTHING]


@pytest.mark.parametrize("large", [asks("a", 5), asks("a", None, 9 * GIB), asks("a", 1, 9 * GIB)])
async def test_more_than_there_is_is_left_to_others_and_hides_nobody(world: World, large: NewTodo) -> None:
    await world.submit(large, asks("b", 4), asks("c", 1))
    world.clock.advance(2 * ROOM_SECONDS)
    assert await take(world, limit=1) == ["b"]
    assert await take(world, Room(1, GIB)) == ["c"]
    assert await take(world) == []


async def test_who_works_alone_gives_all_there_is(world: World) -> None:
    """Nobody else would ever take it."""
    await world.submit(asks("a", 64, 1000 * GIB), asks("b", 1), asks("c"))
    command = ClaimNext(WORKER, QUEUE, 5, run=RUN, room=ALL, free=ALL, alone=True)
    (outcome,) = await world.do(command)
    assert isinstance(outcome, ClaimedMany)
    assert [(claim.key, claim.asks) for claim in outcome.claims] == [("a", ALL), ("c", NOTHING)]
    assert await take(world, NOTHING, alone=True) == []
    await give_back(world, "a")
    assert await take(world, Room(1, GIB), alone=True) == ["b"], "when somebody works, the large one waits"
    assert await take(world, ALL, alone=True) == ["a"]


async def test_small_ones_go_before_a_large_one_until_it_has_waited_long(world: World) -> None:
    await world.submit(asks("a", 4), asks("b0", 1), asks("b1", 1), asks("b2", 1), asks("c"))
    half = Room(2, 8 * GIB)
    assert await take(world, half, limit=1) == ["b0"]
    world.clock.advance(ROOM_SECONDS - 1)
    assert await take(world, half, limit=1) == ["b1"]
    world.clock.advance(1)
    assert await take(world, half) == ["c", "*"], "room is kept, places are not"
    assert await take(world, half) == ["*"]
    assert await take(world) == ["a", "*"]
    await give_back(world, "a")
    assert await take(world, half) == ["b2"], "it waits anew"


async def test_what_comes_first_by_priority_goes_before_what_waits(world: World) -> None:
    await world.submit(asks("large", 4), asks("urgent", 1, priority=9), asks("late", 1))
    world.clock.advance(2 * ROOM_SECONDS)
    assert await take(world, Room(2, GIB)) == ["urgent", "*"]


async def test_waiting_begins_anew_with_each_time_it_is_ready(world: World) -> None:
    await world.submit(asks("large", 4), asks("small", 1))
    world.clock.advance(2 * ROOM_SECONDS)
    await world.claim("large")
    await give_back(world, "large")
    assert await take(world, Room(2, GIB)) == ["small"]


async def test_among_very_many_runs_it_is_the_same(world: World) -> None:
    for run in (f"r{number:02}" for number in range(70)):
        await world.submit(task("t", run=run, cpus=9.0 if run == "r00" else 3.0), run=run)
    assert await take(world, limit=3) == ["t", "*"]
    assert (await world.todo("t", "r00")).state == "ready"
    assert (await world.todo("t", "r01")).state == "in_progress"


async def test_how_long_it_was_ready_is_told(world: World) -> None:
    await world.submit(asks("a"), asks("b"))
    world.clock.advance(5)
    assert (await world.claim("a")).waited == 5
    await give_back(world, "a")
    world.clock.advance(2)
    assert (await world.claim("a")).waited == 2
    await world.hold()
    world.clock.advance(100)
    await world.done(Resume(RUN, QUEUE, QUEUE))
    world.clock.advance(3)
    assert (await world.claim("b")).waited == 3, "nobody could take it while its run was held"
