"""Many commands in one transaction: one bad command never sinks its neighbours."""

from __future__ import annotations

import asyncio
import logging

import pytest

from state.commands import (
    Claim,
    Claimed,
    Command,
    Complete,
    Done,
    Fail,
    NewTodo,
    Refused,
    Say,
    WorkerEnded,
    WorkerStarted,
)
from state.errors import StoreUnavailable
from state.records import QUEUE
from tests.contract.store_world import RUN, WORKER, World, proof, submission, task, todo_id

BAD: dict[str, Command] = {
    "NUL": Say(todo_id("x"), 1, "todo.log", "\0"),
    "half a character": Fail(todo_id("x"), 1, "exit", "\ud83d"),
    "a key twice": submission(task("a", run="bad"), NewTodo("other", "a", "", "task", ""), run="bad"),
    "a todo of another run": submission(NewTodo(todo_id("x"), "a", "", "task", ""), run="bad"),
    "an absurd number": submission(task("a", run="bad", priority=1 << 90), run="bad"),
    "a worker twice": WorkerStarted("known", "host", 1),
    "an unknown run": Claim("nowhere", WORKER, QUEUE),
    "an infinite wait": Fail(todo_id("x"), 1, "exit", "", float("inf")),
}


@pytest.mark.parametrize("bad", BAD)
async def test_a_bad_command_among_two_hundred(world: World, bad: str) -> None:
    await world.done(WorkerStarted("known", "host", 1))
    await world.submit(task("x"))
    await world.claim("x")
    commands: list[Command] = [submission(task("a", run=f"r{n}"), run=f"r{n}") for n in range(200)]
    commands[77:77] = [BAD[bad]]
    calls = await asyncio.gather(*(world.store.apply([command]) for command in commands))
    outcomes = [outcome for (outcome,) in calls]
    assert [place for place, outcome in enumerate(outcomes) if isinstance(outcome, Refused)] == [77]
    assert all([await world.states(f"r{n}") == {"a": "ready"} for n in (0, 76, 77, 199)])


async def test_in_one_call_too_and_all_of_them_at_once(world: World) -> None:
    await world.done(WorkerStarted("known", "host", 1))
    await world.submit(task("x"))
    await world.claim("x")
    good = [submission(task("a", run=f"r{n}"), run=f"r{n}") for n in range(len(BAD))]
    commands = [command for pair in zip(BAD.values(), good, strict=True) for command in pair]
    outcomes = await world.do(*commands)
    assert [isinstance(outcome, Refused) for outcome in outcomes] == [True, False] * len(BAD)
    assert (await world.todo("x")).state == "in_progress"


async def test_what_the_database_itself_refuses_is_undone_alone(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is wrong with the worker but that there is one: only the database knows."""
    await world.done(WorkerStarted("known", "host", 1))
    with caplog.at_level(logging.WARNING):
        outcomes = await world.do(
            submission(task("a")), Claim(todo_id("a"), WORKER, QUEUE), WorkerStarted("known", "host", 1),
            Complete(todo_id("a"), 1, [proof()]), WorkerStarted("other", "host", 1), WorkerEnded("other"),
        )  # fmt: skip
    assert [type(outcome) for outcome in outcomes] == [Done, Claimed, Refused, Done, Done, Done]
    assert "WorkerStarted" in caplog.text
    assert (await world.run()).state == "completed"
    events = await world.events()
    assert [event.seq for event in events] == list(range(1, len(events) + 1))


async def test_an_empty_call_is_nothing(world: World) -> None:
    assert await world.do() == []


async def test_a_caller_that_gives_up_changes_nothing_for_the_others(world: World) -> None:
    calls = [
        asyncio.ensure_future(world.store.apply([submission(task("a", run=f"r{n}"), run=f"r{n}")])) for n in range(9)
    ]
    calls[4].cancel()
    done = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(outcome, asyncio.CancelledError) for outcome in done] == [n == 4 for n in range(9)]
    assert await world.states("r8") == {"a": "ready"}


async def test_a_closed_store_says_so(world: World) -> None:
    await world.store.close()
    await world.store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await world.do(submission(task("a")))
    with pytest.raises(StoreUnavailable, match="closed"):
        await world.run(RUN)


async def test_closing_finishes_what_was_asked(world: World) -> None:
    asked = [
        asyncio.ensure_future(world.store.apply([submission(task("a", run=f"r{n}"), run=f"r{n}")])) for n in range(50)
    ]
    await asyncio.sleep(0)  # they have been put into the queue
    await world.store.close()
    assert [type(outcome) for call in asked for outcome in await call] == [Done] * 50


async def test_what_a_query_raises_reaches_its_caller(world: World) -> None:
    def query(_session: object) -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await world.store.read(query)
