"""What an attempt's roles said and did, checkpoints among it: all of it under the fence, or nothing."""

from __future__ import annotations

from typing import Any

import pytest
from sqlmodel import select

from state.agent_commands import (
    CommitPack,
    ForgetThreads,
    Noted,
    Remember,
    Said,
    SavedCheckpoint,
    SavedWrite,
    Standing,
    ToolRow,
    ToolState,
)
from state.agent_tables import (
    AgentRow,
    CheckpointRow,
    CheckpointWriteRow,
    CommitRow,
    MessageRow,
    NoteRow,
    ToolCallRow,
)
from state.commands import Claimed, Done, Fail, Refused, Release
from tests.contract.store_world import RUN, World, task, todo_id


async def working(world: World) -> Claimed:
    await world.submit(task("a", kind="agent"))
    return await world.claim("a")


def memory(claim: Claimed, **parts: Any) -> Remember:
    return Remember(claim.todo, claim.fence, **parts)


async def rows(world: World, model: type[Any]) -> list[Any]:
    return list(await world.store.read(lambda session: session.exec(select(model)).all()))


def said(seq: int, blocks: str = '"hi"', talk: int = 0) -> Said:
    return Said(talk, seq, "assistant", "hephaestus", blocks, "end_turn", f"call-{seq}")


def tool(state: ToolState, result: str | None = None, number: int = 0) -> ToolRow:
    return ToolRow(0, 1, number, "t1", "check", '{"item":1}', state, result, "digest", "commit")


def checkpoint(id: str, parent: str | None = None, **fields: Any) -> SavedCheckpoint:
    values: dict[str, Any] = {"thread": "t", "ns": "", "type": "json", "body": f"body of {id}", "meta": "{}"}
    return SavedCheckpoint(id=id, parent=parent, **(values | fields))


def write(id: str, value: str = "v", *, replace: bool = False, idx: int = 0, **fields: Any) -> SavedWrite:
    values: dict[str, Any] = {"thread": "t", "ns": "", "task": "task", "path": "~", "channel": "c", "type": "json"}
    return SavedWrite(id=id, value=value, replace=replace, idx=idx, **(values | fields))


async def stored(world: World) -> tuple[list[str], list[tuple[str, int, str]]]:
    """(checkpoints, writes)"""
    checkpoints = sorted(row.id for row in await rows(world, CheckpointRow))
    return checkpoints, sorted((row.id, row.idx, row.value) for row in await rows(world, CheckpointWriteRow))


# --- conversations ----------------------------------------------------------------------------------------------------


async def test_everything_at_once(world: World) -> None:
    claim = await working(world)
    await world.done(
        memory(
            claim,
            said=[said(0), said(1)],
            tools=[tool("intent"), tool("intent", number=1)],
            standing=Standing(turns=1, tokens=1 << 40, seconds=1.5, checklist="[]", snapshot="c1"),
            packs=[CommitPack("c1", "c0", "sha256:1", 1 << 40)],
            notes=[Noted("learning", "tests run with make", "oracle")],
            events=[("role.note", '{"kind":"learning","text":"x"}'), ("todo.progress", '{"text":"on"}')],
        )
    )
    messages = await rows(world, MessageRow)
    assert [(row.todo_id, row.epoch, row.attempt, row.seq, row.call_id) for row in messages] == [
        (todo_id("a"), 0, 0, 0, "call-0"), (todo_id("a"), 0, 0, 1, "call-1"),
    ]  # fmt: skip
    assert [(row.number, row.state, row.fence) for row in await rows(world, ToolCallRow)] == [
        (0, "intent", 1), (1, "intent", 1),
    ]  # fmt: skip
    (agent,) = await rows(world, AgentRow)
    assert (agent.turns, agent.tokens, agent.seconds, agent.snapshot) == (1, 1 << 40, 1.5, "c1")
    (pack,) = await rows(world, CommitRow)
    assert (pack.run_id, pack.oid, pack.size) == (RUN, "c1", 1 << 40)
    (note,) = await rows(world, NoteRow)
    assert (note.run_id, note.todo_id, note.kind, note.author) == (RUN, todo_id("a"), "learning", "oracle")
    assert [event.type for event in await world.events()][-2:] == ["role.note", "todo.progress"]


async def test_an_old_fence_leaves_nothing_behind(world: World) -> None:
    claim = await working(world)
    await world.done(Release(claim.todo, claim.fence, "lease_lost", "sweeper"))
    command = memory(claim, said=[said(0)], standing=Standing(), checkpoints=[checkpoint("1")], events=[("x", "{}")])
    assert await world.refused(command) == "lease_lost"
    again = await world.claim("a")
    assert await world.refused(command) == "lease_lost"
    assert await world.refused(Remember("nothing", 1)) == "missing"
    await world.done(memory(again, said=[said(0)]))


async def test_a_turn_is_said_once(world: World) -> None:
    claim = await working(world)
    await world.done(memory(claim, said=[said(0, '"first"'), said(0, '"again"')]))
    await world.do(memory(claim, said=[said(0, '"later"')]), memory(claim, said=[said(0, '"x"'), said(1)]))
    assert [(row.seq, row.blocks) for row in await rows(world, MessageRow)] == [(0, '"first"'), (1, '"hi"')]


@pytest.mark.parametrize("together", [True, False])
async def test_of_a_tool_call_and_a_standing_the_newest_counts(world: World, together: bool) -> None:
    claim = await working(world)
    commands = [
        memory(claim, tools=[tool("intent")], standing=Standing(turns=1)),
        memory(claim, tools=[tool("intent"), tool("done", '"ok"')], standing=Standing(turns=2)),
    ]
    for call in [commands] if together else [[command] for command in commands]:
        assert all(isinstance(outcome, Done) for outcome in await world.do(*call))
    assert [(row.state, row.result) for row in await rows(world, ToolCallRow)] == [("done", '"ok"')]
    assert [row.turns for row in await rows(world, AgentRow)] == [2]


async def test_every_attempt_has_a_memory_of_its_own(world: World) -> None:
    claim = await working(world)
    await world.done(memory(claim, said=[said(0)], standing=Standing(turns=5)))
    await world.done(Release(claim.todo, claim.fence, "died", "sweeper"))
    claim = await world.claim("a")
    await world.done(memory(claim, said=[said(0, '"repeated"')]))
    await world.done(Fail(claim.todo, claim.fence, "exit", "x", 0.0))
    claim = await world.claim("a")
    await world.done(memory(claim, said=[said(0, '"anew"')], standing=Standing(turns=1)))
    assert [(row.attempt, row.blocks) for row in await rows(world, MessageRow)] == [(0, '"hi"'), (1, '"anew"')]
    assert [(row.attempt, row.turns) for row in await rows(world, AgentRow)] == [(0, 5), (1, 1)]


@pytest.mark.parametrize(
    "parts",
    [
        {"said": [said(0, 'a NUL: "\0"')]},
        {"said": [said(1 << 40)]},
        {"tools": [tool("done", "half \ud800")]},
        {"standing": Standing(seconds=float("nan"))},
        {"standing": Standing(turns=1 << 40)},
        {"standing": Standing(tokens=-1)},
        {"packs": [CommitPack("c1", "c0", "d", 1 << 64)]},
        {"packs": [CommitPack("c" * 5000, "c0", "d", 1)]},
        {"checkpoints": [checkpoint("1", thread="t" * 5000)]},
        {"writes": [write("1", idx=1 << 40)]},
        {"notes": [Noted("issue", "\0", "oracle")]},
        {"events": [("role.note", "\0")]},
    ],
)
async def test_what_no_engine_can_hold_is_refused_alone(world: World, parts: dict[str, Any]) -> None:
    claim = await working(world)
    assert await world.refused(memory(claim, **parts)) == "invalid"
    bad, good = await world.do(memory(claim, **parts), memory(claim, said=[said(7)]))
    assert isinstance(bad, Refused)
    assert isinstance(good, Done)
    assert [row.seq for row in await rows(world, MessageRow)] == [7]


# --- checkpoints ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("together", [True, False])
async def test_a_checkpoint_prunes_what_is_older_than_its_parent(world: World, together: bool) -> None:
    claim = await working(world)
    commands = [
        memory(claim, checkpoints=[checkpoint("1")], writes=[write("1")]),
        memory(claim, checkpoints=[checkpoint("1", ns="child")], writes=[write("1", ns="child", value="child")]),
        memory(claim, checkpoints=[checkpoint("1", thread="u")]),
        memory(claim, writes=[write("1", "replaced", replace=True, idx=-1)]),
        memory(claim, checkpoints=[checkpoint("2", "1")], writes=[write("2")]),
        memory(claim, checkpoints=[checkpoint("3", "2")]),
    ]
    for call in [commands] if together else [[command] for command in commands]:
        await world.do(*call)
    assert await stored(world) == (["1", "1", "2", "3"], [("1", 0, "child"), ("2", 0, "v")])


async def test_history_is_kept_unless_it_is_pruned(world: World) -> None:
    claim = await working(world)
    for number in range(1, 6):
        await world.done(memory(claim, checkpoints=[checkpoint(str(number), str(number - 1), prune=False)]))
    assert (await stored(world))[0] == ["1", "2", "3", "4", "5"]
    await world.done(memory(claim, checkpoints=[checkpoint("6", "5")]))
    assert (await stored(world))[0] == ["5", "6"]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    ("order", "value"), [((False, False), "1"), ((False, True), "2"), ((True, False), "1"), ((True, True), "2")]
)
async def test_only_special_writes_replace(world: World, together: bool, order: tuple[bool, bool], value: str) -> None:
    claim = await working(world)
    commands = [
        memory(claim, writes=[write("1", str(number), replace=replace)]) for number, replace in enumerate(order, 1)
    ]
    for call in [commands] if together else [[command] for command in commands]:
        await world.do(*call)
    assert (await stored(world))[1] == [("1", 0, value)]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("keep", [True, False])
async def test_forgetting_threads(world: World, together: bool, keep: bool) -> None:
    claim = await working(world)
    commands = [
        memory(claim, checkpoints=[checkpoint(id, prune=False)], writes=[write(id), write(id, replace=True, idx=-1)])
        for id in ("1", "2", "3")
    ]
    commands += [
        memory(claim, checkpoints=[checkpoint("0", ns="child")], writes=[write("2", "in another", thread="u")]),
        memory(claim, writes=[write("2", "of none", ns="lost")]),
    ]
    forget, after = ForgetThreads(["t", "none"], keep_latest=keep), memory(claim, writes=[write("9", "after")])
    for call in [[*commands, forget, after]] if together else [[command] for command in [*commands, forget, after]]:
        assert all(isinstance(outcome, Done) for outcome in await world.do(*call))
    others = [("2", 0, "in another"), ("9", 0, "after")]
    latest = [("2", 0, "of none"), ("3", -1, "v"), ("3", 0, "v")]
    assert await stored(world) == ((["0", "3"], sorted(latest + others)) if keep else ([], others))


async def test_a_batch_keeps_its_order_around_forgetting(world: World) -> None:
    claim = await working(world)
    outcomes = await world.do(
        memory(claim, checkpoints=[checkpoint("1")], said=[said(0)]),
        ForgetThreads(["t"]),
        memory(claim, checkpoints=[checkpoint("2")], said=[said(1)]),
        ForgetThreads(["t"], keep_latest=True),
        memory(claim, checkpoints=[checkpoint("3")], said=[said(2)]),
    )
    assert all(isinstance(outcome, Done) for outcome in outcomes)
    assert (await stored(world))[0] == ["2", "3"]
    assert len(await rows(world, MessageRow)) == 3
