"""Threads that can be stopped, and work spread over a few tasks."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from mcp_servers.storage.threads import Stop, Stopped, completed, in_thread, spread


async def test_results_and_errors_come_through() -> None:
    assert await in_thread(lambda stop: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda stop: 1 / 0)


async def test_a_cancellation_waits_for_the_thread() -> None:
    started, ended = threading.Event(), threading.Event()

    def work(stop: Stop) -> None:
        started.set()
        try:
            while True:
                stop.wait(3600)
        finally:
            ended.set()

    task = asyncio.create_task(in_thread(work))
    await asyncio.to_thread(started.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_a_cancellation_again_and_again_still_waits() -> None:
    started, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def work(stop: Stop) -> None:
        started.set()
        may_end.wait()
        ended.set()

    task = asyncio.create_task(in_thread(work))
    await asyncio.to_thread(started.wait)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_what_has_not_started_never_does() -> None:
    release = threading.Event()
    ran: list[int] = []
    with ThreadPoolExecutor(1) as pool:
        busy = asyncio.create_task(in_thread(lambda stop: release.wait(), pool))
        waiting = asyncio.create_task(in_thread(lambda stop: ran.append(1), pool))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        release.set()
        await busy
    assert ran == []


async def test_a_stop_interrupts_a_wait() -> None:
    waiting, interrupted = threading.Event(), threading.Event()

    def work(stop: Stop) -> None:
        with stop.interrupting(interrupted.set):
            waiting.set()
            interrupted.wait()
        stop.check()

    task = asyncio.create_task(in_thread(work))
    await asyncio.to_thread(waiting.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_stop_that_came_before_is_not_missed() -> None:
    stop = Stop()
    stop.set()
    with pytest.raises(Stopped), stop.interrupting(lambda: None):
        pytest.fail("not reached")
    with pytest.raises(Stopped):
        stop.wait(3600)


async def test_work_is_spread_in_order_and_bounded() -> None:
    running, most = 0, 0

    async def work(item: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return item * item

    assert await spread(range(100), work, 7) == [number * number for number in range(100)]
    assert most == 7
    assert await spread([], work, 7) == []


async def test_the_first_failure_ends_the_others() -> None:
    ended: list[int] = []

    async def work(item: int) -> None:
        if item == 3:
            raise KeyError(item)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(item)

    with pytest.raises(KeyError):
        await spread(range(10), work, 4)
    assert sorted(ended) == [0, 1, 2]


async def test_cleaning_up_is_finished_first() -> None:
    may_end = asyncio.Event()
    done: list[str] = []

    async def clean() -> None:
        await may_end.wait()
        done.append("clean")

    task = asyncio.create_task(completed(clean()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == ["clean"]
