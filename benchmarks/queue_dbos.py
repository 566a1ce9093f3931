"""DBOS in `queue` and `takeover`: a workflow of one step, through its queue in PostgreSQL, polled every 10 ms.

As a program: one worker. All workers have the same executor id, as one that was started again would have it: that is
how its workflows are recovered without its makers' paid server. (What runs at once is not in a queue of DBOS, so that
nothing waits for a worker.)
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from dbos import DBOS, DBOSClient, DBOSConfig, EnqueueOptions, run_dbos_database_migrations

from benchmarks.duty import carry_out_in_loop
from benchmarks.queue_system import Submit, System, database, slots

QUEUE, EXECUTOR = "bench", "BENCH_EXECUTOR"
_CLIENTS = 8


def system() -> System:
    """Results are in the row of the workflow."""
    return System(
        worker=("-m", "benchmarks.queue_dbos"),
        done="SELECT count(*) FROM dbos.workflow_status WHERE status = 'SUCCESS'",
        result="SELECT output FROM dbos.workflow_status WHERE workflow_uuid = %s AND status = 'SUCCESS'",
        client=client,
        restarted=True,
    )


@asynccontextmanager
async def client() -> AsyncGenerator[Submit]:
    """From some threads; makes the tables."""
    await asyncio.to_thread(run_dbos_database_migrations, system_database_url=database())
    made = DBOSClient(system_database_url=database(), lazy=True)

    def enqueue(id: str) -> str:
        options: EnqueueOptions = {"workflow_name": "workflow", "queue_name": QUEUE, "workflow_id": id}
        return made.enqueue(options, id).get_workflow_id()

    with ThreadPoolExecutor(_CLIENTS) as pool:

        async def submit(ids: Sequence[str]) -> list[str]:
            loop = asyncio.get_running_loop()
            return await asyncio.gather(*(loop.run_in_executor(pool, enqueue, id) for id in ids))

        try:
            yield submit
        finally:
            made.destroy()


def work() -> None:
    """Until SIGTERM."""
    config: DBOSConfig = {
        "name": "bench", "system_database_url": database(), "log_level": "ERROR",
        "executor_id": os.environ.get(EXECUTOR, "bench"), "application_version": "1",
    }  # fmt: skip
    DBOS(config=config)

    @DBOS.step()
    async def step(todo: str) -> int:
        return await carry_out_in_loop(todo)

    @DBOS.workflow(name="workflow")
    async def workflow(todo: str) -> int:
        return await step(todo)

    assert workflow
    DBOS.launch()
    DBOS.register_queue(QUEUE, worker_concurrency=slots(1000), polling_interval_sec=0.01)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    DBOS.destroy()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})  # before there are threads
    work()
    sys.exit(0)
