"""Questions: answered or expired, never guessed."""

from __future__ import annotations

from sqlmodel import select

from state.commands import Answer, Expire, Refused, Retry
from state.tables import EvidenceRow
from tests.contract.store_world import START, World, gate, task, todo_id


async def test_an_answer_is_evidence_with_who_and_when(world: World) -> None:
    await world.submit(gate("g"))
    question = await world.question("g")
    world.clock.advance(9.0)
    await world.done(Answer(question.id, "yes", "ada"))
    question = await world.question("g")
    assert (question.state, question.answer, question.answered_by) == ("answered", "yes", "ada")
    assert (question.asked_at, question.answered_at) == (START, START + 9.0)
    row = await world.todo("g")
    assert (row.state, row.answer, row.ended_at, row.fence) == ("completed", "yes", START + 9.0, 0)
    evidence = await world.store.read(lambda session: session.exec(select(EvidenceRow)).one())
    assert (evidence.subject, evidence.passed, evidence.output_tail, evidence.verifier, evidence.at) == (
        f"question:{question.id}", True, "yes", "ada", START + 9.0,
    )  # fmt: skip
    assert (await world.run()).state == "completed"
    types = [event.type for event in await world.events()][-4:]
    assert types == ["question.answered", "evidence.recorded", "todo.state", "run.state"]


async def test_the_second_answer_is_told_the_first(world: World) -> None:
    await world.submit(gate("g"), task("z"))
    question = (await world.question("g")).id
    first, second = await world.do(Answer(question, "yes", "ada"), Answer(question, "no", "bob"))
    assert not isinstance(first, Refused)
    assert isinstance(second, Refused)
    assert (second.code, "'yes'" in second.message) == ("not_ready", True)
    assert await world.refused(Answer(question, "yes", "ada")) == "not_ready"
    assert await world.refused(Expire(question)) == "not_ready"


async def test_only_what_was_offered(world: World) -> None:
    await world.submit(gate("g", choices=("push", "hold")))
    question = (await world.question("g")).id
    for wrong in ("", "Push", "push ", "yes"):
        assert await world.refused(Answer(question, wrong, "me")) == "invalid"
    await world.done(Answer(question, "hold", "me"))


async def test_without_choices_anything_goes(world: World) -> None:
    await world.submit(gate("g", choices=()), task("a", ("g", "")))
    await world.answer("g", "")
    assert (await world.todo("g")).answer == ""
    assert (await world.states())["a"] == "ready"


async def test_a_free_answer_that_no_database_could_hold(world: World) -> None:
    await world.submit(gate("g", choices=()))
    question = (await world.question("g")).id
    assert await world.refused(Answer(question, "a\0", "me")) == "invalid"
    assert await world.refused(Answer(question, "yes", "\ud800")) == "invalid"


async def test_expired_is_blocked_and_never_an_answer(world: World) -> None:
    await world.submit(gate("g", expires=60.0), task("a", ("g", "no")))
    question = await world.question("g")
    assert question.expires_at == START + 60.0
    world.clock.advance(59.9)
    assert await world.refused(Expire(question.id)) == "not_ready"
    world.clock.advance(0.1)
    assert await world.refused(Answer(question.id, "no", "late")) == "not_ready"
    await world.done(Expire(question.id))
    row = await world.todo("g")
    assert (row.state, row.reason, row.answer) == ("blocked", "expired", None)
    question = await world.question("g")
    assert (question.state, question.answer, question.answered_at) == ("expired", None, None)
    assert (await world.states())["a"] == "pending"
    assert (await world.run()).state == "blocked"
    assert await world.refused(Expire(question.id)) == "not_ready"
    assert await world.refused(Answer(question.id, "no", "me")) == "not_ready"


async def test_what_never_expires_cannot_be_expired(world: World) -> None:
    await world.submit(gate("g"))
    world.clock.advance(1e9)
    assert await world.refused(Expire((await world.question("g")).id)) == "not_ready"
    await world.answer("g", "yes")


async def test_the_old_question_is_over_when_the_gate_asks_anew(world: World) -> None:
    await world.submit(gate("g", expires=60.0))
    old = (await world.question("g")).id
    world.clock.advance(60.0)
    await world.done(Expire(old))
    await world.done(Retry(todo_id("g"), "me"))
    assert await world.refused(Answer(old, "yes", "me")) == "not_ready"
    await world.answer("g", "yes")


async def test_a_cancelled_run_asks_nothing(world: World) -> None:
    await world.submit(gate("g"), gate("h", expires=60.0))
    question = (await world.question("h")).id
    await world.answer("g", "yes")
    await world.cancel()
    assert [(await world.question(key)).state for key in "gh"] == ["answered", "cancelled"]
    assert (await world.question("h")).answer is None
    assert await world.refused(Answer(question, "yes", "me")) == "not_ready"
    world.clock.advance(61.0)
    assert await world.refused(Expire(question)) == "not_ready"


async def test_a_gate_of_a_held_run_may_be_answered(world: World) -> None:
    await world.submit(gate("g"), task("a", ("g", "yes")))
    await world.hold()
    assert (await world.run()).state == "held"
    await world.answer("g", "yes")
    assert await world.states() == {"g": "completed", "a": "ready"}
    assert (await world.run()).state == "held"
