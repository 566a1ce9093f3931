"""One round of `queue` about claims; options: ``database``, ``queued`` (runs of one TODO each), ``claims``.

Through the store alone. After each claim another run is queued, so that there are always as many.
"""

from __future__ import annotations

import asyncio
import time

from benchmarks.measuring import Round, in_round, percentile, report
from benchmarks.plans import plan_of
from orchestrator.plan.reading import canonical, canonical_hash
from orchestrator.plan.todos import new_todos
from orchestrator.run_spec import RunSpec
from state.commands import ClaimedMany, ClaimNext, Refused, SubmitRun, WorkerStarted
from state.postgres import PostgresStore
from state.records import QUEUE, new_id
from state.room import Room

WARM_UP = 20
ROOM = Room(2.0, 8_000_000_000)
"""Of the worker that claims."""
_TOGETHER = 400


def one_run() -> SubmitRun:
    """Of one TODO, as the service makes it."""
    plan = plan_of(1)
    text = canonical(plan)
    return SubmitRun(
        run=new_id(), name=plan.name, goal=None, placement=QUEUE, concurrency=plan.concurrency, provenance="person",
        source="cli", spec=RunSpec().to_json(), plan=text, plan_hash=canonical_hash(text),
        todos=new_todos(plan, None, "host"),
    )  # fmt: skip


async def measure(options: dict[str, str | float]) -> Round:
    """Milliseconds of a claim."""
    store, boot = PostgresStore(str(options["database"])), new_id()
    took: list[float] = []
    try:
        await store.apply([WorkerStarted(boot, "bench", 1, room=ROOM)])
        left = int(options["queued"])
        while left:
            outcomes = await store.apply([one_run() for _ in range(min(left, _TOGETHER))])
            assert not [outcome for outcome in outcomes if isinstance(outcome, Refused)]
            left -= len(outcomes)
        for _ in range(WARM_UP + int(options["claims"])):
            start = time.perf_counter()
            [claimed] = await store.apply([ClaimNext(boot, QUEUE, 1, room=ROOM, free=ROOM)])
            took.append(1000 * (time.perf_counter() - start))
            assert isinstance(claimed, ClaimedMany)
            assert len(claimed.claims) == 1
            await store.apply([one_run()])
    finally:
        await store.close()
    return {"p50": percentile(took[WARM_UP:], 0.50), "p99": percentile(took[WARM_UP:], 0.99)}


if __name__ == "__main__":
    report(asyncio.run(measure(in_round()[1])))
