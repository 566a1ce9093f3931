"""taskiq with taskiq-aio-pika in `queue`: a quorum queue, confirms, results in PostgreSQL, acknowledged when they are
there. A worker is its command line's, with one process.

The two adapters for results in PostgreSQL, taskiq-pg and taskiq-postgresql, do not load with taskiq 0.13; this one does
what they do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any

from taskiq import AsyncResultBackend, TaskiqResult
from taskiq_aio_pika import AioPikaBroker, Queue, QueueType

from benchmarks.duty import carry_out_in_loop
from benchmarks.queue_system import Submit, System, broker, conninfo, slots

_FLIGHT = 200
_SLOTS = 200
_CONNECTIONS = 10
_INSERT = """
INSERT INTO taskiq_results (task_id, result) VALUES ($1, $2)
ON CONFLICT (task_id) DO UPDATE SET result = excluded.result
"""
_SELECT = "SELECT result FROM taskiq_results WHERE task_id = $1"


def system() -> System:
    """Its results are there before it acknowledges."""
    many = str(slots(_SLOTS))
    return System(
        worker=(
            "-m", "taskiq", "worker", "benchmarks.queue_taskiq:application", "--workers", "1",
            "--max-async-tasks", many, "--ack-type", "when_saved", "--log-level", "ERROR",
        ),
        done="SELECT count(*) FROM taskiq_results",
        client=client,
    )  # fmt: skip


class Results(AsyncResultBackend[int]):
    """A row for each, through a pool."""

    async def startup(self) -> None:
        """Both the client and the worker."""
        driver: Any = import_module("asyncpg")  # which has half of its types
        self._pool = await driver.create_pool(conninfo(), min_size=_CONNECTIONS, max_size=_CONNECTIONS)
        await self._pool.execute("CREATE TABLE IF NOT EXISTS taskiq_results (task_id text PRIMARY KEY, result bytea)")

    async def shutdown(self) -> None:
        await self._pool.close()

    async def set_result(self, task_id: str, result: TaskiqResult[int]) -> None:
        await self._pool.execute(_INSERT, task_id, result.model_dump_json().encode())

    async def is_result_ready(self, task_id: str) -> bool:
        return await self._pool.fetchval(_SELECT, task_id) is not None

    async def get_result(self, task_id: str, with_logs: bool = False) -> TaskiqResult[int]:
        return TaskiqResult[int].model_validate_json(await self._pool.fetchval(_SELECT, task_id) or b"")


def application() -> AioPikaBroker:
    """With its one task."""
    made = AioPikaBroker(
        broker(), result_backend=Results(), qos=2 * slots(_SLOTS), task_queues=[Queue(type=QueueType.QUORUM)]
    )
    made.register_task(carry_out_in_loop, task_name="todo")
    return made


@asynccontextmanager
async def client() -> AsyncGenerator[Submit]:
    """Some at a time."""
    made = application()
    await made.startup()
    todo = made.find_task("todo")
    assert todo

    async def submit(ids: Sequence[str]) -> list[str]:
        left = iter(ids)

        async def submitter() -> None:
            for id in left:
                await todo.kicker().with_task_id(id).kiq(id)

        await asyncio.gather(*(submitter() for _ in range(min(len(ids), _FLIGHT))))
        return list(ids)

    try:
        yield submit
    finally:
        await made.shutdown()
