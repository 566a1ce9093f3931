"""One round of `embedded` for DBOS on SQLite; options: ``how``, ``journal``, ``todos``, ``flight``.

Each TODO is a workflow with one step that does nothing. `how`: ``call`` (the workflow function is called: its quickest
way for one at a time), ``start`` (`start_workflow`, on its threads), ``async`` (`start_workflow_async`) or ``queue``
(`enqueue_workflow`, polled every 10 ms instead of every second). `journal`: ``delete`` is what it ships with; ``wal``
gives it an engine of ours with SQLite's write-ahead log, which it has no setting for. Both with synchronous=FULL.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dbos import DBOS, DBOSConfig, SetWorkflowID
from sqlalchemy import create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection

from benchmarks.measuring import Round, Stopwatch, in_round, percentile, report

WARM_UP = 20
QUEUE = "bench"
started: dict[str, float] = {}


@DBOS.step()
def step() -> str:
    """Notes when it was started."""
    started.setdefault(DBOS.workflow_id or "", time.perf_counter())
    return "done"


@DBOS.workflow()
def workflow() -> str:
    """One step."""
    return step()


@DBOS.step()
async def async_step() -> str:
    """The same, for the event loop."""
    started.setdefault(DBOS.workflow_id or "", time.perf_counter())
    return "done"


@DBOS.workflow()
async def async_workflow() -> str:
    """One step."""
    return await async_step()


def launch(directory: Path, journal: str) -> None:
    """Make the database and start DBOS on it."""
    url = f"sqlite:///{directory / 'dbos.sqlite'}"
    config: DBOSConfig = {"name": "bench", "system_database_url": url, "log_level": "ERROR"}
    if journal == "wal":
        engine = create_engine(url, pool_size=20, max_overflow=0)
        event.listen(engine, "connect", _as_dbos_does_and_wal)
        config["system_database_engine"] = engine
    DBOS(config=config)
    DBOS.launch()
    DBOS.register_queue(QUEUE, polling_interval_sec=0.01)


def _as_dbos_does_and_wal(connection: DBAPIConnection, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
    connection.isolation_level = "IMMEDIATE"


def one(how: str, id: str) -> None:
    """Submit one workflow and wait until it has completed, from a thread."""
    with SetWorkflowID(id):
        if how == "call":
            workflow()
            return
        handle = DBOS.start_workflow(workflow) if how == "start" else DBOS.enqueue_workflow(QUEUE, workflow)
    handle.get_result(polling_interval_sec=0.01)


def from_threads(how: str, ids: list[str], flight: int) -> dict[str, float]:
    """When each was asked for."""
    asked: dict[str, float] = {}
    left = iter(ids)
    entering = threading.Lock()

    def client() -> None:
        while True:
            with entering:
                id = next(left, None)
            if id is None:
                return
            asked[id] = time.perf_counter()
            one(how, id)

    with ThreadPoolExecutor(flight) as pool:
        for ended in [pool.submit(client) for _ in range(flight)]:
            ended.result()
    return asked


async def from_loop(ids: list[str], flight: int) -> dict[str, float]:
    """When each was asked for."""
    asked: dict[str, float] = {}
    left: Iterator[str] = iter(ids)

    async def client() -> None:
        for id in left:
            asked[id] = time.perf_counter()
            with SetWorkflowID(id):
                handle = await DBOS.start_workflow_async(async_workflow)
            await handle.get_result(polling_interval_sec=0.01)

    await asyncio.gather(*(client() for _ in range(flight)))
    return asked


def measure(options: dict[str, str | float]) -> Round:
    """A warm-up, then the measured part."""
    directory, _ = in_round()
    how, todos, flight = str(options["how"]), int(options["todos"]), int(options["flight"])
    launch(directory, str(options["journal"]))
    carry_out: Callable[[list[str]], dict[str, float]]
    if how == "async":
        carry_out = lambda ids: asyncio.run(from_loop(ids, flight))  # noqa: E731
    else:
        carry_out = lambda ids: from_threads(how, ids, flight)  # noqa: E731
    carry_out([f"warm-{number}" for number in range(WARM_UP)])
    watch = Stopwatch()
    asked = carry_out([f"todo-{number}" for number in range(todos)])
    wall, cpu = watch.read()
    done = DBOS.list_workflows(status="SUCCESS", load_input=False, load_output=False)
    assert len(done) == WARM_UP + todos, f"{len(done)} of {WARM_UP + todos} have completed"
    DBOS.destroy()
    starts = [1000 * (started[id] - when) for id, when in asked.items()]
    return {
        "per_second": todos / wall,
        "cpu": 1e6 * cpu / todos,
        "start_p50": percentile(starts, 0.50),
        "start_p99": percentile(starts, 0.99),
    }


if __name__ == "__main__":
    report(measure(in_round()[1]))
