"""Celery in `queue` and `takeover`: a quorum queue, confirms, results in PostgreSQL, acknowledged when they are there.

Prefork with a process for each core: its other pools open a connection for each result, and are slower. A heartbeat
of five seconds, as Atlas has it; Celery's own is two minutes. Who sets the number of slots has long TODOs: prefetch is
one then. As a program: one worker.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from celery import Celery
from kombu import Queue

from benchmarks.duty import carry_out
from benchmarks.queue_system import SLOTS, Submit, System, broker, database, slots

_HEARTBEAT_SECONDS = 5
_TASK = "bench.todo"


def system() -> System:
    """Results are in a row, as JSON."""
    return System(
        worker=("-m", "benchmarks.queue_celery"),
        done="SELECT count(*) FROM celery_taskmeta WHERE status = 'SUCCESS'",
        result="SELECT convert_from(result, 'UTF8') FROM celery_taskmeta WHERE task_id = %s AND status = 'SUCCESS'",
        client=client,
    )


def application() -> Celery:
    """With its one task."""
    many = SLOTS not in os.environ
    made = Celery("bench", broker=broker(), backend=f"db+{database()}")
    made.conf.update(
        task_queues=[Queue("bench", queue_arguments={"x-queue-type": "quorum"})],
        task_default_queue="bench",
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=32 if many else 1,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        broker_heartbeat=_HEARTBEAT_SECONDS,
        broker_connection_retry_on_startup=True,
        broker_transport_options={"confirm_publish": True},
    )
    made.task(name=_TASK)(carry_out)
    return made


@asynccontextmanager
async def client() -> AsyncGenerator[Submit]:
    """One thread: it waits for each confirm, and is quicker than the worker all the same."""
    task = application().tasks[_TASK]

    async def submit(ids: Sequence[str]) -> list[str]:
        def publish() -> list[str]:
            return [task.apply_async((id,), task_id=id).id for id in ids]

        return await asyncio.to_thread(publish)

    yield submit


if __name__ == "__main__":
    processes = slots(os.cpu_count() or 1)
    application().worker_main(["worker", "--pool=prefork", f"--concurrency={processes}", "--loglevel=ERROR"])
