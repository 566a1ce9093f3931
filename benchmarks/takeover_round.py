"""One round of `takeover`; options: ``system``, ``database``, ``broker``, ``how`` (death, freeze), ``trials``.

One TODO at a time, which goes on until it is released. Whoever works on it is killed or stopped; once another has begun
it, it is released, and who was stopped goes on: it finds the TODO released, too, and comes with its result.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import psycopg

from benchmarks.duty import DUTY, Note, Notes
from benchmarks.measuring import Round, in_round, report
from benchmarks.queue_round import settle_in
from benchmarks.queue_system import Submit, System, conninfo, system
from benchmarks.workforce import WorkerProcess, another, said, workforce

VICTIMS = 5
"""So many are killed before others are started, in quiet."""
_SOON, _PATIENCE, _LOOK_SECONDS = 0.3, 90.0, 0.002
_HEARTBEAT = 2.0
_LATE_SECONDS = 1.0
"""For what a thawed worker writes once it is at the end."""
T = TypeVar("T")


@dataclass(slots=True)
class Trials:
    """What came of them."""

    system: System
    submit: Submit
    notes: Notes
    directory: Path
    workers: list[WorkerProcess]
    took: list[float] = field(default_factory=list[float])
    stale: int = 0
    late: int = 0
    started: int = 0

    async def staff(self, count: int) -> None:
        """Have so many workers, all of them ready: each holds one TODO."""
        while len(self.workers) < count:
            self.start_another()
        names = await self.submit([f"ready-{self.started}-{number}" for number in range(count)])
        await self.until(lambda: all(self.notes.of(name, "began") for name in names), "all workers are ready")
        for name in names:
            self.release(name)
        await self.completed(names)

    def start_another(self) -> None:
        """A worker of a number that none had before."""
        self.workers.append(another(self.started, self.system.worker, self.directory))
        self.started += 1

    def release(self, name: str) -> None:
        """Whoever works on it comes to its end."""
        (self.directory / "released" / name).touch()

    async def death(self, number: int) -> None:
        """Of the worker that has the TODO."""
        name, began = await self._begun(number, _SOON)
        worker = self._worker_of(began)
        killed = time.monotonic()
        worker.kill()
        self.workers.remove(worker)
        if self.system.restarted:
            self.start_another()
        await self._taken_over(name, killed)
        self.release(name)
        await self.completed([name])

    async def freeze(self, number: int) -> None:
        """The same, and its return."""
        name, began = await self._begun(number, _HEARTBEAT)
        worker = self._worker_of(began)
        stopped = time.monotonic()
        worker.send(signal.SIGSTOP)
        await self._taken_over(name, stopped)
        self.release(name)
        await self.completed([name])
        worker.send(signal.SIGCONT)
        try:
            await self.until(lambda: len(self.notes.of(name, "ended")) > 1, "", _LATE_SECONDS)
            self.late += 1
        except TimeoutError:
            pass  # it was told to stop before it came to the end
        await asyncio.sleep(_LATE_SECONDS)
        [result] = await asyncio.to_thread(_rows, self.system.result, name)
        self.stale += result == str(began.pid)

    async def _begun(self, number: int, longest: float) -> tuple[str, Note]:
        """Some time after it was: deaths come at any moment between two looks or heartbeats."""
        [name] = await self.submit([f"trial-{number}"])
        [began] = await self.until(lambda: self.notes.of(name, "began"), "a worker has it")
        await asyncio.sleep(random.uniform(0.05, longest))
        return name, began

    def _worker_of(self, note: Note) -> WorkerProcess:
        return next(worker for worker in self.workers if note.pid in worker.pids())

    async def _taken_over(self, name: str, since: float) -> None:
        again = await self.until(lambda: self.notes.of(name, "began")[1:], "another worker has it")
        self.took.append(again[0].at - since)

    async def completed(self, names: list[str]) -> None:
        """Durably."""
        await self.until(lambda: all(self.notes.of(name, "ended") for name in names), "they have ended")
        end = time.monotonic() + _PATIENCE
        while not all([await asyncio.to_thread(_rows, self.system.result, name) for name in names]):
            if time.monotonic() > end:
                raise TimeoutError(f"not in time: a result of {names}")

    async def until(self, seen: Callable[[], T], what: str, patience: float = _PATIENCE) -> T:
        """What is seen, once it is something. `TimeoutError`."""
        end = time.monotonic() + patience
        while not (found := seen()):
            if time.monotonic() > end:
                raise TimeoutError(f"not in time: {what}")
            await asyncio.sleep(_LOOK_SECONDS)
        return found


def _rows(sql: str, name: str) -> list[str]:
    try:
        with psycopg.connect(conninfo()) as connection:
            return [str(row[0]) for row in connection.execute(sql.encode(), (name,))]
    except psycopg.errors.UndefinedTable:
        return []


async def carry_out(trials: Trials, how: str, count: int) -> None:
    """So many."""
    spare = 0 if trials.system.restarted else 1
    for number in range(count):
        if how == "freeze":
            if number == 0:
                await trials.staff(2)
            await trials.freeze(number)
            continue
        if len(trials.workers) <= spare or trials.system.restarted:
            await trials.staff(1 if trials.system.restarted else min(count - number, VICTIMS) + spare)
        await trials.death(number)


async def measure(directory: Path, options: dict[str, str | float]) -> Round:
    """Seconds of each trial; how many late results there were, and how many of them were taken (`stale`); how many
    TODOs were carried out to the end more than once (`doubles`)."""
    notes, found = Notes(directory / "notes"), system(str(options["system"]))
    async with found.client() as submit:
        with workforce(0, found.worker, directory) as workers:
            trials = Trials(found, submit, notes, directory, workers)
            try:
                await carry_out(trials, str(options["how"]), int(options["trials"]))
            except (TimeoutError, StopIteration) as error:
                raise RuntimeError(f"{error}\n{said(directory)}") from error
    ended = [note.todo for note in notes.look() if note.what == "ended"]
    took = {f"took {number}": seconds for number, seconds in enumerate(trials.took)}
    return {**took, "stale": trials.stale, "late": trials.late, "doubles": len(ended) - len(set(ended))}


if __name__ == "__main__":
    place, asked = in_round()
    (place / "released").mkdir()
    settle_in(place, asked)
    os.environ[DUTY] = str(place / "released")
    report(asyncio.run(measure(place, asked)))
