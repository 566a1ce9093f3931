"""Who is woken: a wake-up from a broker wakes one worker, which keeps no more of it than it takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from orchestrator.brokers.memory import MemoryBroker
from orchestrator.waking import Waking
from state.ports import WakeUp


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


async def test_who_has_no_room_holds_it_back_and_lets_others_know_once() -> None:
    async with waking() as (found, far, _, handed_on):
        await far.publish(["a", "b"])
        await woken(found)
        found.no_room()
        found.no_room()
        assert (handed_on, far.acknowledged) == ([["a", "b"]], []), "else it would come back to us at once"
        await found.looked({"a"}, full=True)
        assert (handed_on, far.acknowledged) == ([["a", "b"]], [("a", "b")])


async def test_commits_wake_only_where_no_broker_does() -> None:
    async with waking() as (found, _, near, _):
        found.something_was_committed()
        assert not found.event.is_set()
        await near.publish(["mine"])
        await woken(found)
    alone = Waking(MemoryBroker())
    alone.something_was_committed()
    assert alone.event.is_set()
