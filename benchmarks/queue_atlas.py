"""Atlas in `queue` and `takeover`: what `atlas worker` is, but for the executor, which does what `duty` says.

As a program: one worker. BENCH_SHAPE: ``runs`` makes each TODO a run of its own, ``fan`` all of them one run.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace

from benchmarks.queue_system import Submit, System, broker, database, slots
from orchestrator.collector import imported_for_good

with imported_for_good():  # as the command line does
    from benchmarks.duty import carry_out_in_loop
    from benchmarks.plans import plan_of
    from orchestrator.cli.compose import House, house, workshop
    from orchestrator.cli.driving import Interruption, serve_queue
    from state.commands import Claimed
    from state.ports import Reporter, Result, Worked
    from state.records import Evidence

SHAPE = "BENCH_SHAPE"
NOTHING = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_FLIGHT = 200


def system() -> System:
    """Evidence is what Atlas has for a result; its verifier is here the process that did the work."""
    _settle_in()
    return System(
        worker=("-m", "benchmarks.queue_atlas"),
        done="SELECT count(*) FROM todo WHERE state = 'completed'",
        result="SELECT verifier FROM evidence JOIN todo ON todo.id = todo_id"
        " WHERE todo.run_id || ':' || todo.key = %s AND todo.state = 'completed' AND evidence.fence = todo.fence",
        client=client,
    )


def _settle_in() -> None:
    os.environ["ATLAS_DATABASE_URL"], os.environ["ATLAS_BROKER_URL"] = database(), broker()
    os.environ["ATLAS_LOG_LEVEL"] = "warning"


class Duty:
    """`state.ports.Executor`: the duty, with evidence."""

    async def execute(self, claim: Claimed, report: Reporter) -> Result:
        pid = await carry_out_in_loop(f"{claim.run}:{claim.key}")
        evidence = Evidence(
            subject=NOTHING, item='{"run":["true"]}', item_hash=NOTHING[7:], passed=True, command="true", exit_code=0,
            output_tail="", digest=NOTHING, verifier=str(pid), seconds=0.0,
        )  # fmt: skip
        return Worked([evidence])


@asynccontextmanager
async def client() -> AsyncGenerator[Submit]:
    """Through the service, as every face does."""
    async with house() as found:
        submit = _one_run if os.environ.get(SHAPE) == "fan" else _runs
        yield lambda ids: submit(found, len(ids))


async def _one_run(found: House, count: int) -> list[str]:
    run = (await found.service.submit(plan_of(count), None)).run
    return [f"{run}:t{number}" for number in range(count)]


async def _runs(found: House, count: int) -> list[str]:
    plan, left, names = plan_of(1), iter(range(count)), list[str]()

    async def submitter() -> None:
        for _ in left:
            names.append(f"{(await found.service.submit(plan, None)).run}:t0")

    await asyncio.gather(*(submitter() for _ in range(min(count, _FLIGHT))))
    return names


async def work() -> int:
    """Until SIGTERM."""
    async with house() as found, workshop(found) as shop:
        return await serve_queue(found, replace(shop, executors={"task": Duty()}), slots(200), Interruption())


if __name__ == "__main__":
    _settle_in()
    sys.exit(asyncio.run(work()))
