"""One TODO, one owner, one fence; and the counters, which are never mixed."""

from __future__ import annotations

import pytest
from sqlmodel import select

from state import reading
from state.commands import (
    BeginVerifying,
    Block,
    Claim,
    Complete,
    Fail,
    Refused,
    Release,
    Resume,
    Retry,
    Say,
    WorkerEnded,
    WorkerStarted,
)
from state.limits import DEADLINE_GRACE_SECONDS
from state.records import POISON_AFTER, QUEUE, ReleaseCause, local_placement
from state.tables import Attempt
from tests.contract.store_world import RUN, START, WORKER, World, moves, proof, task, todo_id

X = todo_id("x")


async def _counters(world: World, key: str = "x") -> tuple[int, int, int, int]:
    row = await world.todo(key)
    return row.fence, row.attempt, row.crash_count, row.epoch


async def _attempts(world: World) -> list[Attempt]:
    rows = await world.store.read(lambda session: session.exec(select(Attempt)).all())
    return sorted(rows, key=lambda row: (row.todo_id, row.fence))


async def test_a_claim_says_all_that_its_worker_needs(world: World) -> None:
    await world.submit(task("x", timeout=40.0))
    claim = await world.claim("x")
    assert (claim.todo, claim.run, claim.key, claim.kind, claim.fence) == (X, RUN, "x", "task", 1)
    assert (claim.epoch, claim.attempt, claim.crash_count, claim.timeout) == (0, 0, 0, 40.0)
    assert claim.deadline == START + 40.0 + DEADLINE_GRACE_SECONDS
    assert (claim.document, claim.provenance) == ('{"todo":"x"}', "person")
    row = await world.todo("x")
    assert (row.owner, row.deadline, row.started_at) == (WORKER, claim.deadline, START)


async def test_of_many_claims_one_wins(world: World) -> None:
    await world.submit(task("x"))
    outcomes = await world.do(*(Claim(X, f"w{number}", QUEUE) for number in range(20)))
    assert [isinstance(outcome, Refused) for outcome in outcomes] == [False] + [True] * 19
    assert (await world.todo("x")).owner == "w0"


async def test_the_owner_is_forgotten_with_the_state(world: World) -> None:
    await world.submit(task("x"))
    claim = await world.claim("x")
    await world.done(BeginVerifying(X, claim.fence))
    assert (await world.todo("x")).owner == WORKER
    await world.done(Release(X, claim.fence, "drain", WORKER))
    row = await world.todo("x")
    assert (row.owner, row.deadline) == (None, None)


async def test_a_claim_raises_the_fence_and_nothing_else(world: World) -> None:
    await world.submit(task("x"))
    for fence in range(1, 6):
        assert (await world.claim("x")).fence == fence
        assert await _counters(world) == (fence, 0, 0, 0)
        await world.done(Release(X, fence, "drain", WORKER))


async def test_a_failure_raises_the_attempt_and_nothing_else(world: World) -> None:
    await world.submit(task("x"))
    for attempt in range(1, 4):
        claim = await world.claim("x")
        await world.done(Fail(X, claim.fence, "exit", "no", retry_after=0.0))
        assert await _counters(world) == (attempt, attempt, 0, 0)


@pytest.mark.parametrize("cause", ["drain", "lease_lost"])
async def test_what_a_worker_survived_counts_nothing(world: World, cause: ReleaseCause) -> None:
    await world.submit(task("x"))
    for fence in range(1, 10):
        await world.claim("x")
        await world.done(Release(X, fence, cause, WORKER))
    assert await _counters(world) == (9, 0, 0, 0)
    assert (await world.todo("x")).state == "ready"


async def test_the_third_death_is_poison(world: World) -> None:
    await world.submit(task("x"), task("y", "x"))
    for death in range(1, POISON_AFTER + 1):
        claim = await world.claim("x")
        assert claim.crash_count == death - 1
        await world.done(Release(X, claim.fence, "died", "sweeper"))
        assert await _counters(world) == (death, 0, death, 0)
    row = await world.todo("x")
    assert (row.state, row.reason) == ("failed", "poison")
    assert (await world.states())["y"] == "skipped"
    assert (await world.run()).state == "failed"
    took_over = [event.data for event in await world.events() if event.type == "worker.took_over"]
    assert took_over == [{"worker": "sweeper", "cause": "died", "crash_count": death} for death in (1, 2, 3)]


async def test_deaths_and_failures_add_up_apart(world: World) -> None:
    await world.submit(task("x"))
    for number in range(1, 3):
        await world.done(Release(X, (await world.claim("x")).fence, "died", "w2"))
        await world.done(Fail(X, (await world.claim("x")).fence, "exit", "no", 0.0))
        await world.done(Release(X, (await world.claim("x")).fence, "drain", "w2"))
        assert await _counters(world) == (3 * number, number, number, 0)


async def test_resume_forgets_deaths_and_nothing_else(world: World) -> None:
    await world.submit(task("x"))
    await world.done(Release(X, (await world.claim("x")).fence, "died", "w2"))
    await world.done(Fail(X, (await world.claim("x")).fence, "exit", "no", 0.0))
    await world.done(Resume(RUN, QUEUE, QUEUE))
    assert await _counters(world) == (2, 1, 0, 0)


async def test_retry_begins_an_epoch_and_keeps_the_fence(world: World) -> None:
    await world.submit(task("x"))
    await world.done(Release(X, (await world.claim("x")).fence, "died", "w2"))
    await world.done(Fail(X, (await world.claim("x")).fence, "exit", "no", 60.0))
    world.clock.advance(60.0)
    await world.fail("x")
    await world.done(Retry(X, "me"))
    assert await _counters(world) == (3, 0, 0, 1)
    row = await world.todo("x")
    assert (row.state, row.not_before, row.ended_at, row.reason) == ("ready", 0.0, None, None)
    assert (await world.claim("x")).fence == 4


async def test_every_attempt_leaves_a_row(world: World) -> None:
    await world.submit(task("x"))
    fence = (await world.claim("x")).fence
    world.clock.advance(1.0)
    await world.done(Fail(X, fence, "timeout", "too slow", 0.0))
    await world.done(Release(X, (await world.claim("x", worker="w2")).fence, "lease_lost", "w3"))
    await world.done(Block(X, (await world.claim("x")).fence, "image", "none"))
    await world.done(Retry(X, "me"))
    await world.done(Complete(X, (await world.claim("x")).fence, [proof()]))
    found = [(row.fence, row.epoch, row.attempt, row.worker, row.outcome, row.reason) for row in await _attempts(world)]
    assert found == [
        (1, 0, 0, WORKER, "failed", "timeout"),
        (2, 0, 1, "w2", "released", "lease_lost"),
        (3, 0, 1, WORKER, "blocked", "image"),
        (4, 1, 0, WORKER, "completed", None),
    ]
    assert (await _attempts(world))[0].ended_at == START + 1.0


async def test_a_take_over_is_told_unless_the_owner_let_go(world: World) -> None:
    await world.submit(task("x"))
    await world.done(Release(X, (await world.claim("x")).fence, "drain", WORKER))
    assert "worker.took_over" not in [event.type for event in await world.events()]
    await world.done(Release(X, (await world.claim("x")).fence, "lease_lost", "w2"))
    assert "worker.took_over" in [event.type for event in await world.events()]


async def test_verifying_twice_is_once(world: World) -> None:
    await world.submit(task("x"))
    fence = (await world.claim("x")).fence
    await world.do(BeginVerifying(X, fence), BeginVerifying(X, fence))
    assert list(moves(await world.events(), "x")) == ["ready", "in_progress", "verifying"]


async def test_an_owner_says_what_it_does(world: World) -> None:
    await world.submit(task("x"))
    fence = (await world.claim("x")).fence
    await world.done(Say(X, fence, "todo.progress", '{"text":"half","fraction":0.5}'))
    last = (await world.events())[-1]
    assert (last.type, last.todo, last.data) == ("todo.progress", X, {"text": "half", "fraction": 0.5})


async def test_who_has_a_run_for_itself_takes_nothing_from_the_queue(world: World) -> None:
    await world.do(*(WorkerStarted(worker, "host", 1) for worker in ("ended", "w1", "w2")))
    await world.submit(task("x"), run="r1", placement=local_placement("w1"))
    await world.done(WorkerEnded("ended"))
    assert await world.store.read(reading.queue_workers) == ["w2"]
