"""Repairs what nobody else will: deaths, leases, deadlines, expiries, wake-ups, publications. In every worker, and safe
against its siblings: every write it makes is guarded by what it read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from orchestrator.dispatch import Dispatch
from orchestrator.outcome import RetryPolicy
from state import sweeping
from state.agent_commands import SettleCall
from state.commands import Command, Done, ExhaustTime, Expire, Fail, Hold, Release
from state.errors import AtlasError
from state.failpoints import failpoint
from state.limits import OUTBOX_STALE_SECONDS, SWEEP_SECONDS
from state.ports import Census, Store
from state.records import ReleaseCause, local_placement

log = logging.getLogger(__name__)

_SLOW_SWEEP_SECONDS = 1.0
Chore = Callable[[], Awaitable[None]]


async def abandoned(store: Store, census: Census) -> list[Command]:
    """What holds the runs whose own process is gone: they are not in progress, whatever their TODOs say. They are read
    again once it is known to be gone: its last act may have been to end one."""
    boots = {boot for _, boot in await store.read(sweeping.local_runs)}
    gone = {boot for boot, verdict in (await census.verdicts(boots)).items() if verdict == "dead"}
    left = await store.read(sweeping.local_runs) if gone else []
    return [
        Hold(run, "the process that ran it is gone", expected=local_placement(boot))
        for run, boot in left
        if boot in gone
    ]


async def take_back(dispatch: Dispatch, census: Census, by: str) -> list[str]:
    """Give back what the dead own, and what those own whose lease ran out; says how much from whom. It is fenced, so
    that a death counts once, whoever notices it and however many do."""
    taken: list[str] = []
    owners = [owner for owner in await dispatch.store.read(sweeping.owners) if owner != by]
    for owner, found in (await census.verdicts(owners)).items():
        if found == "alive":
            continue
        cause: ReleaseCause = "died" if found == "dead" else "lease_lost"
        owned = await dispatch.store.read(lambda session, owner=owner: sweeping.owned_by(session, owner))
        outcomes = await dispatch.apply([Release(each.todo, each.fence, cause, by) for each in owned])
        failpoint("sweeper.released")
        if released := sum(isinstance(outcome, Done) for outcome in outcomes):
            taken.append(f"{released} TODO(s) from worker {owner[-8:]} ({cause})")
    return taken


class Sweeper:
    """Of the worker `boot`. `chores` are run about once a second besides: what other rooms want repaired (publications,
    orphans). Each goes round by itself: that a store takes minutes keeps nobody's TODO from being taken over."""

    def __init__(self, dispatch: Dispatch, census: Census, boot: str, chores: tuple[Chore, ...] = ()) -> None:
        self._dispatch = dispatch
        self._census = census
        self._boot = boot
        self._chores = chores
        self._troubled: set[Chore] = set()
        self.in_time: Callable[[str, int], bool] = lambda _todo, _fence: False
        """Whether a TODO (under this fence) is worked on in this process, and may be: whatever its deadline says."""

    async def run(self) -> None:
        """Sweep until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._again_and_again(self.fast, SWEEP_SECONDS))
            for chore in (self.due, self.redeliver, *self._chores):
                group.create_task(self._again_and_again(chore, _SLOW_SWEEP_SECONDS))

    async def _again_and_again(self, chore: Chore, pause: float) -> None:
        """Of trouble that all have, one tells."""
        while True:
            try:
                await chore()
                self._troubled.discard(chore)
            except AtlasError as error:
                if not self._troubled:
                    log.warning("sweep: %s; trying again until it is better", error.message)
                self._troubled.add(chore)
            except Exception:
                if chore not in self._troubled:
                    log.exception("sweep: trying again until it is better")
                self._troubled.add(chore)
            await asyncio.sleep(pause)

    async def fast(self) -> None:
        """Take from the dead and from those whose lease ran out."""
        for taken in await take_back(self._dispatch, self._census, self._boot):
            log.warning("took %s", taken)

    async def redeliver(self) -> None:
        """Wake-ups that nobody confirmed."""
        stale = await self._dispatch.store.read(lambda session: sweeping.stale_wake_ups(session, OUTBOX_STALE_SECONDS))
        await self._dispatch.redeliver(stale)

    async def due(self) -> None:
        """Carry out what the clock, or somebody's death, has decided meanwhile."""
        found = await self._dispatch.store.read(sweeping.due)
        commands: list[Command] = []
        for todo in found.overdue:
            if self.in_time(todo.todo, todo.fence):
                continue
            wait = RetryPolicy.of(todo.document).wait(todo.attempt)
            commands.append(Fail(todo.todo, todo.fence, "timeout", "its owner did not end it in time", wait))
        commands += [Expire(question) for question in found.expired]
        commands += [SettleCall(call, "lost", estimated=True) for call in found.lost_calls]
        commands += [ExhaustTime(run) for run in found.out_of_time]
        commands += await abandoned(self._dispatch.store, self._census)
        if commands:
            await self._dispatch.apply(commands)
