"""Who is woken: a wake-up from a broker wakes one worker, which keeps no more of it than it takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

from orchestrator.brokers.memory import MemoryBroker
from orchestrator.waking import Waking
from state.ports import Store, WakeUp


@dataclass
class FarBroker(MemoryBroker):
    """A memory broker whose wake-ups must be acknowledged: it says which were."""

    acknowledged: list[tuple[str, ...]] = field(default_factory=list[tuple[str, ...]])

    def __post_init__(self) -> None:
        super().__init__()

    async def wake_ups(self) -> AsyncGenerator[WakeUp]:
        async for wake_up in super().wake_ups():
            todos = wake_up.todos

            async def acknowledge(todos: tuple[str, ...] = todos) -> None:
                self.acknowledged.append(todos)

            yield WakeUp(todos, acknowledge)


@asynccontextmanager
async def waking() -> AsyncGenerator[tuple[Waking, FarBroker, MemoryBroker, list[list[str]]]]:
    handed_on: list[list[str]] = []
    near, far = MemoryBroker(), FarBroker()
    found = Waking(near, far, lambda todos: handed_on.append(list(todos)))
    listening = asyncio.create_task(found.listen())
    yield found, far, near, handed_on
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def woken(waking: Waking) -> None:
    async with asyncio.timeout(10):
        await waking.event.wait()
    waking.event.clear()


async def test_it_is_acknowledged_once_the_claim_is_committed() -> None:
    async with waking() as (found, far, _, handed_on):
        await far.publish(["a", "b"])
        await woken(found)
        assert far.acknowledged == []
        await found.looked({"a", "b"}, full=True)
        assert (far.acknowledged, handed_on) == ([("a", "b")], [])


async def test_what_is_not_taken_is_handed_on_by_who_is_full_only() -> None:
    async with waking() as (found, far, _, handed_on):
        await far.publish(["a", "b", "c"])
        await woken(found)
        await found.looked({"b"}, full=False)
        assert handed_on == [], "somebody else has taken the others"
        await far.publish(["d", "e"])
        await woken(found)
        await found.looked({"d", "x"}, full=True)
        assert handed_on == [["e"]]
        assert far.acknowledged == [("a", "b", "c"), ("d", "e")]


async def test_who_got_nothing_of_it_looks_once_more() -> None:
    """It may have been locked by somebody who in the end did not take it: nobody else is woken for it."""
    async with waking() as (found, far, near, _):
        for broker in (far, near):
            await broker.publish(["a"])
            await woken(found)
            await found.looked(set(), full=False)
            await woken(found)
            await found.looked(set(), full=False)
            await asyncio.sleep(0.2)
            assert not found.event.is_set(), "once"


async def test_who_has_no_room_holds_it_back_and_lets_others_know_once() -> None:
    async with waking() as (found, far, _, handed_on):
        await far.publish(["a", "b"])
        await woken(found)
        found.no_room()
        found.no_room()
        assert (handed_on, far.acknowledged) == ([["a", "b"]], []), "else it would come back to us at once"
        await found.looked({"a"}, full=True)
        assert (handed_on, far.acknowledged) == ([["a", "b"]], [("a", "b")])


@dataclass
class Word:
    """As much of a store as tells of what was queued."""

    workers: int = 1
    number: int = 1
    said: asyncio.Event = field(default_factory=asyncio.Event)

    async def queued(self, after: int, timeout: float) -> int:
        while self.number == after:
            await self.said.wait()
            self.said.clear()
        return self.number

    async def read(self, query: object) -> int:
        return self.workers

    async def say(self) -> None:
        """That something was queued; returns when it was heard."""
        self.number += 1
        self.said.set()
        for _ in range(10):
            await asyncio.sleep(0)


@asynccontextmanager
async def told_sooner(word: Word) -> AsyncGenerator[tuple[Waking, FarBroker]]:
    far = FarBroker()
    found = Waking(MemoryBroker(), far, store=cast("Store", word))
    listening = asyncio.create_task(found.listen())
    for _ in range(10):
        await asyncio.sleep(0)
    found.event.clear()
    yield found, far
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def test_the_database_wakes_sooner_and_what_that_claimed_is_not_looked_for_again() -> None:
    word = Word()
    async with told_sooner(word) as (found, far):
        await word.say()
        await woken(found)
        await found.looked({"a", "b"}, full=False)
        await far.publish(["a", "b"])
        for _ in range(10):
            await asyncio.sleep(0)
        assert (found.event.is_set(), far.acknowledged) == (False, [("a", "b")])
        await far.publish(["a"])  # it has become claimable again
        await woken(found)
        await found.looked({"a"}, full=False)
        assert far.acknowledged == [("a", "b"), ("a",)]
        await far.publish(["a"])
        await woken(found)


async def test_of_many_workers_few_look_at_once() -> None:
    word = Word(workers=50)
    async with told_sooner(word) as (found, _):
        looks = 0
        for _ in range(400):
            await word.say()
            looks += found.event.is_set()
            found.event.clear()
        assert 0 < looks < 60, "eight are to be expected"


async def test_commits_wake_only_where_no_broker_does() -> None:
    async with waking() as (found, _, near, _):
        found.something_was_committed()
        assert not found.event.is_set()
        await near.publish(["mine"])
        await woken(found)
    alone = Waking(MemoryBroker())
    alone.something_was_committed()
    assert alone.event.is_set()
