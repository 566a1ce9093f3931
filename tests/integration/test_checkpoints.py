"""Checkpoints under fences: what is lost with a process, what an old owner can still do, and what is kept."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlmodel import Session, col, func, select

from roles.checkpoints import LEASE, StoreSaver
from roles.record import Record
from state.agent_commands import Remember, Said, ToolRow
from state.agent_tables import CheckpointRow, CheckpointWriteRow, MessageRow
from state.commands import Command, Outcome
from state.errors import LeaseLost
from state.ports import Store
from state.sqlite import SqliteStore
from tests.contract.store_world import World, submission, task
from tests.integration.checkpointed_graph import counting_graph, go_on, settings, take_over

ROOT = Path(__file__).resolve().parents[2]
STEPS = 200
KILLS = min(int(os.environ.get("ATLAS_CHAOS_TRIALS", "6")), 15)


def ignore(number: int) -> None:
    """A call without an effect."""


async def prepared(world: World) -> tuple[str, int]:
    await world.submit(task("a", kind="agent"))
    claim = await world.claim("a")
    return claim.todo, claim.fence


# --- fences -----------------------------------------------------------------------------------------------------------


async def test_an_old_fence_changes_no_row(world: World) -> None:
    todo, fence = await prepared(world)
    saver = StoreSaver(world.store)

    taken: list[asyncio.Task[Any]] = []

    def call(number: int) -> None:
        if number == 5 and not taken:
            taken.append(asyncio.create_task(take_over(world.store, todo)))

    graph = counting_graph(saver, STEPS, call)
    with pytest.raises(LeaseLost, match="was not written"):
        await graph.ainvoke({"number": 0}, settings((todo, fence)), durability="sync")
    await taken[0]
    before = await world.dump()
    with pytest.raises(LeaseLost):
        await graph.ainvoke(None, settings((todo, fence)), durability="sync")
    with pytest.raises(LeaseLost):
        await graph.aupdate_state(settings((todo, fence)), {"number": 99})
    assert await world.dump() == before


async def test_nobody_writes_without_a_lease_and_anybody_reads(world: World) -> None:
    lease = await prepared(world)
    saver = StoreSaver(world.store)
    graph = counting_graph(saver, 3, ignore)
    with pytest.raises(ValueError, match="without a lease"):
        await graph.ainvoke({"number": 0}, settings(None), durability="sync")
    await graph.ainvoke({"number": 0}, settings(lease), durability="sync")
    state = await graph.aget_state(settings(None))
    assert state.values == {"number": 3}
    stored = await world.store.read(lambda session: [row.meta for row in session.exec(select(CheckpointRow))])
    assert stored
    assert not any(LEASE in meta for meta in stored)
    with pytest.raises(NotImplementedError, match="ainvoke"):
        graph.get_state(settings(None))


# --- kill -9 ----------------------------------------------------------------------------------------------------------


def calls(effects: Path) -> list[int]:
    return [int(line) for line in effects.read_text().splitlines()]


def run_and_kill(database: str, effects: Path, more: int) -> None:
    """Kill the process when it has made so many calls more; at whatever it then does."""
    target = len(calls(effects)) + more
    argv = [sys.executable, "-P", "-m", "tests.integration.checkpointed_graph", database, str(effects), str(STEPS)]
    with subprocess.Popen(argv, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}) as process:
        deadline = time.monotonic() + 60
        while len(calls(effects)) < target and process.poll() is None:
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL, "it was to be killed in the middle"


async def killed_again_and_again(database: str, store: Store, effects: Path) -> None:
    """At every death: what is durable are the calls that were made, all but perhaps the last, and whoever comes next
    goes on exactly there."""
    random = Random(7)
    await store.apply([submission(task("a", kind="agent"))])
    os.close(os.open(effects, os.O_CREAT))
    done = 0
    for _ in range(KILLS):
        before = len(calls(effects))
        await asyncio.to_thread(run_and_kill, database, effects, random.randint(1, 8))
        made = calls(effects)
        assert made[before:] == list(range(done, made[-1] + 1))
        saved = await StoreSaver(store).aget_tuple(settings(None))
        assert saved
        results = [value for _, channel, value in saved.pending_writes or () if channel == "number"]
        done = max(saved.checkpoint["channel_values"].get("number", 0), *results, 0)
        assert done in (made[-1], made[-1] + 1)
    lease = await take_over(store, "run-1.a")
    file = os.open(effects, os.O_WRONLY | os.O_APPEND)
    final = await go_on(StoreSaver(store), STEPS, lease, lambda number: _note(file, number))
    os.close(file)
    assert final.get("number") == STEPS
    times = Counter(calls(effects))
    assert times.keys() == set(range(STEPS))
    assert sum(times.values()) - STEPS <= KILLS, "more than the calls in flight ran again"


def _note(file: int, number: int) -> None:
    os.write(file, f"{number}\n".encode())


@pytest.mark.timeout(300)
async def test_killed_processes_lose_only_the_call_in_flight(empty_sqlite: Path, tmp_path: Path) -> None:
    database = shutil.copy(empty_sqlite, tmp_path / "atlas.db")
    store = SqliteStore(Path(database))
    await killed_again_and_again(str(database), store, tmp_path / "effects")
    await store.close()


@pytest.mark.postgres
@pytest.mark.chaos
async def test_killed_processes_lose_only_the_call_in_flight_on_postgresql(
    postgres_database: str, tmp_path: Path
) -> None:
    from state.postgres import PostgresStore

    store = PostgresStore(postgres_database)
    await killed_again_and_again(postgres_database, store, tmp_path / "effects")
    await store.close()


# --- what is kept -----------------------------------------------------------------------------------------------------


def stored_bytes(session: Session) -> int:
    """Of all texts of all checkpoints."""
    of_checkpoints = select(func.sum(func.length(CheckpointRow.body) + func.length(CheckpointRow.meta)))
    of_writes = select(func.sum(func.length(CheckpointWriteRow.value)))
    return (session.exec(of_checkpoints).one() or 0) + (session.exec(of_writes).one() or 0)


async def test_a_long_thread_keeps_little(world: World) -> None:
    lease = await prepared(world)
    saver = StoreSaver(world.store)
    most = 0
    graph = counting_graph(saver, 400, ignore)
    async for _ in graph.astream({"number": 0, "words": "x" * 3000}, settings(lease), durability="sync"):
        most = max(most, await world.store.read(stored_bytes))
    count = await world.store.read(lambda session: len(session.exec(select(CheckpointRow)).all()))
    assert count <= 2
    assert 3000 < most < 100_000  # without pruning it is 1.7 MB of state alone
    assert await world.store.read(stored_bytes) <= most
    await saver.aprune([settings(None)["configurable"]["thread_id"]])  # pyright: ignore[reportTypedDictNotRequiredAccess]
    assert await world.store.read(lambda session: len(session.exec(select(CheckpointRow)).all())) == 1
    assert (await graph.aget_state(settings(None))).values["number"] == 400
    await saver.adelete_thread("thread")
    assert await world.store.read(stored_bytes) == 0


async def test_history_is_kept_when_it_is_asked_for(world: World) -> None:
    lease = await prepared(world)
    graph = counting_graph(StoreSaver(world.store, history=True), 10, ignore)
    await graph.ainvoke({"number": 0}, settings(lease), durability="sync")
    numbers = [state.values.get("number") async for state in graph.aget_state_history(settings(None))]
    assert numbers == [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, None]


# --- order ------------------------------------------------------------------------------------------------------------


class Watched:
    """A store that remembers in which order it was asked."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.asked: list[str] = []

    async def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        for command in commands:
            assert isinstance(command, Remember)
            self.asked += [write.channel for write in command.writes] + [saved.id for saved in command.checkpoints]
        return await self._store.apply(commands)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


async def test_the_order_of_calls_is_the_order_of_commits(world: World) -> None:
    """Also of those that nobody awaits, between turns of the loop."""
    todo, fence = await prepared(world)
    watched = Watched(world.store)
    saver = StoreSaver(watched)  # pyright: ignore[reportArgumentType]
    place = settings((todo, fence))
    place["configurable"] |= {"checkpoint_ns": "", "checkpoint_id": "c0"}  # pyright: ignore[reportTypedDictNotRequiredAccess]
    for round in range(50):
        writes = [
            asyncio.create_task(saver.aput_writes(place, [(f"{round}-{number}", "é" * 5000)], f"{round}-{number}"))
            for number in range(10)
        ]
        await writes[-1]
        keys = [f"{round}-{number}" for number in range(10)]
        query = select(CheckpointWriteRow.channel).where(col(CheckpointWriteRow.channel).in_(keys))
        found = await world.store.read(lambda session, query=query: session.exec(query).all())
        assert sorted(found) == keys, "the last one is durable and an earlier one is not"
        await asyncio.gather(*writes)
    assert watched.asked == [f"{round}-{number}" for round in range(50) for number in range(10)]


async def test_results_come_back_in_the_order_of_their_tasks(world: World) -> None:
    lease = await prepared(world)
    saver = StoreSaver(world.store)
    checkpoint: Any = {"v": 1, "id": "c1", "ts": "", "channel_values": {}, "channel_versions": {}, "versions_seen": {}}
    place: Any = {"configurable": settings(lease).get("configurable", {}) | {"checkpoint_ns": ""}}
    stored = await saver.aput(place, checkpoint, {}, {})
    at: Any = {"configurable": stored.get("configurable", {}) | {LEASE: lease}}
    await asyncio.gather(
        saver.aput_writes(at, [("x", 1), ("y", 2)], "task-b", "~__pregel_pull, b"),
        saver.aput_writes(at, [("x", 3)], "task-a", "~__pregel_pull, a"),
    )
    await saver.aput_writes(at, [("x", "again")], "task-a", "~__pregel_pull, a")  # what is there stays
    await saver.aput_writes(at, [("__error__", "one")], "task-c", "")
    await saver.aput_writes(at, [("__error__", "two")], "task-c", "")  # but of an error the newest counts
    found = await saver.aget_tuple(stored)
    assert found
    assert found.pending_writes == [
        ("task-c", "__error__", "two"), ("task-a", "x", 3), ("task-b", "x", 1), ("task-b", "y", 2),
    ]  # fmt: skip


# --- words that join a result -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("costly", [False, True], ids=["looks", "is paid for"])
async def test_words_are_there_exactly_when_the_result_is(world: World, costly: bool) -> None:
    """And neither is waited for: what was paid for is on its way at once, the rest goes with the next write."""
    await world.submit(task("a", kind="agent"))
    claim = await world.claim("a")
    lease = claim.todo, claim.fence
    saver, record = StoreSaver(world.store), Record(claim, world.store.apply)

    def call(number: int) -> None:
        said = Said(0, number + 1, "assistant", "hephaestus", '"on"')
        tools = [ToolRow(0, number, 0, "c", "write", "{}", "done", "{}", snapshot="oid")] if costly else []
        record.later(said=[said], tools=tools, events=[("role.note", '{"kind":"learning","text":"on"}')])

    async def rows() -> int:
        return await world.store.read(lambda session: len(session.exec(select(MessageRow)).all()))

    async def number() -> int:
        found = await saver.aget_tuple(settings(lease))
        return found.checkpoint["channel_values"].get("number", 0) if found else 0

    graph = counting_graph(saver, 20, call)
    with saver.joined(lease, record.keep_checkpoint):
        async for _ in graph.astream({"number": 0}, settings(lease), durability="sync"):
            before, found, after = await number(), await rows(), await number()
            assert before <= found <= after
        assert costly or not await rows(), "nobody has written anything"
        await record.flush()
    assert await rows() == await number() == 20
    assert [event.type for event in await world.events()].count("role.note") == 20
    assert not record.pending


async def test_who_writes_next_is_told_that_the_todo_is_somebody_elses(world: World) -> None:
    """Although nobody waited for the checkpoint that was refused."""
    await world.submit(task("a", kind="agent"))
    claim = await world.claim("a")
    record = Record(claim, world.store.apply)
    await take_over(world.store, claim.todo)
    record.later(tools=[ToolRow(0, 1, 0, "c", "write", "{}", "done", "{}", snapshot="oid")])
    record.keep_checkpoint(Remember(claim.todo, claim.fence))
    await asyncio.sleep(0)
    with pytest.raises(LeaseLost):
        await record.commit([])
