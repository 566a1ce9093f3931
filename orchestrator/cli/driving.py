"""Working on a run in this process: `atlas run` and `atlas resume`. And being a worker for all: `atlas worker`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from mcp_servers.storage.threads import completed
from orchestrator.cli.compose import House, Workshop
from orchestrator.cli.conclusion import conclude
from orchestrator.cli.following import follow
from orchestrator.cli.machine import room_here
from orchestrator.cli.output import Watch, watch
from orchestrator.cli.picture import Picture
from orchestrator.cli.tellers import tellers
from orchestrator.cli.wellness import Watched, endpoint
from orchestrator.tasks import LastResort, ended
from orchestrator.views import as_json
from orchestrator.worker import Worker
from state.errors import Conflict, StoreError
from state.records import QUEUE, RUN_ENDED, RUN_WAITING, local_placement
from state.tables import Run

if TYPE_CHECKING:
    from orchestrator.metrics import ProcessMetrics

EXIT = {
    "completed": 0,
    "failed": 1,
    "blocked": 3,
    "awaiting_input": 3,
    "held": 3,
    "cancelled": 4,
    "budget_exhausted": 5,
}
_ENDING_SECONDS = 30.0
"""For giving back what has not ended when the grace is over, and for closing everything."""
log = logging.getLogger(__name__)


class Interruption:
    """Ctrl-C, SIGTERM or a closed terminal, once: `wait` returns. A second one ends the process on the spot, after
    `kill`."""

    def __init__(self, kill: Callable[[], None] = lambda: None) -> None:
        self.kill = kill
        self._event = asyncio.Event()
        self.number: int | None = None
        loop = asyncio.get_running_loop()
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(each, self._take, each)

    def _take(self, number: signal.Signals) -> None:
        if self.number is not None:
            self.kill()
            os._exit(128 + number)
        self.number = number
        self._event.set()

    def end(self) -> None:
        """As if Ctrl-C had come, unless something has."""
        if self.number is None:
            self._take(signal.SIGINT)

    async def wait(self) -> None:
        """Until one comes."""
        await self._event.wait()


class LocalWork:
    """One run, worked on in this process, with a view of what happens after event number `after`; on `out`, if standard
    output is for something else."""

    def __init__(
        self, house: House, shop: Workshop, run: Run, after: int, *, as_lines_of_json: bool, out: TextIO | None = None
    ) -> None:
        self._house = house
        self._shop = shop
        self._run = run
        self._after = after
        self._json = as_lines_of_json
        self._out = out

    async def carry_out(self, slots: int) -> int:
        """Until the run ends, waits for somebody, or is interrupted; returns the exit code."""
        service, shop = self._house.service, self._shop
        worker = shop.worker(self._house, placement=local_placement(shop.liveness.boot), slots=slots, run=self._run.id)
        interruption = Interruption(shop.sandboxes.kill_all)
        standing = await service.standing(self._run.id)
        picture = Picture.of(standing.run, standing.todos)
        heartbeat = shop.heartbeat(worker)
        sweeping = asyncio.create_task(shop.sweeper.run())
        working = asyncio.create_task(worker.run())
        stopping = asyncio.create_task(interruption.wait())
        try:
            with watch(picture, as_lines_of_json=self._json, out=self._out) as view:
                watching = asyncio.create_task(self._watch(view, worker))
                await asyncio.wait([watching, working, stopping], return_when=asyncio.FIRST_COMPLETED)
                if stopping.done():
                    await self._hold()
                await worker.drain(0.0)
                await asyncio.gather(watching, working)
        finally:
            await ended(sweeping, stopping)
            await heartbeat.close()
        await shop.publisher.everything(self._run.id)
        return await self._conclude(interruption.number)

    async def _hold(self) -> None:
        """So that nobody else goes on with it, either."""
        try:
            await self._house.service.hold(self._run.id, "interrupted")
        except Conflict:
            pass  # it has ended this very moment
        except StoreError as error:  # what is in progress is given back when it is there again
            log.warning("the run could not be put on hold: %s", error.message)

    async def _watch(self, view: Watch, worker: Worker) -> None:
        """Show events until nothing moves any more."""

        async def at_rest() -> bool:
            if worker.busy:
                return False
            return (await self._house.service.run(self._run.id)).state in RUN_ENDED | RUN_WAITING

        # The worker outlives a database that is away: so does who watches it.
        await follow(self._house.service, view, self._run.id, self._after, at_rest, patient=True)

    async def _conclude(self, interrupted: int | None) -> int:
        """Say how it ended and how to go on."""
        run = await self._house.service.run(self._run.id)
        if self._json:
            print(as_json(run), flush=True)
        else:
            await conclude(self._house, run, self._out)
        return 128 + interrupted if interrupted is not None and run.state == "held" else EXIT.get(run.state, 1)


async def serve_queue(
    house: House, shop: Workshop, slots: int, interruption: Interruption, watched: Watched | None = None,
    metrics: ProcessMetrics | None = None,
) -> int:  # fmt: skip
    """Be a worker for every run that is placed in the queue, until told to stop; then finish what runs, or give it
    back after the settings' grace. Half a minute later the process ends in any case: what it has, others take over. The
    house is metered by who is `watched`, or by `metrics` that are shown elsewhere."""
    worker = shop.worker(house, placement=QUEUE, slots=slots, meter=watched.metrics if watched else metrics)
    interruption.kill = shop.sandboxes.kill_all
    here = f"{slots} at a time, {room_here(house.settings)}, from {house.kept.name}"
    print(f"worker {shop.liveness.boot[-8:]}: {here}", file=sys.stderr, flush=True)
    heartbeat = shop.heartbeat(worker)
    async with contextlib.AsyncExitStack() as stack:
        telling = await stack.enter_async_context(tellers(house, shop.liveness.boot))
        if watched:
            port = await stack.enter_async_context(endpoint(watched, house, worker, heartbeat))
            print(f"health and metrics on {watched.address.told(port)}", file=sys.stderr, flush=True)
        aside = [asyncio.create_task(each.run()) for each in (shop.sweeper, *telling)]
        working = asyncio.create_task(worker.run())
        stopping = asyncio.create_task(interruption.wait())
        intake = asyncio.create_task(_take_in(house))
        try:
            await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
            grace = 0.0 if interruption.number == signal.SIGINT else house.settings.worker_grace
            if grace and worker.busy:
                waits = f"told to stop: {worker.busy} TODO(s) may finish within {grace:g} s, or go back into the queue"
                print(f"{waits}; told again, it ends at once", file=sys.stderr, flush=True)
            LastResort(grace + _ENDING_SECONDS, shop.sandboxes.kill_all)
            await ended(intake)  # what it has not acknowledged, another worker takes
            await worker.drain(grace)
            await working
        finally:

            async def end() -> None:
                await ended(*aside, stopping, intake)
                if not working.done():  # cancelled: what is in progress is given back while there is something to tell
                    LastResort(_ENDING_SECONDS, shop.sandboxes.kill_all)
                    await worker.drain(0.0)
                    await working
                await heartbeat.close()

            await completed(end())  # who ends this cancels it again and again
    return 0


async def _take_in(house: House) -> None:
    """What other programs hand in, if this worker is to. It outlives whatever goes wrong: TODOs are worked on without
    it, and the messages stay where they are."""
    if house.rabbit is None or not house.settings.worker_intake:
        return
    from orchestrator.brokers.intake import take_in

    try:
        await take_in(house.rabbit, house.service, house.settings.intake_remotes)
    except Exception:
        log.exception("the intake has ended; other workers go on with it, and this one when it is started again")
