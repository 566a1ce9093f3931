"""The same commands, one at a time and in random batches, on every engine: the same tables, row for row.

The dict engine with one command at a time is the definition: no SQL, no batches.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state.commands import Command, Outcome, Refused
from state.ports import Store
from state.sqlite import SqliteStore
from tests.contract.store_memory import MemoryStore
from tests.contract.store_stories import Story
from tests.contract.store_world import Dump, FakeClock, counted, dump
from tests.services.postgres import clear

Batches = list[tuple[float, list[Command]]]
STORY = {"seed": st.integers(0, 1 << 40), "batches": st.integers(1, 8), "longest": st.integers(1, 40)}
"""A seed and not `st.randoms`, whose numbers are far from even: half of the commands would be submissions."""


def comparable(outcomes: Sequence[Outcome]) -> list[object]:
    """What a caller acts on; words may differ."""
    return [outcome.code if isinstance(outcome, Refused) else outcome for outcome in outcomes]


def tell(seed: int, batches: int, longest: int) -> tuple[Batches, list[object], Dump]:
    """(what to do and when, what comes out, the tables at the end)"""
    random = Random(seed)
    clock = FakeClock()
    store = MemoryStore(clock)
    story = Story(random, store)
    told: Batches = []
    outcomes: list[Outcome] = []
    for _ in range(batches):
        clock.advance(random.choice((0.5, 7.0, 60.0)))
        story.begin_batch()
        commands: list[Command] = []
        for _ in range(random.randint(1, longest)):
            command = story.command()
            commands.append(command)
            outcomes += store.apply(command)
        told.append((clock.time, commands))
    return told, comparable(outcomes), store.dump()


async def replay(
    opened: Callable[[FakeClock, Callable[[], str]], Store], batches: Batches, *, joined: bool, writers: int = 1
) -> tuple[list[object], Dump]:
    """Carry out the story on a store, by so many writers in random turns."""
    clock, ids, turns = FakeClock(), counted("q1"), Random(len(batches))
    stores = [opened(clock, ids) for _ in range(writers)]
    try:
        outcomes: list[Outcome] = []
        for time, commands in batches:
            clock.time = time
            for call in [commands] if joined else [[command] for command in commands]:
                outcomes += await turns.choice(stores).apply(call)
        return comparable(outcomes), await stores[0].read(dump)
    finally:
        for store in stores:
            await store.close()


@given(**STORY)
@settings(max_examples=250, deadline=None)
def test_batches_decide_as_single_commands_do(seed: int, batches: int, longest: int) -> None:
    story, outcomes, tables = tell(seed, batches, longest)
    clock = FakeClock()
    store = MemoryStore(clock)
    again: list[Outcome] = []
    for time, commands in story:
        clock.time = time
        again += store.apply(*commands)
    assert comparable(again) == outcomes
    assert store.dump() == tables


@pytest.mark.parametrize(
    ("joined", "writers"), [(True, 1), (False, 1), (False, 3)], ids=["batches", "one at a time", "three writers"]
)
def test_sqlite_keeps_the_same_tables(empty_sqlite: Path, joined: bool, writers: int) -> None:
    @given(**STORY)
    @settings(max_examples=60 if joined else 25, deadline=None)
    def same(seed: int, batches: int, longest: int) -> None:
        story, outcomes, tables = tell(seed, batches, longest)
        with tempfile.TemporaryDirectory() as directory:
            path = Path(shutil.copy(empty_sqlite, directory))

            def opened(clock: FakeClock, ids: Callable[[], str]) -> Store:
                return SqliteStore(path, now=clock, ids=ids)

            found = asyncio.run(replay(opened, story, joined=joined, writers=writers))
            assert found == (outcomes, tables)

    same()


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("joined", "writers"), [(True, 1), (False, 1), (False, 3)], ids=["batches", "one at a time", "three writers"]
)
def test_postgresql_keeps_the_same_tables(postgres_shared: str, joined: bool, writers: int) -> None:
    from state.postgres import PostgresStore

    @given(**STORY)
    @settings(max_examples=30 if joined else 12, deadline=None)
    def same(seed: int, batches: int, longest: int) -> None:
        story, outcomes, tables = tell(seed, batches, longest)
        clear(postgres_shared)

        def opened(clock: FakeClock, ids: Callable[[], str]) -> Store:
            return PostgresStore(postgres_shared, now=clock, ids=ids)

        found = asyncio.run(replay(opened, story, joined=joined, writers=writers))
        assert found == (outcomes, tables)

    same()
