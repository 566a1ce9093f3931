"""Another plan for what is left of a run: what makes place for it, what stays, what waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from state.agent_commands import AskPerson
from state.commands import Cancel, Claimed, Complete, Done, ExtendRun, Fail, NewTodo, Refused, Replan, Retry
from state.ports import Store
from state.records import ANY_END
from tests.contract.store_world import RUN, FakeClock, World, gate, keys, proof, task, todo_id


async def replan(
    world: World, *replaced: str, others: tuple[str, ...] = (), plan: str = "plan-2", run: str = RUN
) -> Done:
    return await world.done(asked(*replaced, others=others, plan=plan, run=run))


def asked(*replaced: str, others: tuple[str, ...] = (), plan: str = "plan-2", run: str = RUN) -> Replan:
    one, other = ([todo_id(key, run) for key in each] for each in (replaced, others))
    return Replan(run, task(plan, run=run, kind="plan"), one, other, "it tests nothing", "lena")


def frozen(claim: Claimed, *todos: NewTodo) -> ExtendRun:
    return ExtendRun(claim.todo, claim.fence, [proof()], "{}", "sha", list(todos))


def completed(claim: Claimed) -> Complete:
    return Complete(claim.todo, claim.fence, [proof()])


def broken(claim: Claimed) -> Fail:
    return Fail(claim.todo, claim.fence, "exit", "it broke")


def report(*needs: str) -> NewTodo:
    return task("report", *((need, ANY_END) for need in needs), kind="report")


async def test_what_has_not_begun_makes_place(world: World) -> None:
    await world.submit(task("a"), task("b", "a"), task("c"), gate("g"), report("a", "b", "c", "g"))
    going = await world.claim("a")
    done = await replan(world, "a", "b", "c", "g", others=("report",))
    assert keys(done.ready) == ["plan-2"]
    assert await world.states() == {
        "a": "in_progress", "b": "not_applicable", "c": "not_applicable", "g": "not_applicable", "report": "pending",
        "plan-2": "ready",
    }  # fmt: skip
    gone = await world.todo("b")
    assert (gone.reason, gone.detail) == ("replanned", "by lena: it tests nothing")
    assert (await world.question("g")).state == "cancelled"
    assert (await world.run()).state == "in_progress"
    claim = await world.claim("plan-2")
    assert keys((await world.done(frozen(claim, task("d", "a"), task("e")))).ready) == ["e"]
    assert keys((await world.done(completed(going))).ready) == ["d"]
    await world.finish("d")
    assert (await world.states())["report"] == "pending", "it tells of the new ones too"
    assert keys((await world.finish("e")).ready) == ["report"]
    assert (await world.run()).state == "in_progress", "a report is being written"
    await world.finish("report")
    assert (await world.run()).state == "completed"


async def test_what_waits_for_another_attempt_or_an_answer_has_begun(world: World) -> None:
    await world.submit(task("a"), task("b"), task("c", "a"))
    first, second = await world.claim("a"), await world.claim("b")
    await world.done(Fail(first.todo, first.fence, "exit", "1", retry_after=5.0))
    await world.done(AskPerson(second.todo, second.fence, "tool-1", "Which?"))
    await replan(world, "a", "b", "c")
    assert await world.states() == {"a": "ready", "b": "awaiting_input", "c": "not_applicable", "plan-2": "ready"}


async def test_what_ended_without_success_makes_place_and_the_run_goes_on(world: World) -> None:
    await world.submit(task("a"), task("b", "a"), task("c"), report("a", "b", "c"))
    await world.finish("c")
    await world.fail("a")
    await world.finish("report")
    assert (await world.run()).state == "failed"
    await replan(world, "a", "b", "c", others=("report",))
    assert await world.states() == {
        "a": "not_applicable", "b": "not_applicable", "c": "completed", "report": "pending", "plan-2": "ready",
    }  # fmt: skip
    assert (await world.run()).state == "in_progress"
    await world.done(frozen(await world.claim("plan-2"), task("d", "c")))
    await world.finish("d")
    await world.finish("report")
    assert (await world.run()).state == "completed"
    assert await world.refused(Retry(todo_id("a"), "lena")) == "not_allowed"


async def test_a_blocked_todo_makes_place(world: World) -> None:
    await world.submit(task("a"), task("b", "a"))
    await world.block("a")
    assert (await world.run()).state == "blocked"
    await replan(world, "a", "b")
    await world.done(frozen(await world.claim("plan-2"), task("d")))
    await world.finish("d")
    assert (await world.run()).state == "completed"


async def test_what_may_not_be_replaced_waits_for_the_new_plan_instead(world: World) -> None:
    """A push, and the approval before it: no plan of a model may leave them out."""
    await world.submit(task("a"), task("b", "a"), gate("g", "a", "b"), task("push", ("g", "yes")))
    going = await world.claim("a")
    await replan(world, "a", "b", others=("g", "push"))
    await world.done(completed(going))
    assert (await world.states())["g"] == "pending"
    await world.done(frozen(await world.claim("plan-2"), task("d"), task("e", "d")))
    await world.finish("d")
    assert (await world.states())["g"] == "pending"
    await world.finish("e")
    assert await world.states() == {
        "a": "completed", "b": "not_applicable", "g": "awaiting_input", "push": "pending", "plan-2": "completed",
        "d": "completed", "e": "completed",
    }  # fmt: skip
    assert keys((await world.answer("g", "yes")).ready) == ["push"]


async def test_what_was_skipped_and_may_not_be_replaced_is_opened_again(world: World) -> None:
    await world.submit(task("a"), task("mine", "a"), task("after", "mine"), task("push", "mine", "a"))
    await world.fail("a")
    assert (await world.run()).n_skipped == 3
    await replan(world, "a", others=("mine", "after", "push"))
    assert await world.states() == {
        "a": "not_applicable", "mine": "pending", "after": "pending", "push": "pending", "plan-2": "ready",
    }  # fmt: skip
    await world.done(frozen(await world.claim("plan-2"), task("d")))
    assert keys((await world.finish("d")).ready) == ["mine"]
    assert sorted(keys((await world.finish("mine")).ready)) == ["after", "push"]


async def test_what_still_stands_against_a_skipped_one_keeps_it_skipped(world: World) -> None:
    await world.submit(task("a"), task("mine"), task("push", "mine", "a"))
    await world.fail("mine")
    await replan(world, "a", others=("mine", "push"))
    assert (await world.states())["push"] == "skipped"
    await world.done(frozen(await world.claim("plan-2"), task("d")))
    await world.finish("d")
    assert (await world.run()).state == "failed"
    await world.done(Retry(todo_id("mine"), "lena"))
    assert keys((await world.finish("mine")).ready) == ["push"]


async def test_a_plan_that_could_not_be_made_can_be_asked_for_again(world: World) -> None:
    await world.submit(task("a"), task("push", "a"))
    await replan(world, "a", others=("push",))
    await world.fail("plan-2")
    assert await world.states() == {"a": "not_applicable", "push": "skipped", "plan-2": "failed"}
    assert (await world.run()).state == "failed"
    await replan(world, "plan-2", "a", others=("push",), plan="plan-3")
    await world.done(frozen(await world.claim("plan-3"), task("d")))
    await world.finish("d")
    await world.finish("push")
    assert (await world.run()).state == "completed"


async def test_what_a_new_plan_needs_has_begun_or_is_new(world: World) -> None:
    await world.submit(task("a"), task("c"), task("push", "a"))
    going = await world.claim("a")
    await world.finish("c")
    await replan(world, "a", "c", others=("push",))
    claim = await world.claim("plan-2")
    assert await world.refused(frozen(claim, task("d", "push"))) == "invalid", "they would wait for each other"
    done = await world.done(frozen(claim, task("d", "c"), task("e", "c", "a"), task("f", ("a", ANY_END))))
    assert keys(done.ready) == ["d"]
    await world.done(broken(going))
    assert await world.states() == {
        "a": "failed", "c": "completed", "push": "skipped", "plan-2": "completed", "d": "ready", "e": "skipped",
        "f": "ready",
    }  # fmt: skip


async def test_a_need_that_failed_meanwhile(world: World) -> None:
    await world.submit(task("a"), task("push", "a"), report("a", "push"))
    going = await world.claim("a")
    await replan(world, "a", others=("push", "report"))
    claim = await world.claim("plan-2")
    await world.done(broken(going))
    await world.done(frozen(claim, task("d", "a"), task("e", "d"), task("f")))
    states = await world.states()
    assert (states["d"], states["e"], states["f"], states["push"]) == ("skipped", "skipped", "ready", "skipped")
    await world.finish("f")
    await world.finish("report")
    assert (await world.run()).state == "failed"


@pytest.mark.parametrize("state", ["planning", "completed", "cancelled", "missing", "key", "changed"])
async def test_refusals(world: World, state: str) -> None:
    await world.submit(task("a"), task("b"))
    before: tuple[str, ...] = ("a", "b")
    command, code = asked(*before), "not_allowed"
    match state:
        case "planning":
            await replan(world, *before)
            command = asked(*before, "plan-2", plan="plan-3")
        case "completed":
            await world.finish("a")
            await world.finish("b")
        case "cancelled":
            await world.done(Cancel(RUN, "lena"))
        case "missing":
            command, code = asked(run="run-none"), "missing"
        case "key":
            command, code = (
                Replan(RUN, NewTodo("other", "a", "T", "plan", "{}"), [], list(map(todo_id, before)), "", ""),
                "invalid",
            )
        case _:
            command, code = asked("a"), "changed"
    assert await world.refused(command) == code


async def test_a_todo_that_ends_while_a_plan_that_needs_it_is_frozen(
    open_store: Callable[[FakeClock | None], Store],
) -> None:
    """By another process, whose look at what depends on it may be older than the plan: nobody waits for ever."""
    clock = FakeClock()
    one, other = open_store(clock), open_store(clock)
    world, elsewhere = World(one, clock), World(other, clock)
    try:
        for number in range(30):
            run = f"run-{number}"
            await world.submit(task("a", run=run), task("push", "a", run=run), run=run)
            going = await world.claim("a", run)
            await replan(world, "a", others=("push",), run=run)
            claim = await world.claim("plan-2", run)
            plan = frozen(claim, *(task(f"t{place}", "a", run=run) for place in range(3)))
            await asyncio.gather(one.apply([plan]), elsewhere.done(completed(going)))
            states = await world.states(run)
            assert {states[f"t{place}"] for place in range(3)} == {"ready"}
            assert states["push"] == "pending"
    finally:
        await one.close()
        await other.close()


async def test_a_retry_while_another_plan_is_asked_for(open_store: Callable[[FakeClock | None], Store]) -> None:
    """Whoever is first: what was skipped waits for exactly what is there."""
    clock = FakeClock()
    one, other = open_store(clock), open_store(clock)
    world = World(one, clock)
    try:
        for number in range(30):
            run = f"run-{number}"
            todos = [task("mine", run=run), task("a", run=run), task("push", "mine", "a", run=run)]
            await world.submit(*todos, run=run)
            await world.fail("mine", run=run)
            command = asked("a", others=("mine", "push"), run=run)
            outcomes = await asyncio.gather(one.apply([command]), other.apply([Retry(todo_id("mine", run), "ada")]))
            assert not any(isinstance(outcome, Refused) for each in outcomes for outcome in each), outcomes
            assert (await world.states(run))["push"] == "pending"
            await world.done(frozen(await world.claim("plan-2", run), task("d", run=run)))
            await world.finish("d", run)
            assert (await world.states(run))["push"] == "pending"
            await world.finish("mine", run)
            assert (await world.states(run))["push"] == "ready"
    finally:
        await one.close()
        await other.close()
