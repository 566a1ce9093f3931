"""A process that writes to a SQLite file until it is told to stop or dies: ``python -m tests.contract.store_writer
FILE NAME SECONDS``. Prints its longest wait for one `apply`, in seconds, and how many runs it carried out."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from state.commands import Claim, Claimed, Complete, Done
from state.records import QUEUE
from state.sqlite import SqliteStore
from tests.contract.store_world import proof, submission, task


async def main(path: Path, name: str, seconds: float) -> None:
    store = SqliteStore(path)
    longest = 0.0
    carried_out = 0
    end = time.monotonic() + seconds

    async def lives(number: int) -> None:
        nonlocal longest, carried_out
        while time.monotonic() < end:
            run = f"{name}-{number}"
            number += 10
            start = time.monotonic()
            (outcome,) = await store.apply([submission(task("a", run=run), run=run)])
            longest = max(longest, time.monotonic() - start)
            assert isinstance(outcome, Done)
            (claim,) = await store.apply([Claim(f"{run}.a", name, QUEUE)])
            assert isinstance(claim, Claimed)
            await store.apply([Complete(claim.todo, claim.fence, [proof()])])
            carried_out += 1

    await asyncio.gather(*(lives(number) for number in range(10)))
    await store.close()
    sys.stdout.write(f"{longest} {carried_out}\n")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])))
