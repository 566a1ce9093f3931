"""Frozen plans, needs that any end meets, and reports, whose end says nothing about their run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest
from sqlmodel import select

from state.commands import Cancel, Claim, Claimed, Complete, Done, ExtendRun, Fail, Hold, NewTodo, Refused, Retry
from state.ports import Store
from state.records import ANY_END, QUEUE
from state.tables import Plan, Todo
from tests.contract.store_world import RUN, FakeClock, World, gate, keys, moves, proof, task, todo_id


def report(*needs: str) -> NewTodo:
    return task("report", *((need, ANY_END) for need in needs), kind="report")


async def planning(world: World, *others: NewTodo) -> Claimed:
    """A run whose plan is being made."""
    await world.submit(task("plan", kind="plan"), *others)
    return await world.claim("plan")


def frozen(claim: Claimed, *todos: NewTodo) -> ExtendRun:
    return ExtendRun(claim.todo, claim.fence, [proof()], '{"todos":[]}', "sha", list(todos))


async def plans(world: World) -> Sequence[Plan]:
    rows = await world.store.read(lambda session: session.exec(select(Plan)).all())
    return sorted(rows, key=lambda row: row.revision)


# --- plans ------------------------------------------------------------------------------------------------------------


async def test_a_frozen_plan_goes_on_at_once(world: World) -> None:
    claim = await planning(world)
    done = await world.done(frozen(claim, task("a", "plan"), task("b", "a"), gate("c"), report("plan", "a", "b", "c")))
    assert keys(done.ready) == ["a"]
    assert await world.states() == {
        "plan": "completed", "a": "ready", "b": "pending", "c": "awaiting_input", "report": "pending",
    }  # fmt: skip
    first, second = await plans(world)
    assert (first.revision, first.author, first.document) == (1, "person", "{}")
    assert second.revision > 1
    assert (second.author, second.hash, second.document) == ("model", "sha", '{"todos":[]}')
    (told,) = [event for event in await world.events() if event.type == "run.planned"]
    assert told.data == {"hash": "sha", "todos": 4}
    assert todo_id("a") in await world.outbox()
    assert await world.finish("a") == Done([todo_id("b")], queued=True)
    assert (await world.run()).n_completed == 2


async def test_what_is_planned_is_claimed_with_its_document(world: World) -> None:
    claim = await planning(world)
    done, claimed, again = await world.do(
        frozen(claim, task("a", lane="tree"), task("b", lane="tree")),
        Claim(todo_id("a"), "w", QUEUE),
        Claim(todo_id("b"), "w", QUEUE),
    )
    assert isinstance(done, Done)
    assert isinstance(claimed, Claimed)
    assert (claimed.document, claimed.provenance) == ('{"todo":"a"}', "person")
    assert isinstance(again, Refused)


async def test_lanes_of_a_plan_are_those_of_its_run(world: World) -> None:
    claim = await planning(world, task("old", lane="tree"))
    await world.claim("old")
    _, outcome = await world.do(frozen(claim, task("a", lane="tree")), Claim(todo_id("a"), "w", QUEUE))
    assert isinstance(outcome, Refused)


@pytest.mark.parametrize(
    "todos",
    [
        [task("a", "unknown")],
        [task("a", "b"), task("b")],
        [task("a"), task("a")],
        [task("old")],
        [task("plan")],
        [task("a", ("plan", "yes"))],
        [task("a", "plan", timeout=1e300)],
        [NewTodo("elsewhere", "old", "T", "task", "{}")],
    ],
    ids=["unknown", "order", "twice", "exists", "itself", "answer", "timeout", "key exists"],
)
async def test_what_could_never_end_is_not_frozen(world: World, todos: list[NewTodo]) -> None:
    claim = await planning(world, task("old"))
    assert await world.refused(frozen(claim, *todos)) == "invalid"
    await world.done(frozen(claim, task("a")))


async def test_a_plan_may_be_all_that_was_wanted(world: World) -> None:
    claim = await planning(world)
    await world.done(frozen(claim))
    assert (await world.run()).state == "completed"
    (told,) = [event for event in await world.events() if event.type == "run.planned"]
    assert told.data["todos"] == 0


async def test_only_a_plan_with_evidence_and_its_fence_is_frozen(world: World) -> None:
    claim = await planning(world, task("old"))
    other = await world.claim("old")
    assert await world.refused(frozen(other, task("a"))) == "not_allowed"
    assert await world.refused(ExtendRun(claim.todo, claim.fence, [], "{}", "h", [task("a")])) == "evidence"
    bad = ExtendRun(claim.todo, claim.fence, [proof(False)], "{}", "h", [task("a")])
    assert await world.refused(bad) == "evidence"
    assert await world.refused(ExtendRun(claim.todo, 0, [proof()], "{}", "h", [task("a")])) == "lease_lost"
    odd = ExtendRun(claim.todo, claim.fence, [proof(exit_code=1 << 40)], "{}", "h", [task("a")])
    assert await world.refused(odd) == "invalid"


async def test_two_plans_of_one_run(world: World) -> None:
    first = await planning(world, task("more", kind="plan"))
    second = await world.claim("more")
    outcomes = await world.do(frozen(first, task("a")), frozen(second, task("b")))
    assert all(isinstance(outcome, Done) for outcome in outcomes), outcomes
    assert len({row.revision for row in await plans(world)}) == 3


async def test_a_held_run_takes_its_plan_and_begins_nothing(world: World) -> None:
    claim = await planning(world)
    await world.done(Hold(RUN, "pause"))
    await world.done(frozen(claim, task("a")))
    assert (await world.run()).state == "held"
    assert await world.refused(Claim(todo_id("a"), "w", QUEUE)) == "not_ready"


async def test_a_cancelled_run_takes_no_plan(world: World) -> None:
    claim = await planning(world)
    await world.cancel()
    assert await world.refused(frozen(claim, task("a"))) == "lease_lost"


async def test_a_cancel_that_comes_while_a_plan_is_frozen_leaves_nothing_open(
    open_store: Callable[[FakeClock | None], Store],
) -> None:
    """By another process, whose look at the run may be older than the plan."""
    clock = FakeClock()
    one, other = open_store(clock), open_store(clock)
    world = World(one, clock)
    try:
        for number in range(20):
            run = f"run-{number}"
            await world.submit(task("plan", run=run, kind="plan"), run=run)
            claim = await world.claim("plan", run)
            todos = [task(f"t{place}", "plan", run=run) for place in range(3)]
            await asyncio.gather(one.apply([frozen(claim, *todos)]), other.apply([Cancel(run, "ada")]))
            assert set((await world.states(run)).values()) <= {"completed", "cancelled"}
            assert (await world.run(run)).state == "cancelled"
    finally:
        await one.close()
        await other.close()


# --- needs that any end meets -----------------------------------------------------------------------------------------


async def test_any_end_will_do(world: World) -> None:
    await world.submit(task("a"), gate("q"), task("b", "a"), task("c", ("q", "yes")), task("x", *_any("a", "b", "c")))
    await world.fail("a")
    assert (await world.todo("x")).unmet_needs == 1
    await world.answer("q", "no")
    assert await world.states() == {
        "a": "failed", "q": "completed", "b": "skipped", "c": "not_applicable", "x": "ready",
    }  # fmt: skip
    await world.finish("x")
    assert (await world.run()).state == "failed"


def _any(*needs: str) -> list[tuple[str, str]]:
    return [(need, ANY_END) for need in needs]


async def test_blocked_is_no_end(world: World) -> None:
    await world.submit(task("a"), task("x", *_any("a")))
    await world.block("a")
    assert await world.states() == {"a": "blocked", "x": "pending"}


async def test_what_waits_for_any_end_waits_again_when_it_is_undone(world: World) -> None:
    await world.submit(task("a"), task("b"), task("x", *_any("a", "b")))
    await world.fail("a")
    await world.done(Retry(todo_id("a"), "me"))
    assert (await world.todo("x")).unmet_needs == 2
    await world.finish("a")
    assert (await world.todo("x")).state == "pending"
    await world.finish("b")
    assert (await world.todo("x")).state == "ready"


async def test_a_retry_reopens_what_needs_both_kinds(world: World) -> None:
    await world.submit(task("a"), task("b"), task("x", "a", *_any("b")))
    await world.fail("b")
    await world.fail("a")
    assert (await world.todo("x")).state == "skipped"
    await world.done(Retry(todo_id("a"), "me"))
    row = await world.todo("x")
    assert (row.state, row.unmet_needs) == ("pending", 1)
    await world.finish("a")
    assert (await world.todo("x")).state == "ready"


# --- reports ----------------------------------------------------------------------------------------------------------


async def test_a_report_counts_only_while_it_is_written(world: World) -> None:
    await world.submit(task("a"), task("b", "a"), report("a", "b"))
    run = await world.run()
    assert (run.n_pending, run.n_ready) == (1, 1)
    await world.fail("a")
    run = await world.run()
    assert (run.state, run.n_ready, run.ended_at) == ("in_progress", 1, None)
    await world.finish("report")
    run = await world.run()
    assert (run.state, run.n_completed, run.n_failed, run.n_skipped) == ("failed", 0, 1, 1)
    assert run.ended_at is not None


@pytest.mark.parametrize("end", ["failed", "blocked"])
async def test_a_run_is_completed_though_its_report_is_not(world: World, end: str) -> None:
    await world.submit(task("a"), report("a"))
    await world.finish("a")
    await (world.fail("report") if end == "failed" else world.block("report"))
    run = await world.run()
    assert (run.state, run.n_completed, run.n_failed, run.n_blocked) == ("completed", 1, 0, 0)
    assert (await world.todo("report")).state == end
    await world.done(Retry(todo_id("report"), "me"))
    assert (await world.run()).state == "in_progress"
    await world.finish("report")
    assert (await world.run()).state == "completed"


async def test_a_blocked_run_is_blocked_while_its_report_waits(world: World) -> None:
    await world.submit(task("a"), report("a"))
    await world.block("a")
    assert (await world.run()).state == "blocked"
    assert (await world.todo("report")).state == "pending"
    await world.cancel()
    assert (await world.todo("report")).state == "cancelled"
    assert (await world.run()).n_cancelled == 1


@pytest.mark.parametrize("stage", ["pending", "ready", "in_progress", "verifying", "completed", "failed", "blocked"])
async def test_a_retry_has_the_report_written_again(world: World, stage: str) -> None:
    others = [task("b")] if stage == "pending" else []
    await world.submit(task("a"), *others, report("a", *(other.key for other in others)))
    await world.fail("a")
    fence = 0
    if stage in ("in_progress", "verifying"):
        fence = (await world.claim("report")).fence
        if stage == "verifying":
            await world.verify("report", fence)
    elif stage == "completed":
        await world.finish("report")
    elif stage == "failed":
        await world.fail("report")
    elif stage == "blocked":
        await world.block("report")
    assert (await world.todo("report")).state == stage
    await world.done(Retry(todo_id("a"), "me"))
    row = await world.todo("report")
    assert (row.state, row.unmet_needs, row.owner, row.ended_at) == ("pending", 1 + len(others), None, None)
    assert (await world.run()).state == "in_progress"
    if fence:
        assert await world.refused(Complete(todo_id("report"), fence, [proof()])) == "lease_lost"
    await world.finish("a")
    for other in others:
        await world.finish(other.key)
    await world.finish("report")
    assert (await world.run()).state == "completed"
    assert list(moves(await world.events(), "report"))[-3:] == ["ready", "in_progress", "completed"]


async def test_a_retry_leaves_the_reports_of_other_runs_alone(world: World) -> None:
    await world.submit(task("a"), task("b"), report("a", "b"))
    other = [task("a", run="other"), task("b", run="other")]
    last = task("report", ("a", ANY_END), ("b", ANY_END), run="other", kind="report")
    await world.submit(*other, last, run="other")
    await world.fail("a")
    claim = await world.claim("a", "other")
    await world.do(Fail(claim.todo, claim.fence, "exit", "x"), Retry(todo_id("a"), "me"))
    rows = await world.store.read(lambda session: session.exec(select(Todo).where(Todo.key == "report")).all())
    assert {row.run_id: row.unmet_needs for row in rows} == {RUN: 2, "other": 1}
