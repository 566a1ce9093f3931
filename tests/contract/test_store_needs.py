"""What follows for those who wait: ready, skipped, not applicable; and the way back."""

from __future__ import annotations

from state.commands import Done, Refused, Retry
from tests.contract.store_world import World, gate, keys, task, todo_id


async def _retry(world: World, key: str) -> Done:
    return await world.done(Retry(todo_id(key), "me"))


async def _refused_retry(world: World, key: str) -> str:
    (outcome,) = await world.do(Retry(todo_id(key), "me"))
    assert isinstance(outcome, Refused)
    return outcome.message


async def test_the_last_need_makes_ready(world: World) -> None:
    await world.submit(task("a"), task("b"), task("c", "a", "b"), task("d", "c"))
    assert (await world.finish("a")).ready == []
    assert (await world.todo("c")).unmet_needs == 1
    assert keys((await world.finish("b")).ready) == ["c"]
    assert await world.states() == {"a": "completed", "b": "completed", "c": "ready", "d": "pending"}
    await world.finish("c")
    await world.finish("d")
    assert (await world.run()).state == "completed"


async def test_a_need_that_ended_badly_skips_everything_behind_it(world: World) -> None:
    await world.submit(task("a"), task("b", "a"), task("c", "b"), gate("g", "c"), task("d", ("g", "yes")), task("e"))
    await world.fail("a")
    skipped = dict.fromkeys("bcgd", "skipped")
    assert await world.states() == {"a": "failed", **skipped, "e": "ready"}
    assert (await world.todo("b")).detail == "a failed"
    assert (await world.todo("c")).detail == "b skipped"
    assert (await world.run()).state == "in_progress"
    await world.finish("e")
    assert (await world.run()).state == "failed"


async def test_a_blocked_need_keeps_its_dependents_waiting(world: World) -> None:
    await world.submit(task("a"), task("b", "a"))
    await world.block("a")
    assert await world.states() == {"a": "blocked", "b": "pending"}
    assert (await world.run()).state == "blocked"
    assert keys((await _retry(world, "a")).ready) == ["a"]
    assert keys((await world.finish("a")).ready) == ["b"]


async def test_only_the_wanted_answer_lets_pass(world: World) -> None:
    await world.submit(gate("g"), task("yes", ("g", "yes")), task("no", ("g", "no")), task("any", "g"))
    assert set(keys((await world.answer("g", "no")).ready)) == {"no", "any"}
    states = await world.states()
    assert states == {"g": "completed", "yes": "not_applicable", "no": "ready", "any": "ready"}
    assert (await world.todo("yes")).detail == "g was not yes"


async def test_not_applicable_runs_on_to_the_end_and_counts_as_well(world: World) -> None:
    await world.submit(gate("g"), task("a", ("g", "yes")), task("b", "a"), gate("h", "b"), task("c", ("h", "yes")))
    await world.answer("g", "no")
    assert set((await world.states()).values()) == {"completed", "not_applicable"}
    run = await world.run()
    assert (run.state, run.n_not_applicable) == ("completed", 4)


async def test_a_bad_end_and_an_answer_otherwise_meet(world: World) -> None:
    """The first to come decides; a run that reaches its end either way."""
    await world.submit(gate("g"), task("a"), task("b", ("g", "yes"), "a"), task("c", "b"))
    await world.fail("a")
    await world.answer("g", "no")
    assert await world.states() == {"g": "completed", "a": "failed", "b": "skipped", "c": "skipped"}
    assert (await world.run()).state == "failed"


async def test_a_gate_behind_needs_asks_when_they_are_met(world: World) -> None:
    await world.submit(task("a"), gate("g", "a", expires=60.0), task("b", ("g", "yes")))
    assert (await world.todo("g")).state == "pending"
    world.clock.advance(100.0)
    assert (await world.finish("a")).ready == []
    assert (await world.todo("g")).state == "awaiting_input"
    assert (await world.question("g")).expires_at == world.clock.time + 60.0
    assert (await world.run()).state == "awaiting_input"


async def test_retry_reopens_what_was_skipped(world: World) -> None:
    await world.submit(task("a"), task("b", "a"), task("c", "b"), task("d", "a", "c"))
    await world.fail("a")
    await _retry(world, "a")
    assert await world.states() == {"a": "ready", "b": "pending", "c": "pending", "d": "pending"}
    assert [(await world.todo(key)).unmet_needs for key in "abcd"] == [0, 1, 1, 2]
    assert [(await world.todo(key)).epoch for key in "abcd"] == [1, 1, 1, 1]
    assert (await world.todo("b")).ended_at is None
    for key in "abcd":
        await world.finish(key)
    assert (await world.run()).state == "completed"


async def test_a_diamond_with_two_failed_needs_waits_for_both_retries(world: World) -> None:
    await world.submit(task("a"), task("b"), task("l", "a"), task("r", "b"), task("m", "l", "r"), task("end", "m"))
    await world.fail("a")
    await world.fail("b")
    await _retry(world, "a")
    states = {"a": "ready", "b": "failed", "l": "pending", "r": "skipped", "m": "skipped", "end": "skipped"}
    assert await world.states() == states
    await world.finish("a")
    await world.finish("l")
    assert (await world.todo("m")).state == "skipped"
    await _retry(world, "b")
    assert (await world.todo("m")).unmet_needs == 1
    await world.finish("b")
    assert keys((await world.finish("r")).ready) == ["m"]
    await world.finish("m")
    await world.finish("end")
    assert (await world.run()).state == "completed"


async def test_reopened_behind_a_gate_that_was_answered_otherwise(world: World) -> None:
    """It was skipped before the answer came; waiting for the retried need would be waiting for nothing."""
    await world.submit(gate("g"), task("a"), task("b", ("g", "yes"), "a"), task("c", "b"), task("d", "a"))
    await world.fail("a")
    await world.answer("g", "no")
    await _retry(world, "a")
    states = {"g": "completed", "a": "ready", "b": "not_applicable", "c": "not_applicable", "d": "pending"}
    assert await world.states() == states
    await world.finish("a")
    await world.finish("d")
    assert (await world.run()).state == "completed"


async def test_reopened_before_the_gate_is_answered(world: World) -> None:
    await world.submit(gate("g"), task("a"), task("b", ("g", "yes"), "a"))
    await world.fail("a")
    await _retry(world, "a")
    await world.answer("g", "yes")
    assert (await world.todo("b")).unmet_needs == 1
    assert keys((await world.finish("a")).ready) == ["b"]


async def test_a_skipped_gate_asks_after_all(world: World) -> None:
    await world.submit(task("a"), gate("g", "a"), task("b", ("g", "yes")))
    await world.fail("a")
    await _retry(world, "a")
    await world.finish("a")
    await world.answer("g", "yes")
    await world.finish("b")
    assert (await world.run()).state == "completed"


async def test_an_expired_gate_asks_anew(world: World) -> None:
    await world.submit(gate("g", expires=60.0), task("a", ("g", "yes")))
    first = await world.question("g")
    world.clock.advance(60.0)
    await world.expire("g")
    assert (await world.states())["a"] == "pending"
    await _retry(world, "g")
    second = await world.question("g")
    assert (second.id != first.id, second.epoch, second.state) == (True, 1, "pending")
    assert second.expires_at == world.clock.time + 60.0
    await world.answer("g", "yes")
    assert (await world.states())["a"] == "ready"


async def test_what_was_skipped_says_what_to_retry(world: World) -> None:
    await world.submit(task("a"), task("b", "a"), gate("g"), task("c", ("g", "yes")))
    await world.fail("a")
    await world.answer("g", "no")
    assert "(a)" in await _refused_retry(world, "b")
    assert "(g)" in await _refused_retry(world, "c")


async def test_retry_of_one_failure_leaves_the_other_alone(world: World) -> None:
    await world.submit(task("a"), task("b"), task("c", "a"), task("d", "b"))
    await world.fail("a")
    await world.fail("b")
    await _retry(world, "b")
    assert await world.states() == {"a": "failed", "b": "ready", "c": "skipped", "d": "pending"}


async def test_retry_again_and_again(world: World) -> None:
    await world.submit(task("a"), task("b", "a"), task("c", "b"))
    for epoch in range(1, 6):
        await world.fail("a")
        await _retry(world, "a")
        assert {(await world.todo(key)).epoch for key in "abc"} == {epoch}
    for key in "abc":
        await world.finish(key)
    assert (await world.run()).state == "completed"


async def test_a_failure_in_the_middle_of_a_retried_branch(world: World) -> None:
    await world.submit(task("a"), task("b", "a"), task("c", "b"), task("d", "a"))
    await world.fail("a")
    await _retry(world, "a")
    await world.finish("a")
    await world.fail("b")
    assert await world.states() == {"a": "completed", "b": "failed", "c": "skipped", "d": "ready"}
    await _retry(world, "b")
    assert [(await world.todo(key)).epoch for key in "abcd"] == [1, 2, 2, 1]
