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


async def replay(opened: Callable[[FakeClock], Store], batches: Batches, *, joined: bool) -> tuple[list[object], Dump]:
    """Carry out the story on a store."""
    clock = FakeClock()
    store = opened(clock)
    try:
        outcomes: list[Outcome] = []
        for time, commands in batches:
            clock.time = time
            for call in [commands] if joined else [[command] for command in commands]:
                outcomes += await store.apply(call)
        return comparable(outcomes), await store.read(dump)
    finally:
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


@pytest.mark.parametrize("joined", [True, False], ids=["batches", "one at a time"])
def test_sqlite_keeps_the_same_tables(empty_sqlite: Path, joined: bool) -> None:
    @given(**STORY)
    @settings(max_examples=60 if joined else 25, deadline=None)
    def same(seed: int, batches: int, longest: int) -> None:
        story, outcomes, tables = tell(seed, batches, longest)
        with tempfile.TemporaryDirectory() as directory:
            path = Path(shutil.copy(empty_sqlite, directory))
            opened = replay(lambda clock: SqliteStore(path, now=clock, ids=counted("q1")), story, joined=joined)
            assert asyncio.run(opened) == (outcomes, tables)

    same()


@pytest.mark.postgres
@pytest.mark.parametrize("joined", [True, False], ids=["batches", "one at a time"])
def test_postgresql_keeps_the_same_tables(postgres_shared: str, joined: bool) -> None:
    from state.postgres import PostgresStore

    @given(**STORY)
    @settings(max_examples=30 if joined else 12, deadline=None)
    def same(seed: int, batches: int, longest: int) -> None:
        story, outcomes, tables = tell(seed, batches, longest)
        clear(postgres_shared)
        opened = replay(
            lambda clock: PostgresStore(postgres_shared, now=clock, ids=counted("q1")), story, joined=joined
        )
        assert asyncio.run(opened) == (outcomes, tables)

    same()
