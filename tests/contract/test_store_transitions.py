"""The transition table of design §4: every command on a TODO in every state, carried out or refused without a trace."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import get_args

import pytest

from state.commands import (
    Answer,
    BeginVerifying,
    Block,
    Cancel,
    Claim,
    Claimed,
    Command,
    Complete,
    Done,
    Expire,
    Fail,
    Hold,
    Refused,
    Release,
    Resume,
    Retry,
    Say,
)
from state.records import QUEUE, TodoStatus
from tests.contract.store_world import RUN, WORKER, World, gate, proof, task, todo_id

X = todo_id("x")
OWNED = ("in_progress", "verifying")
STATES: tuple[TodoStatus, ...] = get_args(TodoStatus)


SHAPES = {
    "pending": task("x", "p"),
    "skipped": task("x", "p"),
    "awaiting_input": gate("x", "p", expires=60.0),
    "not_applicable": task("x", ("g", "yes")),
}


async def _put_in(world: World, state: TodoStatus) -> None:
    """Make a run in which `x` is in this state, and `y` waits for it; `z` keeps the run going."""
    await world.submit(task("p"), gate("g"), SHAPES.get(state, task("x")), task("y", "x"), task("z"))
    if state in OWNED:
        await world.claim("x")
    if state in STEPS:
        await STEPS[state](world)
    assert (await world.todo("x")).state == state


STEPS: dict[str, Callable[[World], Awaitable[object]]] = {
    "verifying": lambda world: world.done(BeginVerifying(X, 1)),
    "awaiting_input": lambda world: world.finish("p"),
    "blocked": lambda world: world.block("x"),
    "completed": lambda world: world.finish("x"),
    "failed": lambda world: world.fail("x"),
    "cancelled": lambda world: world.cancel(),
    "skipped": lambda world: world.fail("p"),
    "not_applicable": lambda world: world.answer("g", "no"),
}


Make = Callable[[int, str], Command]
COMMANDS: dict[str, tuple[Make, dict[str, str], str]] = {
    "claim": (lambda _, q: Claim(X, WORKER, QUEUE), {"ready": "in_progress"}, "not_ready"),
    "verify": (lambda f, q: BeginVerifying(X, f), dict.fromkeys(OWNED, "verifying"), "lease_lost"),
    "complete": (lambda f, q: Complete(X, f, [proof()]), dict.fromkeys(OWNED, "completed"), "lease_lost"),
    "fail": (lambda f, q: Fail(X, f, "exit", "no"), dict.fromkeys(OWNED, "failed"), "lease_lost"),
    "fail and try again": (lambda f, q: Fail(X, f, "exit", "no", 5.0), dict.fromkeys(OWNED, "ready"), "lease_lost"),
    "block": (lambda f, q: Block(X, f, "image", "no"), dict.fromkeys(OWNED, "blocked"), "lease_lost"),
    "drain": (lambda f, q: Release(X, f, "drain", WORKER), dict.fromkeys(OWNED, "ready"), "lease_lost"),
    "lose the lease": (lambda f, q: Release(X, f, "lease_lost", "w2"), dict.fromkeys(OWNED, "ready"), "lease_lost"),
    "die": (lambda f, q: Release(X, f, "died", "w2"), dict.fromkeys(OWNED, "ready"), "lease_lost"),
    "say": (lambda f, q: Say(X, f, "todo.log", "{}"), {state: state for state in OWNED}, "lease_lost"),
    "answer": (lambda _, q: Answer(q, "yes", "me"), {"awaiting_input": "completed"}, "missing"),
    "expire": (lambda _, q: Expire(q), {"awaiting_input": "blocked"}, "missing"),
    "retry": (lambda _, q: Retry(X, "me"), {"failed": "ready", "blocked": "ready"}, "not_allowed"),
    "cancel": (
        lambda _, q: Cancel(RUN, "me"),
        {state: "cancelled" for state in STATES if state in ("pending", "ready", *OWNED, "awaiting_input", "blocked")}
        | {state: state for state in ("completed", "failed", "skipped", "not_applicable")},
        "not_allowed",
    ),
    "hold": (lambda _, q: Hold(RUN, "me"), {s: s for s in STATES if s != "cancelled"}, "not_allowed"),
    "resume": (lambda _, q: Resume(RUN, QUEUE, QUEUE), {s: s for s in STATES if s != "cancelled"}, "not_allowed"),
}


async def _make(world: World, state: TodoStatus, name: str) -> Command:
    question = (await world.question("x")).id if state == "awaiting_input" else "no-such-question"
    return COMMANDS[name][0]((await world.todo("x")).fence, question)


@pytest.mark.parametrize(
    ("state", "name"), [(state, name) for name, (_, allowed, _) in COMMANDS.items() for state in allowed]
)
async def test_what_the_table_allows(world: World, state: TodoStatus, name: str) -> None:
    await _put_in(world, state)
    if name == "expire":
        world.clock.advance(61.0)
    (outcome,) = await world.do(await _make(world, state, name))
    assert isinstance(outcome, Done | Claimed)
    assert (await world.todo("x")).state == COMMANDS[name][1][state]


@pytest.mark.parametrize("state", STATES)
async def test_what_the_table_forbids(world: World, state: TodoStatus) -> None:
    await _put_in(world, state)
    for name, (_, allowed, code) in COMMANDS.items():
        if state not in allowed:
            assert await world.refused(await _make(world, state, name)) == code, name


OF_OWNERS = [name for name, (_, allowed, _) in COMMANDS.items() if set(allowed) == set(OWNED)]


@pytest.mark.parametrize("state", OWNED)
async def test_a_write_under_another_fence_changes_no_row(world: World, state: TodoStatus) -> None:
    await _put_in(world, state)
    fence = (await world.todo("x")).fence
    for name in OF_OWNERS:
        for other in (fence - 1, fence + 1, -1, 1 << 70):
            assert await world.refused(COMMANDS[name][0](other, "")) == "lease_lost", name


@pytest.mark.parametrize("taken", ["released", "reclaimed", "settled", "cancelled", "blocked", "retried"])
async def test_a_late_owner_changes_no_row(world: World, taken: str) -> None:
    await world.submit(task("x"), task("z"))
    late = (await world.claim("x")).fence
    if taken == "cancelled":
        await world.cancel()
    elif taken in ("settled", "blocked", "retried"):
        end = Complete(X, late, [proof()]) if taken == "settled" else Block(X, late, "image", "no")
        await world.done(end)
        if taken == "retried":
            await world.done(Retry(X, "me"))
            await world.claim("x", worker="w2")
    else:
        await world.done(Release(X, late, "lease_lost", "w2"))
        if taken == "reclaimed":
            await world.claim("x", worker="w2")
    for name in OF_OWNERS:
        assert await world.refused(COMMANDS[name][0](late, "")) == "lease_lost", name


async def test_what_is_not_there_is_missing(world: World) -> None:
    await world.submit(task("x"))
    nowhere = todo_id("nowhere")
    commands: list[Command] = [
        Claim(nowhere, WORKER, QUEUE), BeginVerifying(nowhere, 1), Complete(nowhere, 1, [proof()]),
        Fail(nowhere, 1, "exit", ""), Block(nowhere, 1, "image", ""), Release(nowhere, 1, "died", WORKER),
        Say(nowhere, 1, "todo.log", "{}"), Answer("nowhere", "yes", "me"), Expire("nowhere"), Cancel("nowhere", "me"),
        Hold("nowhere", "me"), Resume("nowhere", QUEUE, QUEUE), Retry(nowhere, "me"),
    ]  # fmt: skip
    before = await world.dump()
    for outcome in await world.do(*commands):
        assert isinstance(outcome, Refused)
        assert outcome.code == "missing"
    assert await world.dump() == before
