"""Cancel, hold, resume: what people do to a whole run; and which state the run is in."""

from __future__ import annotations

import pytest

from state.commands import Claim, Complete, Hold, Resume, Retry
from state.records import QUEUE, local_placement
from tests.contract.store_world import RUN, START, World, gate, keys, proof, task, todo_id

HERE, THERE = local_placement("boot-1"), local_placement("boot-2")


async def test_cancel_ends_everything_that_is_open(world: World) -> None:
    await world.submit(
        task("done"), task("failed"), task("behind", "failed"), task("blocked"), task("ready"), task("going"),
        task("waiting", "ready"), gate("asking"),
    )  # fmt: skip
    await world.finish("done")
    await world.fail("failed")
    await world.block("blocked")
    fence = (await world.claim("going")).fence
    world.clock.advance(3.0)
    await world.cancel()
    ended = dict.fromkeys(("blocked", "ready", "going", "waiting", "asking"), "cancelled")
    assert await world.states() == {"done": "completed", "failed": "failed", "behind": "skipped", **ended}
    run = await world.run()
    assert (run.state, run.cancelled, run.reason, run.ended_at) == ("cancelled", True, "cancelled by person", START + 3)
    row = await world.todo("going")
    assert (row.fence, row.owner, row.deadline, row.ended_at) == (fence + 1, None, None, START + 3.0)
    assert await world.refused(Complete(todo_id("going"), fence, [proof()])) == "lease_lost"
    last = (await world.events())[-1]
    assert (last.type, last.data["to"], last.data["reason"]) == ("run.state", "cancelled", "cancelled by person")


async def test_cancelled_is_final(world: World) -> None:
    await world.submit(task("a"), task("b"))
    await world.fail("a")
    await world.cancel()
    assert await world.refused(Retry(todo_id("a"), "me")) == "not_allowed"
    assert await world.refused(Resume(RUN, QUEUE, QUEUE)) == "not_allowed"
    assert await world.refused(Hold(RUN, "me")) == "not_allowed"
    assert await world.refused(Claim(todo_id("b"), "w", QUEUE)) == "not_ready"


async def test_a_held_run_finishes_what_goes_on_and_begins_nothing(world: World) -> None:
    await world.submit(task("a"), task("b"), task("c", "a"))
    fence = (await world.claim("a")).fence
    await world.hold()
    run = await world.run()
    assert (run.state, run.held, run.reason) == ("held", True, "pause")
    await world.done(Complete(todo_id("a"), fence, [proof()]))
    assert await world.states() == {"a": "completed", "b": "ready", "c": "ready"}
    for key in "bc":
        assert await world.refused(Claim(todo_id(key), "w", QUEUE)) == "not_ready"
    assert keys((await world.done(Resume(RUN, QUEUE, QUEUE))).ready) == ["b", "c"]
    assert ((await world.run()).state, (await world.run()).reason) == ("in_progress", None)
    await world.finish("b")
    await world.finish("c")
    assert (await world.run()).state == "completed"


async def test_a_run_that_settles_while_held_has_ended(world: World) -> None:
    await world.submit(task("a"))
    fence = (await world.claim("a")).fence
    await world.hold()
    await world.done(Complete(todo_id("a"), fence, [proof()]))
    assert (await world.run()).state == "completed"
    assert await world.refused(Resume(RUN, QUEUE, QUEUE)) == "not_allowed"


async def test_a_run_that_ended_can_be_neither_held_nor_resumed_nor_cancelled(world: World) -> None:
    await world.submit(task("a"))
    await world.fail("a")
    ended = (await world.run()).ended_at
    world.clock.advance(5.0)
    for command in (Hold(RUN, "me"), Resume(RUN, HERE, QUEUE)):
        assert await world.refused(command) == "not_allowed"
    assert (await world.run()).ended_at == ended


async def test_resume_moves_a_run_to_who_resumes_it(world: World) -> None:
    await world.submit(task("a"), placement=HERE)
    assert await world.outbox() == set()
    await world.hold()
    await world.done(Resume(RUN, THERE, HERE))
    assert await world.refused(Claim(todo_id("a"), "w", HERE)) == "not_ready"
    assert (await world.run()).placement == THERE
    await world.finish("a")


async def test_of_two_who_resume_one_wins(world: World) -> None:
    await world.submit(task("a"), placement=HERE)
    await world.hold()
    await world.done(Resume(RUN, THERE, HERE))
    assert await world.refused(Resume(RUN, QUEUE, HERE)) == "not_allowed"


async def test_resuming_into_the_queue_wakes_other_processes(world: World) -> None:
    await world.submit(task("a"), task("b", "a"), placement=HERE)
    await world.hold()
    await world.done(Resume(RUN, QUEUE, HERE))
    assert await world.outbox() == {todo_id("a")}


async def test_only_the_owner_of_a_run_holds_it_when_it_leaves(world: World) -> None:
    """A process that ends holds its run, unless somebody has resumed it elsewhere meanwhile."""
    await world.submit(task("a"), placement=HERE)
    assert await world.refused(Hold(RUN, "gone", expected=THERE)) == "not_allowed"
    await world.done(Hold(RUN, "gone", expected=HERE))
    await world.done(Resume(RUN, THERE, HERE))
    assert await world.refused(Hold(RUN, "gone", expected=HERE)) == "not_allowed"


async def test_holding_twice_keeps_the_newer_reason(world: World) -> None:
    await world.submit(task("a"))
    await world.hold("one")
    await world.hold("two")
    assert (await world.run()).reason == "two"
    reasons = [event.data["reason"] for event in await world.events() if event.type == "run.state"]
    assert reasons == ["one", "two"]


async def test_a_blocked_run_stays_blocked_while_held_and_after(world: World) -> None:
    await world.submit(task("a"), task("b", "a"))
    await world.block("a")
    await world.hold()
    assert (await world.run()).state == "blocked"
    await world.done(Retry(todo_id("a"), "me"))
    assert (await world.run()).state == "held"
    await world.done(Resume(RUN, QUEUE, QUEUE))
    await world.finish("a")
    await world.finish("b")
    assert (await world.run()).state == "completed"


@pytest.mark.parametrize(
    ("steps", "state"),
    [
        ("", "in_progress"),
        ("claim a", "in_progress"),
        ("finish a", "in_progress"),
        ("finish a, finish b", "awaiting_input"),
        ("finish a, block b", "awaiting_input"),
        ("finish a, block b, answer g", "blocked"),
        ("fail a, fail b, answer g", "failed"),
        ("block a, fail b, answer g", "blocked"),
        ("finish a, finish b, answer g", "completed"),
        ("finish a, fail b, answer g", "failed"),
        ("fail a", "in_progress"),
        ("fail a, cancel", "cancelled"),
        ("finish a, finish b, hold", "held"),
        ("finish a, finish b, hold, answer g", "completed"),
        ("block a, block b, hold", "held"),
        ("block a, block b, answer g, hold", "blocked"),
    ],
)
async def test_the_state_of_a_run_follows_from_its_todos(world: World, steps: str, state: str) -> None:
    await world.submit(task("a"), task("b"), gate("g"))
    for step in filter(None, steps.split(", ")):
        verb, _, key = step.partition(" ")
        match verb:
            case "answer":
                await world.answer(key, "yes")
            case "hold" | "cancel":
                await getattr(world, verb)()
            case _:
                await getattr(world, verb)(key)
    run = await world.run()
    assert run.state == state
    assert (run.ended_at is not None) == (state in ("completed", "failed", "cancelled"))
    states = list((await world.states()).values())
    counted = {name: getattr(run, f"n_{name}") for name in set(states)}
    assert counted == {name: states.count(name) for name in counted}
