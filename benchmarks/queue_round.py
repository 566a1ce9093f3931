"""One round of `queue`; options: ``system``, ``database``, ``broker``, ``todos`` (in a burst) or ``alone`` (so many,
each by itself), ``workers``, ``slots``, ``seconds`` (that each sleeps), ``shape`` (of Atlas's runs)."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import cast

import psycopg

from benchmarks.duty import DUTY, NOTES, Notes
from benchmarks.measuring import Round, in_round, percentile, report
from benchmarks.queue_system import BROKER, DATABASE, SLOTS, Submit, System, conninfo, system
from benchmarks.workforce import WorkerProcess, said, workforce

WARM_UP = 50
ALONE_SECONDS = 0.02
"""Between two TODOs when there is one at a time."""
_LOOK_SECONDS, _PATIENCE = 0.005, 300.0


class Progress:
    """What has been begun and completed, seen from outside."""

    def __init__(self, found: System, notes: Notes, connection: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
        self._system = found
        self._notes = notes
        self._connection = connection

    async def done(self, todos: int, workers: list[WorkerProcess]) -> None:
        """Wait until so many are completed, durably. The database is not asked before all have been begun."""
        end = time.monotonic() + _PATIENCE
        while len(self._notes.look()) < todos or await self._count() < todos:
            if any(worker.gone for worker in workers):
                raise RuntimeError("a worker has ended")
            if time.monotonic() > end:
                raise TimeoutError(f"{len(self._notes.all)} of {todos} were begun, {await self._count()} are completed")
            await asyncio.sleep(_LOOK_SECONDS)

    async def _count(self) -> int:
        try:
            cursor = await self._connection.execute(self._system.done.encode())
        except psycopg.errors.UndefinedTable:  # a worker makes it when it starts
            return 0
        return int(cast("tuple[int]", await cursor.fetchone())[0])


async def burst(submit: Submit, progress: Progress, workers: list[WorkerProcess], todos: int) -> Round:
    """Many at once."""
    ids = [f"todo-{number}" for number in range(todos)]
    cpu, own, start = sum(worker.cpu() for worker in workers), time.process_time(), time.monotonic()
    await submit(ids)
    await progress.done(WARM_UP + todos, workers)
    wall = time.monotonic() - start
    cpu = sum(worker.cpu() for worker in workers) - cpu + time.process_time() - own
    return {"per_second": todos / wall, "cpu": 1e6 * cpu / todos}


async def alone(submit: Submit, progress: Progress, workers: list[WorkerProcess], todos: int, notes: Notes) -> Round:
    """One, a pause, and the next one."""
    asked: dict[str, float] = {}
    for number in range(todos):
        now = time.monotonic()
        [name] = await submit([f"alone-{number}"])
        asked[name] = now
        await asyncio.sleep(ALONE_SECONDS)
    await progress.done(WARM_UP + todos, workers)
    begun = {note.todo: note.at for note in reversed(notes.all)}
    starts = [1000 * (begun[name] - when) for name, when in asked.items()]
    return {"start_p50": percentile(starts, 0.50), "start_p99": percentile(starts, 0.99)}


async def measure(directory: Path, options: dict[str, str | float]) -> Round:
    """A warm-up, then the measured part."""
    notes, found = Notes(directory / "notes"), system(str(options["system"]))
    async with found.client() as submit:
        with workforce(int(options.get("workers", 1)), found.worker, directory) as workers:
            connection = await psycopg.AsyncConnection.connect(conninfo(), autocommit=True)
            async with connection:
                progress = Progress(found, notes, connection)
                try:
                    await submit([f"warm-{number}" for number in range(WARM_UP)])
                    await progress.done(WARM_UP, workers)
                    if todos := int(options.get("todos", 0)):
                        result = await burst(submit, progress, workers, todos)
                    else:
                        result = await alone(submit, progress, workers, int(options["alone"]), notes)
                except (RuntimeError, TimeoutError) as error:
                    raise RuntimeError(f"{error}\n{said(directory)}") from error
    return {**result, "twice": len(notes.look()) - len({note.todo for note in notes.all})}


def settle_in(directory: Path, options: dict[str, str | float]) -> None:
    """What the workers, and the modules of the systems, are told by the environment."""
    told = {"database": DATABASE, "broker": BROKER, "slots": SLOTS, "seconds": DUTY, "shape": "BENCH_SHAPE"}
    os.environ |= {name: str(options[option]) for option, name in told.items() if option in options}
    os.environ |= {NOTES: str(directory / "notes"), "ATLAS_HOME": str(directory / "client")}


if __name__ == "__main__":
    settle_in(*in_round())
    report(asyncio.run(measure(*in_round())))
