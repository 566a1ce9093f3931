"""Questions that roles ask: nobody works while a person thinks, and the answer goes on with the same attempt."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from sqlmodel import Session, select

from state.agent_commands import AskPerson, Remember, Said
from state.agent_tables import MessageRow
from state.commands import Answer, BeginVerifying, Block, Done, Retry
from state.tables import Attempt, Question
from tests.contract.store_world import World, keys, moves, task, todo_id


async def asked(world: World, expires: float | None = None, choices: tuple[str, ...] = ("red", "blue")) -> int:
    """A TODO whose role has asked; returns the fence it asked under."""
    await world.submit(task("a", kind="agent"), task("b", "a"))
    claim = await world.claim("a")
    await world.done(AskPerson(claim.todo, claim.fence, "tool-7", "Which colour?", choices, expires))
    return claim.fence


async def test_question_and_state_come_at_once(world: World) -> None:
    await asked(world)
    question = await world.question("a")
    assert (question.state, question.key, question.text, question.choices) == (
        "pending", "tool-7", "Which colour?", '["red","blue"]',
    )  # fmt: skip
    row = await world.todo("a")
    assert (row.state, row.owner, row.deadline) == ("awaiting_input", None, None)
    assert (await world.run()).state == "awaiting_input"
    (told,) = [event for event in await world.events() if event.type == "question.asked"]
    assert (told.todo, told.data["question"], told.data["choices"]) == (todo_id("a"), question.id, ["red", "blue"])
    attempts = await world.store.read(lambda session: session.exec(select(Attempt)).all())
    assert [(row.fence, row.outcome) for row in attempts] == [(1, "asked")]


async def test_who_asked_has_lost_the_lease(world: World) -> None:
    fence = await asked(world)
    assert await world.refused(Remember(todo_id("a"), fence)) == "lease_lost"
    assert await world.refused(AskPerson(todo_id("a"), fence, "tool-8", "And?")) == "lease_lost"
    assert await world.refused(Block(todo_id("a"), fence, "stuck", "x")) == "lease_lost"


async def test_the_answer_goes_on_with_the_same_attempt(world: World) -> None:
    await asked(world)
    done = await world.answer("a", "red")
    assert keys(done.ready) == ["a"]
    assert todo_id("a") in await world.outbox()
    question = await world.question("a")
    assert (question.state, question.answer, question.answered_by) == ("answered", "red", "me")
    again = await world.claim("a")
    assert (again.attempt, again.epoch, again.fence, again.crash_count) == (0, 0, 2, 0)
    assert (await world.todo("a")).answer is None
    await world.done(Remember(again.todo, again.fence, said=[Said(0, 1, "user", "metis", '"red"')]))
    messages = await world.store.read(lambda session: session.exec(select(MessageRow)).all())
    assert [(row.attempt, row.seq) for row in messages] == [(0, 1)]
    assert list(moves(await world.events(), "a")) == ["ready", "in_progress", "awaiting_input", "ready", "in_progress"]


async def test_an_answer_must_be_one_of_the_choices(world: World) -> None:
    await asked(world)
    question = await world.question("a")
    assert await world.refused(Answer(question.id, "green", "me")) == "invalid"
    await world.answer("a", "blue")
    assert await world.refused(Answer(question.id, "red", "me")) == "not_ready"


async def test_without_choices_any_words_are_an_answer(world: World) -> None:
    await asked(world, choices=())
    await world.answer("a", "something between the two")
    assert (await world.todo("a")).state == "ready"


async def test_nobody_answers_in_time(world: World) -> None:
    await asked(world, expires=60.0)
    world.clock.advance(60.0)
    assert await world.refused(Answer((await world.question("a")).id, "red", "me")) == "not_ready"
    await world.expire("a")
    row = await world.todo("a")
    assert (row.state, row.reason) == ("blocked", "expired")
    assert await world.states() == {"a": "blocked", "b": "pending"}
    assert (await world.run()).state == "blocked"
    await world.done(Retry(todo_id("a"), "me"))
    again = await world.claim("a")
    assert (again.epoch, again.attempt, again.fence) == (1, 0, 2)


async def test_a_cancelled_run_asks_nobody(world: World) -> None:
    await asked(world)
    await world.cancel()
    question = await world.question("a")
    assert question.state == "cancelled"
    assert await world.refused(Answer(question.id, "red", "me")) == "not_ready"
    assert (await world.run()).state == "cancelled"


async def test_held_meanwhile_the_answer_waits(world: World) -> None:
    await asked(world)
    await world.hold()
    assert (await world.run()).state == "held"
    await world.answer("a", "red")
    assert (await world.run()).state == "held"
    assert (await world.todo("a")).state == "ready"


async def test_one_attempt_may_ask_again_and_again(world: World) -> None:
    await asked(world)
    await world.answer("a", "red")
    for number in range(3):
        claim = await world.claim("a")
        await world.done(AskPerson(claim.todo, claim.fence, f"tool-{number}", "And now?"))
        newest = [row for row in await world.store.read(_questions) if row.state == "pending"]
        assert [row.key for row in newest] == [f"tool-{number}"]
        (outcome,) = await world.do(Answer(newest[0].id, "on", "me"))
        assert isinstance(outcome, Done)
    assert (await world.claim("a")).attempt == 0


def _questions(session: Session) -> Sequence[Question]:
    return session.exec(select(Question)).all()


@pytest.mark.parametrize("expires", [float("nan"), float("inf"), 1e300])
async def test_moments_that_are_none_are_refused(world: World, expires: float) -> None:
    await world.submit(task("a", kind="agent"))
    claim = await world.claim("a")
    assert await world.refused(AskPerson(claim.todo, claim.fence, "t", "?", (), expires)) == "invalid"


async def test_who_is_judged_asks_nothing_and_neither_does_a_report(world: World) -> None:
    await world.submit(task("a", kind="agent"), task("r", kind="report"))
    claim, report = await world.claim("a"), await world.claim("r")
    await world.done(BeginVerifying(claim.todo, claim.fence))
    assert await world.refused(AskPerson(claim.todo, claim.fence, "t", "?")) == "not_ready"
    assert await world.refused(AskPerson(report.todo, report.fence, "t", "?")) == "not_allowed"
