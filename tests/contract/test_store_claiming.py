"""Who gets which work: `Claim` of one TODO, `ClaimNext` of whatever comes next."""

from __future__ import annotations

from state.commands import Claim, ClaimedMany, ClaimNext, Complete, Fail, Hold, Refused, Release, Resume
from state.records import QUEUE, local_placement
from state.statements import FEW_RUNS
from tests.contract.store_world import RUN, WORKER, World, gate, keys, proof, submission, task, todo_id

HERE = local_placement("boot-1")


async def _next(
    world: World, limit: int = 100, labels: frozenset[str] = frozenset(), placement: str = QUEUE, run: str | None = None
) -> list[str]:
    """The keys that are taken."""
    (outcome,) = await world.do(ClaimNext(WORKER, placement, limit, labels, run))
    assert isinstance(outcome, ClaimedMany)
    return [claim.key for claim in outcome.claims]


async def test_by_priority_then_by_age(world: World) -> None:
    await world.submit(task("a"), task("b", priority=5), task("c", priority=-5), task("d", priority=5), task("e"))
    assert await _next(world, 2) == ["b", "d"]
    assert await _next(world) == ["a", "e", "c"]
    assert await _next(world) == []


async def test_across_runs_by_priority_then_by_age(world: World) -> None:
    for run, key, priority in (("r1", "a", 0), ("r2", "b", 9), ("r3", "c", 0)):
        await world.submit(task(key, run=run, priority=priority), run=run)
    assert await _next(world, 2) == ["b", "a"]
    assert await _next(world) == ["c"]


async def test_what_is_taken_is_whole(world: World) -> None:
    await world.submit(task("a"), task("b", timeout=7.0))
    (outcome,) = await world.do(ClaimNext(WORKER, QUEUE, 5))
    assert isinstance(outcome, ClaimedMany)
    assert [(claim.document, claim.fence, claim.run) for claim in outcome.claims] == [
        ('{"todo":"a"}', 1, RUN),
        ('{"todo":"b"}', 1, RUN),
    ]
    await world.done(Complete(todo_id("a"), 1, [proof()]))


async def test_no_more_at_once_than_the_run_allows(world: World) -> None:
    await world.submit(*(task(f"a{n}") for n in range(5)), concurrency=2)
    await world.submit(task("b", run="r2", priority=-1), run="r2")
    assert await _next(world, 3) == ["a0", "a1", "b"]
    assert await _next(world) == []
    assert await world.refused(Claim(todo_id("a2"), WORKER, QUEUE)) == "not_ready"
    await world.done(Complete(todo_id("a0"), 1, [proof()]))
    assert await _next(world) == ["a2"]


async def test_what_is_being_verified_counts_as_going_on(world: World) -> None:
    await world.submit(task("a"), task("b"), concurrency=1)
    claim = await world.claim("a")
    await world.verify("a", claim.fence)
    assert await _next(world) == []
    assert await world.refused(Claim(todo_id("b"), WORKER, QUEUE)) == "not_ready"


async def test_labels_must_all_be_there(world: World) -> None:
    await world.submit(task("a", labels=["gpu"]), task("b", labels=["gpu", "big"]), task("c"))
    assert await world.refused(Claim(todo_id("a"), WORKER, QUEUE)) == "not_ready"
    assert await world.refused(Claim(todo_id("b"), WORKER, QUEUE, frozenset(("gpu",)))) == "not_ready"
    assert await _next(world, labels=frozenset(("big",))) == ["c"]
    assert await _next(world, labels=frozenset(("gpu",))) == ["a"]
    assert await _next(world, labels=frozenset(("gpu", "big", "fast"))) == ["b"]


async def test_only_from_its_own_placement(world: World) -> None:
    await world.submit(task("a"), placement=HERE)
    assert await world.refused(Claim(todo_id("a"), WORKER, QUEUE)) == "not_ready"
    assert await _next(world) == []
    assert await _next(world, placement=HERE) == ["a"]


async def test_only_of_one_run(world: World) -> None:
    await world.submit(task("a", priority=9))
    await world.submit(task("b", run="r2"), task("c", "b", run="r2"), run="r2")
    assert await _next(world, run="r2") == ["b"]
    assert await _next(world, run="r2") == []
    assert await _next(world, run="nowhere") == []
    assert await _next(world) == ["a"]


async def test_only_when_due(world: World) -> None:
    await world.submit(task("a"), task("b", priority=-1))
    await world.done(Fail(todo_id("a"), (await world.claim("a")).fence, "exit", "", 30.0))
    assert await _next(world) == ["b"]
    world.clock.advance(30.0)
    assert await _next(world) == ["a"]


async def test_nothing_of_a_held_or_cancelled_run(world: World) -> None:
    await world.submit(task("a"))
    await world.submit(task("b", run="r2"), run="r2")
    await world.hold()
    await world.cancel("r2")
    assert await _next(world) == []
    await world.done(Resume(RUN, QUEUE, QUEUE))
    assert await _next(world) == ["a"]


async def test_an_absurd_limit_takes_what_there_is(world: World) -> None:
    await world.submit(task("a"))
    for limit in (0, -1):
        assert await _next(world, limit) == []
    assert await world.refused(ClaimNext(WORKER, QUEUE, 1 << 70)) == "invalid"
    assert await _next(world, (1 << 31) - 1) == ["a"]


async def test_gates_are_nobody_s(world: World) -> None:
    await world.submit(gate("g"))
    assert await _next(world) == []
    assert await world.refused(Claim(todo_id("g"), WORKER, QUEUE)) == "not_ready"


async def test_in_one_call_each_sees_what_the_one_before_took(world: World) -> None:
    await world.submit(*(task(f"a{n}") for n in range(7)), concurrency=6)
    outcomes = await world.do(*(ClaimNext(f"w{n}", QUEUE, 2) for n in range(5)))
    taken = [[claim.key for claim in outcome.claims] for outcome in outcomes if isinstance(outcome, ClaimedMany)]
    assert taken == [["a0", "a1"], ["a2", "a3"], ["a4", "a5"], [], []]


async def test_in_one_call_it_sees_what_was_submitted_released_and_completed_before(world: World) -> None:
    await world.submit(task("a"), task("b", "a"), task("c"), concurrency=2)
    fences = [(await world.claim(key)).fence for key in ("a", "c")]
    late = submission(task("d", run="r2"), run="r2")
    *_, outcome = await world.do(
        Complete(todo_id("a"), fences[0], [proof()]), Release(todo_id("c"), fences[1], "drain", WORKER), late,
        ClaimNext(WORKER, QUEUE, 10),
    )  # fmt: skip
    assert isinstance(outcome, ClaimedMany)
    assert [claim.key for claim in outcome.claims] == ["d", "b", "c"]  # of one priority: by id


async def test_in_one_call_each_keeps_to_its_labels_and_run(world: World) -> None:
    await world.submit(task("a", labels=["gpu"], priority=1), task("b"))
    await world.submit(task("c", run="r2", priority=2), run="r2")
    outcomes = await world.do(
        ClaimNext("w1", QUEUE, 9, run=RUN), ClaimNext("w2", QUEUE, 9, frozenset(("gpu",)), RUN), Hold("r2", "me"),
        ClaimNext("w3", QUEUE, 9), Resume("r2", QUEUE, QUEUE), ClaimNext("w4", QUEUE, 9),
    )  # fmt: skip
    taken = [[claim.key for claim in outcome.claims] for outcome in outcomes if isinstance(outcome, ClaimedMany)]
    assert taken == [["b"], ["a"], [], ["c"]]


async def test_among_very_many_runs_priority_still_decides(world: World) -> None:
    runs = [f"r{number:04}" for number in range(3 * FEW_RUNS)]
    urgent = runs[-7]
    await world.do(
        *(submission(task("x", run=run, priority=int(run == urgent)), run=run, concurrency=1) for run in runs)
    )
    (outcome,) = await world.do(ClaimNext(WORKER, QUEUE, 4))
    assert isinstance(outcome, ClaimedMany)
    assert [claim.run for claim in outcome.claims] == [urgent, *runs[:3]]
    await world.hold(run=runs[3])
    (outcome,) = await world.do(ClaimNext(WORKER, QUEUE, len(runs)))
    assert isinstance(outcome, ClaimedMany)
    assert [claim.run for claim in outcome.claims] == [run for run in runs[4:] if run != urgent]


async def test_a_big_full_run_hides_nobody(world: World) -> None:
    await world.submit(*(task(f"a{n:03}", priority=9) for n in range(300)), concurrency=1)
    await world.submit(task("b", run="r2"), run="r2")
    assert await _next(world, 2) == ["a000", "b"]
    assert await _next(world, 2) == []


async def test_a_refused_claim_says_why(world: World) -> None:
    await world.submit(task("a"), task("b", "a"))
    (outcome,) = await world.do(Claim(todo_id("b"), WORKER, QUEUE))
    assert isinstance(outcome, Refused)
    assert outcome.message == "b: is pending"
    assert keys([todo_id("b")]) == ["b"]
