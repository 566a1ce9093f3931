"""What wakes a worker: its own process (`near`), and a broker between processes (`far`), if there is one.

Without a far broker every commit that is noticed wakes, since it could have made something claimable. With one, each
wake-up goes to one worker, which must not keep it to itself: who can't take all that a wake-up speaks of hands the rest
on, so that it wakes somebody else; and who is full holds the next one back, unacknowledged, until there is room. What
is lost all the same is found by polling.

The database tells sooner than a broker, which first makes sure of every message, that something was queued; but it
tells all workers. So each follows such word the more rarely the more of them there are: about one looks at once, and
the broker's wake-up sees to it that somebody does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from random import random

from state import reading
from state.errors import StoreError
from state.failpoints import failpoint
from state.limits import POLL_SECONDS
from state.ports import Broker, Store, WakeUp

_COUNT_SECONDS = 5.0
_AGAIN_SECONDS = 0.05
"""After which nobody holds a row any more who only looked at it."""
HandOn = Callable[[Sequence[str]], None]


class Waking:
    """`hand_on` offers TODOs to the far broker, `woken` counts, `store` tells sooner than `far` does. `event` is set
    when it may be worth looking."""

    def __init__(
        self,
        near: Broker,
        far: Broker | None = None,
        hand_on: HandOn | None = None,
        woken: Callable[[], None] | None = None,
        store: Store | None = None,
    ) -> None:
        self._near = near
        self._store = store
        self._workers = 1
        self._taken: dict[str, float] = {}
        """What was claimed a moment ago: a wake-up for it may still be on its way."""
        self._far = far
        self._hand_on = hand_on
        self._held: list[WakeUp] = []
        self._handed_on: set[int] = set()
        self._told: set[str] = set()
        """What somebody near spoke of since the last look."""
        self._woken = woken
        self.event = asyncio.Event()

    async def listen(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen_near())
            if self._far:
                group.create_task(self._listen_far(self._far))
            if self._store:
                group.create_task(self._listen_sooner(self._store))
                group.create_task(self._count(self._store))

    def something_was_committed(self) -> None:
        """Here or by another process."""
        if self._far is None:
            self.event.set()

    async def nap(self) -> None:
        """Until the event, or until it is time to poll."""
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await self.event.wait()

    def no_room(self) -> None:
        """This worker takes nothing now: what it holds back may be taken by another, without being asked for twice."""
        for wake_up in self._held:
            if id(wake_up) not in self._handed_on:
                self._handed_on.add(id(wake_up))
                self._offer(wake_up.todos)

    async def looked(self, taken: Collection[str], *, full: bool) -> None:
        """The claim is committed. `full`: there may be more than was `taken`."""
        held, self._held = self._held, []
        told, self._told = self._told, set()
        self._remember(taken)
        if told - {*taken} and not full:
            self._look_again()
        for wake_up in held:
            self._expected(wake_up)
            rest = [todo for todo in wake_up.todos if todo not in taken]
            if full and rest and id(wake_up) not in self._handed_on:
                self._offer(rest)
            elif rest:  # taken by somebody; or locked by one of many who wanted it from a dead owner
                self._look_again()
            self._handed_on.discard(id(wake_up))
            failpoint("waking.looked")
            await wake_up.acknowledge()

    def _look_again(self) -> None:
        asyncio.get_running_loop().call_later(_AGAIN_SECONDS, self.event.set)

    def _offer(self, todos: Sequence[str]) -> None:
        if self._hand_on:
            self._hand_on(todos)

    async def _listen_near(self) -> None:
        async for wake_up in self._near.wake_ups():
            if self._far:
                self._told.update(wake_up.todos)
            self._hear()
            await wake_up.acknowledge()  # who is near looks again whenever there is room

    async def _listen_far(self, far: Broker) -> None:
        async for wake_up in far.wake_ups():
            if self._expected(wake_up):
                await wake_up.acknowledge()
            else:
                self._held.append(wake_up)
                self._hear()

    async def _listen_sooner(self, store: Store) -> None:
        number = 0
        while True:
            before, number = number, await store.queued(number, POLL_SECONDS)
            if number != before and random() * self._workers < 1:  # noqa: S311
                self.event.set()

    async def _count(self, store: Store) -> None:
        while True:
            with suppress(StoreError):
                self._workers = await store.read(reading.leases)
            await asyncio.sleep(_COUNT_SECONDS)

    def _remember(self, taken: Collection[str]) -> None:
        if self._store:
            now = time.monotonic()
            self._taken = {todo: at for todo, at in self._taken.items() if now - at < POLL_SECONDS}
            self._taken.update(dict.fromkeys(taken, now))

    def _expected(self, wake_up: WakeUp) -> bool:
        """Whether all that it speaks of was claimed a moment ago. Counts once: the next one is for another claim."""
        since = time.monotonic() - POLL_SECONDS
        others = [todo for todo in wake_up.todos if self._taken.pop(todo, since) <= since]
        return not others

    def _hear(self) -> None:
        self.event.set()
        if self._woken:
            self._woken()
