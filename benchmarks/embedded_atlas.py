"""One round of `embedded` for Atlas; options: ``shape`` (runs, fan), ``todos``, ``flight``."""

from __future__ import annotations

import asyncio

from benchmarks.measuring import Round, Stopwatch, in_round, percentile, report
from orchestrator.collector import imported_for_good

with imported_for_good():  # as the command line does
    from benchmarks.plans import plan_of
    from benchmarks.rig import Rig, rig

WARM_UP = 50


async def runs(found: Rig, todos: int, flight: int) -> None:
    """So many runs of one TODO, `flight` of them in progress at any time."""
    plan = plan_of(1)
    left = iter(range(todos))

    async def client() -> None:
        for _ in left:
            run = await found.submit(plan)
            await found.dispatch.completed(run, 1)

    await asyncio.gather(*(client() for _ in range(flight)))


async def fan(found: Rig, todos: int) -> None:
    """One run of so many TODOs that need nothing."""
    plan = plan_of(todos)
    await found.dispatch.completed(await found.submit(plan), todos)


async def measure(options: dict[str, str | float]) -> Round:
    """A warm-up, then the measured part."""
    directory, _ = in_round()
    todos, flight = int(options["todos"]), int(options["flight"])
    async with rig(directory, slots=max(flight, 1)) as found:
        await runs(found, WARM_UP, min(flight, WARM_UP))
        found.submitted.clear()
        watch = Stopwatch()
        if options["shape"] == "fan":
            await fan(found, todos)
        else:
            await runs(found, todos, flight)
        wall, cpu = watch.read()
        await found.check(WARM_UP + todos)
        starts = found.start_latencies()
    return {
        "per_second": todos / wall,
        "cpu": 1e6 * cpu / todos,
        "start_p50": percentile(starts, 0.50),
        "start_p99": percentile(starts, 0.99),
    }


if __name__ == "__main__":
    report(asyncio.run(measure(in_round()[1])))
