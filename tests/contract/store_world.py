"""A store under test and short words for what tests do to it. The fixture `world` runs a test once per engine."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlmodel import Session, SQLModel, select

from state import tables
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
    NewTodo,
    Outcome,
    Refused,
    SubmitRun,
)
from state.migrations import upgrade_sqlite
from state.ports import Store
from state.records import QUEUE, Evidence, FailureReason, Output, TodoKind
from state.sqlite import SqliteStore
from state.tables import Event, Question, Run, Todo

RUN = "run-1"
WORKER = "worker-1"
START = 1_750_000_000.0
Need = str | tuple[str, str]


class FakeClock:
    """The database's clock in tests: stands still until it is moved."""

    def __init__(self, time: float = START) -> None:
        self.time = time

    def __call__(self) -> float:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += seconds


def counted(prefix: str) -> Callable[[], str]:
    """Ids that are the same in every run of a test."""
    numbers = count(1)
    return lambda: f"{prefix}-{next(numbers):06}"


def todo_id(key: str, run: str = RUN) -> str:
    """The id that tests give to a TODO."""
    return f"{run}.{key}"


def task(key: str, *needs: Need, run: str = RUN, kind: TodoKind = "task", **options: Any) -> NewTodo:
    """A TODO; a need is a key, or (key of a gate, wanted answer)."""
    pairs = [(need, None) if isinstance(need, str) else need for need in needs]
    ids = [(todo_id(need, run), answer) for need, answer in pairs]
    return NewTodo(todo_id(key, run), key, key.upper(), kind, f'{{"todo":"{key}"}}', needs=ids, **options)


def gate(
    key: str, *needs: Need, choices: Sequence[str] = ("yes", "no"), expires: float | None = None, run: str = RUN
) -> NewTodo:
    """A TODO that asks."""
    ask = json.dumps({"text": f"{key}?", "choices": list(choices), "expires": expires})
    return task(key, *needs, run=run, kind="ask", ask=ask)


def submission(*todos: NewTodo, run: str = RUN, placement: str = QUEUE, concurrency: int = 100) -> SubmitRun:
    """A run of these."""
    return SubmitRun(run, run, None, placement, concurrency, "person", "test", "{}", "{}", "hash", list(todos))


def proof(passed: bool = True, subject: str = "exit:1", **fields: Any) -> Evidence:
    """One item of evidence."""
    values: dict[str, Any] = {
        "item": "{}", "item_hash": "item", "command": "true", "exit_code": 0, "output_tail": "", "digest": "",
        "verifier": "test", "seconds": 0.5,
    }  # fmt: skip
    return Evidence(subject=subject, passed=passed, **(values | fields))


def output(internal: str = "/out/a") -> Output:
    """One row of a manifest."""
    return Output(internal, f"file:///remote{internal}", f"file:///staged{internal}", "sha256:0", 3, False, None)


@dataclass(frozen=True)
class Logged:
    """One event."""

    seq: int
    type: str
    todo: str | None
    data: dict[str, Any]


Dump = dict[str, list[tuple[Any, ...]]]


def dump(session: Session) -> Dump:
    """Every row of every table."""
    found: Dump = {}
    for name, table in sorted(SQLModel.metadata.tables.items()):
        rows = session.connection().execute(sqlalchemy.select(table)).all()
        found[name] = sorted((tuple(row) for row in rows), key=repr)
    return found


class World:
    """One store, its clock, and (mostly) one run."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.store = store
        self.clock = clock

    async def do(self, *commands: Command) -> list[Outcome]:
        """In one call."""
        return await self.store.apply(commands)

    async def done(self, command: Command) -> Done:
        """It must be carried out."""
        (outcome,) = await self.store.apply([command])
        assert isinstance(outcome, Done), outcome
        return outcome

    async def refused(self, command: Command) -> str:
        """It must be refused, and change nothing at all; returns the code."""
        before = await self.dump()
        (outcome,) = await self.store.apply([command])
        assert isinstance(outcome, Refused), outcome
        assert outcome.message
        assert await self.dump() == before
        return outcome.code

    async def submit(self, *todos: NewTodo, run: str = RUN, placement: str = QUEUE, concurrency: int = 100) -> Done:
        return await self.done(submission(*todos, run=run, placement=placement, concurrency=concurrency))

    async def claim(self, key: str, run: str = RUN, worker: str = WORKER) -> Claimed:
        (outcome,) = await self.store.apply([Claim(todo_id(key, run), worker, (await self.run(run)).placement)])
        assert isinstance(outcome, Claimed), outcome
        return outcome

    async def verify(self, key: str, fence: int, run: str = RUN) -> Done:
        return await self.done(BeginVerifying(todo_id(key, run), fence))

    async def finish(self, key: str, run: str = RUN) -> Done:
        claim = await self.claim(key, run)
        return await self.done(Complete(claim.todo, claim.fence, [proof()]))

    async def fail(self, key: str, reason: FailureReason = "exit", run: str = RUN) -> Done:
        claim = await self.claim(key, run)
        return await self.done(Fail(claim.todo, claim.fence, reason, "it broke"))

    async def block(self, key: str, run: str = RUN) -> Done:
        claim = await self.claim(key, run)
        return await self.done(Block(claim.todo, claim.fence, "image", "no such image"))

    async def answer(self, key: str, value: str, run: str = RUN) -> Done:
        return await self.done(Answer((await self.question(key, run)).id, value, "me"))

    async def expire(self, key: str, run: str = RUN) -> Done:
        return await self.done(Expire((await self.question(key, run)).id))

    async def hold(self, reason: str = "pause", run: str = RUN) -> Done:
        return await self.done(Hold(run, reason))

    async def cancel(self, run: str = RUN) -> Done:
        return await self.done(Cancel(run, "person"))

    async def run(self, run: str = RUN) -> Run:
        found = await self.store.read(lambda session: session.get(Run, run))
        assert found
        return found

    async def todo(self, key: str, run: str = RUN) -> Todo:
        found = await self.store.read(lambda session: session.get(Todo, todo_id(key, run)))
        assert found
        return found

    async def states(self, run: str = RUN) -> dict[str, str]:
        query = select(Todo).where(Todo.run_id == run).order_by(tables.Todo.position)  # type: ignore[arg-type]
        return {row.key: row.state for row in await self.store.read(lambda session: session.exec(query).all())}

    async def question(self, key: str, run: str = RUN) -> Question:
        """The newest one that a gate asked."""
        query = select(Question).where(Question.todo_id == todo_id(key, run))
        rows = await self.store.read(lambda session: session.exec(query).all())
        return max(rows, key=lambda row: row.epoch)

    async def events(self, run: str = RUN) -> list[Logged]:
        query = select(Event).where(Event.run_id == run)
        rows = sorted(await self.store.read(lambda session: session.exec(query).all()), key=lambda row: row.seq)
        return [Logged(row.seq, row.type, row.todo_id, json.loads(row.data)) for row in rows]

    async def outbox(self) -> set[str]:
        return set(await self.store.read(lambda session: session.exec(select(tables.Outbox.todo_id)).all()))

    async def dump(self) -> Dump:
        return await self.store.read(dump)


ENGINES = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
OpenStore = Callable[[], Store]


@pytest.fixture(scope="session")
def empty_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file to copy."""
    path = tmp_path_factory.mktemp("store") / "empty.db"
    upgrade_sqlite(path)
    return path


@pytest.fixture(params=ENGINES)
def open_store(
    request: pytest.FixtureRequest, tmp_path: Path, empty_sqlite: Path
) -> Callable[[FakeClock | None], Store]:
    """Opens the same database again and again; closing is the caller's."""
    numbers = count(1)
    if request.param == "sqlite":
        path = tmp_path / "atlas.db"
        shutil.copy(empty_sqlite, path)
        return lambda clock: SqliteStore(path, now=clock, ids=counted(f"q{next(numbers)}"))
    url: str = request.getfixturevalue("postgres_cleared")
    from state.postgres import PostgresStore

    return lambda clock: PostgresStore(url, now=clock, ids=counted(f"q{next(numbers)}"))


@pytest.fixture
async def world(open_store: Callable[[FakeClock | None], Store]) -> AsyncGenerator[World]:
    """An empty database of one of the engines, its clock in the test's hands."""
    clock = FakeClock()
    store = open_store(clock)
    yield World(store, clock)
    await store.close()


def keys(ids: Sequence[str]) -> list[str]:
    """The keys of TODO ids."""
    return [id.rpartition(".")[2] for id in ids]


def moves(events: Sequence[Logged], key: str) -> Iterator[str]:
    """The states that a TODO went through."""
    return (event.data["to"] for event in events if event.type == "todo.state" and event.todo == todo_id(key))
