"""Stores and their model (`store_machine`) say the same, whatever happens to them: on every engine."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import cast

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import make_url

from state.commands import Command, Outcome
from state.ports import Store
from state.sqlite import SqliteStore
from tests.contract.store_machine import Opened, StoreMachine
from tests.contract.store_memory import MemoryStore
from tests.contract.store_model import Tables
from tests.contract.store_model_checks import postgres_tables, sqlite_tables, tables
from tests.contract.store_world import FakeClock, counted
from tests.services.postgres import clear


def live(opened: Opened, examples: int, steps: int, *, new: bool) -> None:
    """Let stores live, each for at most so many steps; `new`: others each time."""
    machine = type("Machine", (StoreMachine,), {"opened": staticmethod(opened)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, derandomize=not new, print_blob=new,
            database=None, phases=(Phase.generate, Phase.shrink),
        ),
    )  # fmt: skip


class MemoryOnly:
    """As much of a store as the machine asks for: it costs nothing, so that much more can happen to it."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        return self._store.apply(*commands)

    async def close(self) -> None:
        return


def in_memory(clock: FakeClock) -> tuple[Store, Callable[[], Tables]]:
    store = MemoryStore(clock)
    return cast("Store", MemoryOnly(store)), lambda: tables(store.rows)


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def opened(request: pytest.FixtureRequest, tmp_path: Path, empty_sqlite: Path) -> Generator[Opened]:
    """Opens an empty store, again and again."""
    if request.param == "memory":
        yield in_memory
        return
    if request.param == "sqlite":
        names = counted("store")

        def sqlite(clock: FakeClock) -> tuple[Store, Callable[[], Tables]]:
            path = Path(shutil.copy(empty_sqlite, tmp_path / f"{names()}.db"))
            return SqliteStore(path, now=clock, ids=counted("q")), lambda: sqlite_tables(path)

        yield sqlite
        return
    url: str = request.getfixturevalue("postgres_shared")
    import psycopg

    from state.postgres import PostgresStore

    conninfo = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(conninfo, autocommit=True) as connection:

        def postgres(clock: FakeClock) -> tuple[Store, Callable[[], Tables]]:
            clear(url)
            return PostgresStore(url, now=clock, ids=counted("q")), lambda: postgres_tables(connection)

        yield postgres


EXAMPLES = {"memory": 100, "sqlite": 25, "postgres": 15}


@pytest.mark.timeout(600)  # a quarter of a minute, on an idle machine
def test_a_store_does_as_its_model_says(opened: Opened, request: pytest.FixtureRequest) -> None:
    engine: str = request.node.callspec.params["opened"]
    live(opened, EXAMPLES[engine], 40, new=False)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_store_does_as_its_model_says_for_long(opened: Opened, request: pytest.FixtureRequest) -> None:
    engine: str = request.node.callspec.params["opened"]
    live(opened, 20 * EXAMPLES[engine], 100, new=True)
