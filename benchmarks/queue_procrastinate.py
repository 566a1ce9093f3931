"""procrastinate in `queue`: jobs in PostgreSQL, woken by NOTIFY. As a program: one worker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from procrastinate import App, PsycopgConnector
from procrastinate.types import JSONDict

from benchmarks.duty import carry_out_in_loop
from benchmarks.queue_system import Submit, System, conninfo, slots

_BATCH = 1000


def system() -> System:
    """Jobs have a state and no result."""
    return System(
        worker=("-m", "benchmarks.queue_procrastinate"),
        done="SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'",
        client=client,
    )


def application() -> App:
    """With its one task."""
    made = App(connector=PsycopgConnector(conninfo=conninfo(), min_size=4, max_size=10))
    made.task(name="todo")(carry_out_in_loop)
    return made


@asynccontextmanager
async def client() -> AsyncGenerator[Submit]:
    """In batches; makes the tables."""
    app = application()
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        todo = app.configure_task("todo")

        async def submit(ids: Sequence[str]) -> list[str]:
            for start in range(0, len(ids), _BATCH):
                batch: list[JSONDict] = [{"todo": id} for id in ids[start : start + _BATCH]]
                await todo.batch_defer_async(*batch)
            return list(ids)

        yield submit


async def work() -> None:
    """Until SIGTERM."""
    app = application()
    async with app.open_async():
        await app.run_worker_async(concurrency=slots(16))


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    asyncio.run(work())
