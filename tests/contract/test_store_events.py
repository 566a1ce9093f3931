"""The event log: dense, in order, also for who reads while it is written; and who is woken."""

from __future__ import annotations

import asyncio
import json

from sqlmodel import col, select

from state.commands import Answer, Cancel, Claim, Complete, Delivered, Fail, Refused, Release
from state.records import QUEUE, local_placement
from state.tables import Event
from tests.contract.store_world import RUN, WORKER, World, gate, moves, proof, submission, task, todo_id

HERE = local_placement("boot-1")
ENDS = ("completed", "failed", "cancelled")


async def test_numbers_are_dense_and_the_run_knows_the_last(world: World) -> None:
    await world.submit(task("a"), task("b", "a"), gate("g"), task("c", ("g", "yes")), task("d"))
    await world.finish("a")
    await world.fail("d")
    await world.answer("g", "no")
    await world.do(Claim(todo_id("a"), WORKER, QUEUE), Claim(todo_id("b"), WORKER, QUEUE))  # one is refused
    await world.cancel()
    events = await world.events()
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert (await world.run()).last_event == len(events)


async def test_a_todo_s_story_is_in_its_events(world: World) -> None:
    await world.submit(task("a"))
    await world.done(Release(todo_id("a"), (await world.claim("a")).fence, "drain", WORKER))
    await world.done(Fail(todo_id("a"), (await world.claim("a")).fence, "exit", 'it "broke"\n', 0.0))
    await world.finish("a")
    events = await world.events()
    assert list(moves(events, "a")) == [
        "ready",
        "in_progress",
        "ready",
        "in_progress",
        "ready",
        "in_progress",
        "completed",
    ]
    steps = [event.data for event in events if event.type == "todo.state"]
    assert steps[0] == {"from": None, "to": "ready"}
    assert steps[1] == {"from": "ready", "to": "in_progress", "fence": 1, "attempt": 0, "worker": WORKER}
    assert steps[4] == {"from": "in_progress", "to": "ready", "reason": "exit", "detail": 'it "broke"\n'}
    assert steps[5]["attempt"] == 1


async def test_progress_is_told_by_the_percent(world: World) -> None:
    await world.submit(*(task(f"a{n:03}") for n in range(250)))
    for number in range(250):
        await world.finish(f"a{number:03}")
    told = [event.data for event in await world.events() if event.type == "run.progress"]
    assert len(told) == 99
    percents = [100 * data["settled"] // data["total"] for data in told]
    assert percents == list(range(1, 100))
    last = (await world.events())[-1]
    assert (last.type, last.data["to"], last.data["settled"], last.data["total"]) == (
        "run.state",
        "completed",
        250,
        250,
    )


async def test_what_does_not_apply_is_not_part_of_the_total(world: World) -> None:
    await world.submit(gate("g"), task("a", ("g", "yes")), task("b"))
    await world.answer("g", "no")
    told = [event for event in await world.events() if event.type == "run.progress"]
    assert [event.data for event in told] == [{"settled": 1, "total": 2}]


async def test_blocked_is_part_of_the_total_and_not_settled(world: World) -> None:
    await world.submit(task("a"), task("b"))
    await world.block("a")
    await world.finish("b")
    last = (await world.events())[-1]
    assert last.data == {"from": "in_progress", "to": "blocked", "settled": 1, "total": 2}


async def test_a_reader_that_saw_one_number_has_seen_all_below(world: World) -> None:
    """Several tasks write to two runs at once; readers follow by number and must never find a gap."""
    size = 40
    for run in ("r1", "r2"):
        await world.submit(*(task(f"a{n}", run=run) for n in range(size)), run=run)

    async def work(run: str, first: int) -> None:
        for number in range(first, size, 4):
            await world.finish(f"a{number}", run)

    async def follow(run: str) -> list[int]:
        seen: list[int] = []
        number = 0
        while True:
            query = select(Event).where(Event.run_id == run, col(Event.seq) > len(seen)).order_by(col(Event.seq))
            for event in await world.store.read(lambda session, query=query: session.exec(query).all()):
                assert event.seq == len(seen) + 1
                seen.append(event.seq)
                if event.type == "run.state" and json.loads(event.data)["to"] in ENDS:
                    return seen
            number = await world.store.changed(number, 5.0)

    async with asyncio.TaskGroup() as group:
        followers = [group.create_task(follow(run)) for run in ("r1", "r2")]
        for run in ("r1", "r2"):
            for first in range(4):
                group.create_task(work(run, first))
    assert [len(task.result()) for task in followers] == [len(await world.events(run)) for run in ("r1", "r2")]


async def test_a_refused_command_is_no_event_and_wakes_nobody(world: World) -> None:
    await world.submit(task("a"))
    number = await world.store.changed(0, 1.0)
    while (again := await world.store.changed(number, 0.3)) != number:  # what the submission still causes
        number = again
    for outcome in await world.do(Claim("nowhere", WORKER, QUEUE), Answer("nowhere", "yes", "me")):
        assert isinstance(outcome, Refused)
    assert await world.store.changed(number, 0.3) == number


async def test_waiting_for_a_change_ends_with_it(world: World) -> None:
    number = await world.store.changed(0, 0.0)
    while (again := await world.store.changed(number, 0.3)) != number:
        number = again
    waiting = asyncio.create_task(world.store.changed(number, 60.0))
    await world.submit(task("a"))
    assert await asyncio.wait_for(waiting, 20.0) > number


# --- the outbox ------------------------------------------------------------------------------------------------------


async def test_only_queued_runs_need_wake_ups(world: World) -> None:
    await world.submit(task("a"), task("b", "a"), gate("g"))
    await world.submit(task("c", run="r2"), run="r2", placement=HERE)
    assert await world.outbox() == {todo_id("a")}
    await world.finish("c", "r2")
    await world.done(Delivered([todo_id("a")]))
    assert await world.outbox() == set()
    await world.finish("a")
    assert await world.outbox() == {todo_id("b")}


async def test_every_way_back_to_ready_wakes(world: World) -> None:
    await world.submit(task("a"))
    await world.done(Delivered([todo_id("a")]))
    await world.done(Fail(todo_id("a"), (await world.claim("a")).fence, "exit", "", 0.0))
    assert await world.outbox() == {todo_id("a")}
    await world.done(Delivered([todo_id("a"), "nowhere"]))
    await world.done(Release(todo_id("a"), (await world.claim("a")).fence, "drain", WORKER))
    assert await world.outbox() == {todo_id("a")}


async def test_a_delivered_wake_up_takes_no_newer_one_along(world: World) -> None:
    await world.submit(task("a"), task("b"))
    fence = (await world.claim("a")).fence
    await world.do(Delivered([todo_id("a")]), Release(todo_id("a"), fence, "drain", WORKER))
    assert await world.outbox() == {todo_id("a"), todo_id("b")}
    fence = (await world.claim("a")).fence
    await world.do(Release(todo_id("a"), fence, "drain", WORKER), Delivered([todo_id("a")]))
    assert await world.outbox() == {todo_id("b")}


async def test_one_call_from_the_first_command_to_the_last(world: World) -> None:
    """Everything that a run can live through, in one transaction."""
    outcomes = await world.do(
        submission(task("a"), task("b", "a"), task("c", "b")), Claim(todo_id("a"), WORKER, QUEUE),
        Complete(todo_id("a"), 1, [proof()]), Claim(todo_id("b"), WORKER, QUEUE),
        Fail(todo_id("b"), 1, "exit", "no", 0.0), Claim(todo_id("b"), WORKER, QUEUE),
        Fail(todo_id("b"), 2, "exit", "no"), Cancel(RUN, "me"),
    )  # fmt: skip
    assert [isinstance(outcome, Refused) for outcome in outcomes] == [False] * 7 + [True]
    assert await world.states() == {"a": "completed", "b": "failed", "c": "skipped"}
    events = await world.events()
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
