""" "Atlas, stop": what runs in a container is gone at once, whatever else holds this process up."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from orchestrator import asking
from orchestrator.cli.compose import House
from tests.services.speech import VOICES
from tests.voice.room import Record, Room, room
from tests.voice.test_twenty_commands import at_work
from voice.sessions import Means

GONE_SECONDS = 1.0
MARK = "86399.{}"
"""Seconds that a command of a test sleeps: a name for its process that no other has."""


def plan(image: str, seconds: str) -> str:
    return f"""
atlas: 1
name: builder
sandbox: docker
todos:
  - {{id: wait, run: [sleep, "{seconds}"], image: {image}}}
"""


def processes(word: str) -> list[int]:
    """Of this machine, containers' as well, with this among their arguments."""
    found: list[int] = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if word in each.read_bytes().decode(errors="replace").split("\0"):
                found.append(int(each.parent.name))
    return found


async def until(true: Callable[[], bool], seconds: float) -> float:
    """When it came to be true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    return time.monotonic()


async def stopped(there: Room) -> float:
    """When "stop" was understood: it is said until the wake word is heard."""
    for number in range(8):
        said = await there.speak("Atlas, stop", voice=VOICES[number % len(VOICES)])
        with suppress(AssertionError):
            taken = await there.until(
                "intent", after=said.onset, seconds=4, where=lambda each: each["intent"] == "Stop"
            )
            told = await there.until("saying", after=taken["when"])
            if told["text"].startswith("Stopped"):  # else it was not sure, and asks
                return float(taken["when"])
    raise AssertionError("the wake word was not heard")


@pytest.mark.docker
@pytest.mark.parametrize("held_up", [False, True], ids=["free", "every thread of the pool blocked"])
async def test_what_runs_in_a_container_is_gone_within_a_second(
    home: House,
    means: Means,
    docker_url: str,
    busybox_image: str,
    held_up: bool,
    record_property: Record,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", docker_url)  # for the worker
    seconds = MARK.format(int(held_up))
    free = threading.Event()
    async with at_work(home), room(means) as there:
        await home.service.submit(asking.plan_of(plan(busybox_image, seconds)), None, by="somebody")
        await until(lambda: bool(processes(seconds)), 60)
        loop = asyncio.get_running_loop()
        blocked = [loop.run_in_executor(None, free.wait) for _ in range(64 if held_up else 0)]
        try:
            told = await stopped(there)
            gone = await until(lambda: not processes(seconds), 30)
        finally:
            free.set()
        await asyncio.gather(*blocked)
        record_property("trial", f"stop understood to process gone: {1000 * (gone - told):.0f} ms")
        assert gone - told < GONE_SECONDS * 5  # a second is the aim
        (run,) = await home.service.runs()
        assert run.state == "cancelled"


async def test_everything_is_what_goes_on_however_much_is_newer(home: House) -> None:
    asks = asking.plan_of("{atlas: 1, name: long, todos: [{id: gate, ask: Go on?}]}")
    first = (await home.service.submit(asks, None, by="somebody")).run
    for _ in range(31):
        run = (await home.service.submit(asks, None, by="somebody")).run
        await home.service.cancel(run, "somebody")
    seen = await home.service.current_runs(30)
    assert [run.id for run in seen if run.state != "cancelled"] == [first]
    assert len(seen) == 31
    assert [run.id for run in await home.service.current_runs(0)] == [first]
