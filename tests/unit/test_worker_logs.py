"""What a worker logs while it carries out a TODO bears its ids, whichever thread or task it comes from."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlmodel import Session

from mcp_servers.container import completion
from mcp_servers.storage.threads import in_thread
from orchestrator.brokers.memory import MemoryBroker
from orchestrator.dispatch import Dispatch
from orchestrator.logs import KnownSecrets, configure
from orchestrator.waking import Waking
from orchestrator.worker import Claims, Worker
from state.commands import Claimed, NewTodo, SubmitRun
from state.ports import Reporter, Result
from state.records import QUEUE, new_id
from state.sqlite import SqliteStore
from tests.unit.test_worker import OUTPUT, PATIENCE, done

log = logging.getLogger("atlas.test")
TODOS = 3


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """The JSON log of this process."""
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = list(root.handlers), root.level
    configure("info", "json", KnownSecrets(), stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


class Talks:
    """An executor that logs from everywhere: all of them at once, so that none may say what is another's."""

    def __init__(self, store: SqliteStore, pool: ThreadPoolExecutor) -> None:
        self._store = store
        self._pool = pool
        self._together = asyncio.Barrier(TODOS)

    async def execute(self, claim: Claimed, report: Reporter) -> Result:
        key = claim.key

        def say(where: str) -> None:
            log.info("%s %s", key, where)

        def query(session: Session) -> None:
            say("read")

        async def child() -> None:
            await self._together.wait()
            say("child")

        await self._together.wait()
        say("executor")
        await asyncio.create_task(child())
        await asyncio.to_thread(say, "to_thread")
        await in_thread(lambda stop: say("in_thread"))
        await in_thread(lambda stop: say("in_thread of a pool"), self._pool)
        await completion.in_thread(lambda stop: say("in_thread of a sandbox"))
        await self._store.read(query)
        asyncio.get_running_loop().call_soon(say, "call_soon")
        if key == "breaks":
            raise ValueError(f"{key} on purpose")
        if key == "doubled":
            return done(OUTPUT, OUTPUT)  # the database will not have it twice
        return done(OUTPUT)


async def _published(claim: Claimed) -> None:
    log.info("%s published", claim.key)


WHERE = {
    "executor", "child", "to_thread", "in_thread", "in_thread of a pool", "in_thread of a sandbox", "read", "call_soon",
}  # fmt: skip


async def test_every_line_about_a_todo_bears_its_ids(tmp_path: Path, lines: io.StringIO) -> None:
    store, broker = SqliteStore(tmp_path / "a.db"), MemoryBroker()
    dispatch = Dispatch(store, broker)
    todos = [
        NewTodo(id=new_id(), key=key, title="t", kind="task", document="{}") for key in ("works", "breaks", "doubled")
    ]
    run = new_id()
    await dispatch.one(SubmitRun(run, "r", None, QUEUE, 9, "person", "test", "{}", "{}", "h", todos))
    with ThreadPoolExecutor(1) as pool:
        claims = Claims(boot="boot", placement=QUEUE, slots=TODOS)
        worker = Worker(dispatch, Waking(broker), {"task": Talks(store, pool)}, claims, _published)
        running = asyncio.create_task(worker.run())
        async with asyncio.timeout(PATIENCE):
            number = 0
            while not await _ended(store, run):
                number = await store.changed(number, 1.0)
        await worker.drain(PATIENCE)
        await asyncio.wait_for(running, PATIENCE)
    await store.close()

    records = [json.loads(line) for line in lines.getvalue().splitlines()]
    ids = {todo.key: todo.id for todo in todos}
    for record in records:
        key = record["message"].split()[0].rstrip(":")
        if key in ids:
            assert (record["run"], record["todo"]) == (run, ids[key]), record
    said = {record["message"] for record in records}
    assert {f"{key} {where}" for key in ids for where in WHERE} <= said
    assert "breaks: the executor broke" in said
    assert any(message.startswith("doubled: its result was refused") for message in said)
    (writer,) = (record for record in records if record["logger"] == "state.transaction")
    assert writer["todo"] == ids["doubled"], "the thread that writes for all says whose command was refused"
    assert [record for record in records if "todo" not in record] == []


async def _ended(store: SqliteStore, run: str) -> bool:
    from state.tables import Run

    found = await store.read(lambda session: session.get(Run, run))
    return found is not None and found.ended_at is not None
