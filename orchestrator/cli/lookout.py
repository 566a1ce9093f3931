"""Whether anybody works on a run that is watched. If nobody does, whoever watches may be the only one to notice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from orchestrator.cli.compose import House
from state import reading
from state.records import QUEUE, RUN_ENDED, RUN_WAITING

_SECONDS = 1.0
_NO_WORKER = "no worker is there; start one: atlas worker"
_SILENT_WORKERS = "no worker answers; start another one: atlas worker"
_SILENT_PROCESS = "the process that works on it does not answer"
_TAKEN = "a worker may take it now"
_AGAIN = {
    _NO_WORKER: "a worker is there now", _SILENT_WORKERS: "a worker is there now",
    _SILENT_PROCESS: "the process that works on it answers again",
}  # fmt: skip


_AGAIN_SECONDS = 20.0


class Lookout:
    """Looks round about once a second, as a worker would, and tells when nobody works on the run, and when somebody
    does again: each once, and not before two looks have seen the same (a worker may be just starting or ending)."""

    def __init__(self, house: House, run: str, note: Callable[[str], None]) -> None:
        self._house = house
        self._run = run
        self._note = note
        self._next = 0.0
        self._seen: str | None = None
        self._told: str | None = None

    async def look(self) -> bool:
        """Whether the run has come to rest."""
        if (now := asyncio.get_running_loop().time()) >= self._next:
            self._next = now + _SECONDS
            if not await self._house.look_round():  # and what it could not write waits to be written
                self._next = asyncio.get_running_loop().time() + _AGAIN_SECONDS
            await self._tell()
        return (await self._house.service.run(self._run)).state in RUN_ENDED | RUN_WAITING

    async def _tell(self) -> None:
        run = await self._house.service.find(self._run)
        if run.state in RUN_ENDED | RUN_WAITING:
            return
        wrong = await self._workers(run.id) if run.placement == QUEUE else await self._process(run.placement)
        if wrong == self._seen and wrong != self._told:
            self._note(wrong or _AGAIN.get(self._told or "", _TAKEN))
            self._told = wrong
        self._seen = wrong

    async def _workers(self, run: str) -> str | None:
        """What is wrong with those who might take it from the queue."""
        boots = await self._house.store.read(reading.queue_workers)
        found = await self._house.census.verdicts(boots)
        if alive := [boot for boot, verdict in found.items() if verdict == "alive"]:
            return await self._unfit(run, alive)
        return _SILENT_WORKERS if "expired" in found.values() else _NO_WORKER

    async def _unfit(self, run: str, workers: Sequence[str]) -> str | None:
        """What is ready and what nobody of them may take."""
        read = self._house.store.read
        wanted = await read(lambda session: reading.wanted_of_workers(session, run))
        there = await read(lambda session: reading.workers_have(session, workers)) if wanted else []
        for labels, room in wanted:
            wearing = [has for worn, has in there if labels <= worn]
            if not wearing:
                missing = ", ".join(sorted(labels))
                return f"no worker has the labels of a TODO that is ready ({missing}); start one: ATLAS_WORKER_LABELS"
            if not any(room <= has for has in wearing):
                return f"no worker has as much as a TODO that is ready asks for ({room}); start a larger one"
        return None

    async def _process(self, placement: str) -> str | None:
        """What is wrong with the one that has it for itself. If it is dead, the run is held in the same breath."""
        boot = placement.removeprefix("local:")
        return _SILENT_PROCESS if (await self._house.census.verdicts([boot]))[boot] == "expired" else None
