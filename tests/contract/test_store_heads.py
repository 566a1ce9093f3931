"""The head of a run's repository moves only from where the work was merged onto."""

from __future__ import annotations

import asyncio

from state.commands import Complete, Done, Refused
from tests.contract.store_world import World, proof, task


async def test_the_head_moves_with_the_completion(world: World) -> None:
    await world.submit(task("a"), task("b"))
    claim = await world.claim("a")
    await world.done(Complete(claim.todo, claim.fence, [proof()], head=(None, "c1")))
    assert (await world.run()).head == "c1"
    await world.finish("b")
    assert (await world.run()).head == "c1"


async def test_a_head_that_moved_refuses_and_changes_nothing(world: World) -> None:
    await world.submit(task("a"), task("b"))
    first, second = await world.claim("a"), await world.claim("b")
    await world.done(Complete(first.todo, first.fence, [proof()], head=(None, "c1")))
    assert await world.refused(Complete(second.todo, second.fence, [proof()], head=(None, "c2"))) == "head_moved"
    assert (await world.todo("b")).state == "in_progress"
    await world.done(Complete(second.todo, second.fence, [proof()], head=("c1", "c2")))
    assert (await world.run()).head == "c2"


async def test_an_old_fence_or_no_evidence_moves_nothing(world: World) -> None:
    await world.submit(task("a"))
    claim = await world.claim("a")
    assert await world.refused(Complete(claim.todo, 0, [proof()], head=(None, "c1"))) == "lease_lost"
    assert await world.refused(Complete(claim.todo, claim.fence, [], head=(None, "c1"))) == "evidence"
    assert (await world.run()).head is None


async def test_of_two_in_one_batch_the_second_is_refused(world: World) -> None:
    await world.submit(task("a"), task("b"), task("c"))
    claims = [await world.claim(key) for key in "abc"]
    heads = [(None, "c1"), (None, "c2"), ("c1", "c3")]
    outcomes = await world.do(
        *(Complete(claim.todo, claim.fence, [proof()], head=head) for claim, head in zip(claims, heads, strict=True))
    )
    assert [type(outcome) for outcome in outcomes] == [Done, Refused, Done]
    assert (await world.run()).head == "c3"
    assert list((await world.states()).values()) == ["completed", "in_progress", "completed"]


async def test_of_many_at_once_every_merge_is_onto_the_one_before(world: World) -> None:
    names = [f"t{number}" for number in range(8)]
    await world.submit(*(task(name) for name in names))

    async def merge(name: str) -> list[str | None]:
        claim = await world.claim(name)
        bases: list[str | None] = []
        while True:
            bases.append((await world.run()).head)
            (outcome,) = await world.do(Complete(claim.todo, claim.fence, [proof()], head=(bases[-1], name)))
            if isinstance(outcome, Done):
                return bases
            assert isinstance(outcome, Refused)
            assert outcome.code == "head_moved"

    histories = await asyncio.gather(*(merge(name) for name in names))
    onto = dict(zip(names, (bases[-1] for bases in histories), strict=True))
    chain: list[str | None] = [(await world.run()).head]
    while chain[-1] is not None:
        chain.append(onto[chain[-1]])
    assert sorted(chain[:-1], key=str) == names
