"""One round of `plan`; options: ``shape`` (fan, layers: ten TODOs wide, each after the one before it), ``todos``."""

from __future__ import annotations

import asyncio

from benchmarks.measuring import Round, Stopwatch, in_round, report
from benchmarks.plans import plan_text
from benchmarks.rig import rig
from orchestrator.plan.reading import read_plan

AT_LEAST = 2_000
"""TODOs of one round: so many plans that their time can be measured."""
WIDTH = 10
SLOTS = 200


async def measure(options: dict[str, str | float]) -> Round:
    """Seconds per TODO of each step."""
    directory, _ = in_round()
    shape, size = str(options["shape"]), int(options["todos"])
    text = plan_text(size, width=WIDTH if shape == "layers" else None)
    plans = max(1, AT_LEAST // size)
    async with rig(directory, SLOTS) as found:
        warm = await found.submit(read_plan(None, plan_text(50)))
        await found.dispatch.completed(warm, 50)
        watch = Stopwatch()
        for _ in range(plans - 1):
            read_plan(None, text)
        plan = read_plan(None, text)
        read, _ = watch.read()
        submit = 0.0
        for _ in range(plans):
            started, _ = watch.read()
            run = await found.submit(plan)
            submit += watch.read()[0] - started
            await found.dispatch.completed(run, size)
        wall, cpu = watch.read()
        await found.check(50 + plans * size)
    todos = plans * size
    return {
        "read": read / todos,
        "submit": submit / todos,
        "carry_out": (wall - read - submit) / todos,
        "all": wall / todos,
        "cpu": cpu / todos,
    }


if __name__ == "__main__":
    report(asyncio.run(measure(in_round()[1])))
