"""A run begins, as a whole or not at all."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlmodel import select

from state.commands import Answer, Done, NewTodo, Refused, SubmitRun
from state.limits import KEY_BYTES
from state.records import QUEUE
from state.tables import Plan, Todo, TodoNeed
from tests.contract.store_world import RUN, World, gate, keys, submission, task, todo_id


async def test_todos_without_needs_start_at_once(world: World) -> None:
    outcome = await world.submit(task("a"), task("b", "a"), gate("g"), task("c", ("g", "yes")), task("d"))
    assert keys(outcome.ready) == ["a", "d"]
    states = {"a": "ready", "b": "pending", "g": "awaiting_input", "c": "pending", "d": "ready"}
    assert await world.states() == states
    run = await world.run()
    assert (run.state, run.placement, run.ended_at) == ("in_progress", QUEUE, None)
    assert (run.n_ready, run.n_pending, run.n_awaiting_input) == (2, 2, 1)
    assert (await world.question("g")).text == "g?"


async def test_everything_is_kept(world: World) -> None:
    rich = task("b", "a", priority=-7, labels=["gpu", "big"], timeout=12.5)
    await world.submit(task("a"), rich)
    row = await world.todo("b")
    assert (row.priority, row.labels, row.timeout, row.position) == (-7, '["big","gpu"]', 12.5, 1)
    assert (row.title, row.document, row.unmet_needs) == ("B", '{"todo":"b"}', 1)
    plan = await world.store.read(lambda session: session.exec(select(Plan)).one())
    assert (plan.run_id, plan.revision, plan.hash, plan.author) == (RUN, 1, "hash", "person")
    need = await world.store.read(lambda session: session.exec(select(TodoNeed)).one())
    assert (need.need_id, need.todo_id, need.answer) == (todo_id("a"), todo_id("b"), None)


async def test_its_first_event_comes_first_and_says_what_followed(world: World) -> None:
    await world.submit(gate("g"), task("a", "g"))
    first, *others = await world.events()
    assert first.type == "run.submitted"
    assert first.data == {"name": RUN, "goal": None, "total": 2, "state": "awaiting_input"}
    assert [event.type for event in others] == ["todo.state", "question.asked", "todo.state"]


async def test_the_same_run_twice_changes_nothing(world: World) -> None:
    await world.submit(task("a"))
    assert await world.refused(submission(task("a"))) == "exists"
    assert await world.refused(submission(task("b"))) == "exists"


async def test_what_is_submitted_once_becomes_one_run(world: World) -> None:
    first = replace(submission(task("a")), once="mine")
    again = replace(submission(task("a", run="r2"), run="r2"), once="mine")
    other = replace(submission(task("a", run="r3"), run="r3"), once="yours")
    outcomes = await world.store.apply([first, again, other])
    assert [type(outcome) for outcome in outcomes] == [Done, Refused, Done]
    assert outcomes[1] == Refused("repeated", RUN)
    later = (await world.store.apply([replace(again, run="r4")]))[0]
    assert later == Refused("repeated", RUN)
    assert await world.refused(replace(other, once="mine")) == "exists", "the run itself is there already"


async def test_whom_it_wakes(world: World) -> None:
    here = submission(task("a"), gate("g"), task("b", "g"), placement="local:me")
    queued = submission(task("a", run="q"), task("b", run="q"), run="q")
    outcomes = await world.store.apply([here, queued])
    assert [outcome.queued for outcome in outcomes if isinstance(outcome, Done)] == [False, True]
    answer = Answer((await world.question("g")).id, "yes", "test")
    (answered,) = await world.store.apply([answer])
    assert answered == Done([todo_id("b")], queued=False)


def _gate(ask: str | None) -> NewTodo:
    return NewTodo(todo_id("g"), "g", "G", "ask", "{}", ask=ask)


FLAWS: dict[str, SubmitRun] = {
    "nothing to do": submission(),
    "one key twice": submission(task("a"), NewTodo("other", "a", "A", "task", "{}")),
    "one id twice": submission(task("a"), NewTodo(todo_id("a"), "b", "B", "task", "{}")),
    "needs itself": submission(task("a", "a")),
    "needs what comes later": submission(task("a", "b"), task("b")),
    "needs what is not there": submission(task("a", "b")),
    "needs twice": submission(task("a"), task("b", "a", "a")),
    "needs one gate for two answers": submission(gate("g"), task("b", ("g", "yes"), ("g", "no"))),
    "wants an answer of a task": submission(task("a"), task("b", ("a", "yes"))),
    "asks nothing": submission(_gate(None)),
    "asks no JSON": submission(_gate("{")),
    "asks no object": submission(_gate("[]")),
    "asks without a text": submission(_gate('{"choices": []}')),
    "asks a number": submission(_gate('{"text": 5}')),
    "offers numbers": submission(_gate('{"text": "?", "choices": [1]}')),
    "expires never": submission(_gate('{"text": "?", "expires": Infinity}')),
    "expires before": submission(_gate('{"text": "?", "expires": -1}')),
    "expires soon": submission(_gate('{"text": "?", "expires": "soon"}')),
    "asks with an escaped NUL": submission(_gate(r'{"text": "\u0000"}')),
    "asks with half a character": submission(_gate(r'{"text": "\ud800"}')),
    "NUL in a key": submission(task("a\0")),
    "NUL in a need": submission(task("a"), NewTodo("b", "b", "B", "task", "{}", needs=[(todo_id("a\0"), None)])),
    "half a character in a title": submission(NewTodo("a", "a", "\ud800", "task", "{}")),
    "priority beyond reason": submission(task("a", priority=1 << 40)),
    "concurrency beyond reason": submission(task("a"), concurrency=1 << 80),
    "not a timeout": submission(task("a", timeout=float("nan"))),
    "an infinite timeout": submission(task("a", timeout=float("inf"))),
}


@pytest.mark.parametrize("flaw", FLAWS)
async def test_a_run_that_could_not_end_is_not_begun(world: World, flaw: str) -> None:
    assert await world.refused(FLAWS[flaw]) == "invalid"


async def test_a_todo_of_another_run_is_not_taken_over(world: World) -> None:
    await world.submit(task("a"))
    thief = submission(NewTodo(todo_id("a"), "mine", "Mine", "task", "{}"), run="run-2")
    assert await world.refused(thief) == "invalid"
    stranger = submission(NewTodo("x", "x", "X", "task", "{}", needs=[(todo_id("a"), None)]), run="run-2")
    assert await world.refused(stranger) == "invalid"


TEXTS = ["", "'; DROP TABLE run; --", "%s %(x)s :x ?", '\\ " \x01\x7f', "né 漢字 🎉 \u2028", r"\u0000 \ud800"]


@pytest.mark.parametrize("text", TEXTS)
async def test_any_other_text_comes_back_as_it_was(world: World, text: str) -> None:
    todo = NewTodo("a", text, text, "task", text)
    await world.done(SubmitRun(RUN, text, text, text, 1, "person", "test", text, text, "hash", [todo]))
    run = await world.run()
    assert (run.name, run.goal, run.placement, run.spec) == (text, text, text, text)
    row = await world.store.read(lambda session: session.get_one(Todo, "a"))
    assert (row.key, row.title, row.document) == (text, text, text)
    assert (await world.events())[0].data["name"] == text


async def test_long_documents_are_no_trouble_and_long_names_are(world: World) -> None:
    text = "né" * 300_000
    await world.done(SubmitRun(RUN, "n", text, QUEUE, 1, "person", "test", text, text, "hash", [task("a")]))
    assert (await world.run()).goal == text
    name = "é" * (KEY_BYTES // 2)
    await world.done(SubmitRun("r2", name, None, QUEUE, 1, "person", "test", "", "", "", [task("a", run="r2")]))
    for long in (name + "é", "x" * 100_000):
        command = SubmitRun("r3", long, None, QUEUE, 1, "person", "test", "", "", "", [task("a", run="r3")])
        assert await world.refused(command) == "invalid"
