"""What must end ends, and who hangs is told of."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from orchestrator.tasks import ended


@pytest.mark.parametrize("swallowed", [0, 1])
async def test_a_task_that_takes_a_cancellation_for_its_own_is_cancelled_again(swallowed: int) -> None:
    begun = asyncio.Event()

    async def stubborn() -> None:
        begun.set()
        for _ in range(swallowed):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue
        await asyncio.Event().wait()

    task, other = asyncio.create_task(stubborn()), asyncio.create_task(asyncio.sleep(0))
    await begun.wait()
    await ended(task, other)
    assert task.cancelled()


async def test_what_a_task_ended_with_is_nobodys_business_here() -> None:
    async def breaks() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError

    task = asyncio.create_task(breaks())
    await asyncio.sleep(0)
    await ended(task)
    assert isinstance(task.exception(), ValueError)
    await ended()


_HANGS = """
import asyncio, contextlib
from orchestrator.tasks import LastResort

async def hanging_about():
    LastResort(0.3, lambda: print("killed", flush=True))
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

async def main():
    raise_later = asyncio.create_task(hanging_about())
    await asyncio.sleep(0.1)

asyncio.run(main())
"""


def test_a_process_that_does_not_end_says_where_it_hangs_and_ends() -> None:
    done = subprocess.run([sys.executable, "-c", _HANGS], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (1, "killed\n")
    assert "told to stop 0.3 s ago, and still here" in done.stderr
    assert "in hanging_about" in done.stderr
    assert "_cancel_all_tasks" in done.stderr
