"""A worker: claims what it may, has it carried out, settles it. All workers are equal; none coordinates.

It ends in two ways: `drain` (finish what runs, or give it back after a grace period), and death, after which others
take over. A TODO that was cancelled or taken over meanwhile is noticed within a fifth of a second.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Literal

from orchestrator.dispatch import Dispatch
from orchestrator.hindrance import UNKNOWN, Hindrance, Rest, hindrance, put_off
from orchestrator.logs import log_ids
from orchestrator.metering import Unmetered, WorkerMeter, settled_as
from orchestrator.outcome import settlement
from orchestrator.reporting import StoreReporter
from orchestrator.run_spec import Traces
from orchestrator.tasks import ended
from orchestrator.waking import Waking
from state import frequent, tracing
from state.commands import Claimed, ClaimedMany, ClaimNext, Complete, Fail, Refused, Release, WorkerEnded, WorkerStarted
from state.errors import AtlasError, LeaseLost, StoreError
from state.failpoints import failpoint
from state.limits import DEADLINE_GRACE_SECONDS, POLL_SECONDS
from state.ports import Deferral, Executor, Failure, Result, Worked
from state.records import QUEUE, ReleaseCause, TodoKind
from state.room import Room

log = logging.getLogger(__name__)

_WATCH_SECONDS = 0.04
_STUBBORN_SECONDS = 5.0
Again = Callable[[], Awaitable[Result]]
Stopped = ReleaseCause | None
"""Why a task was stopped from outside; None: another owns the TODO now, so that there is nothing to give back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a worker takes: `slots` TODOs at a time of this `placement`, of one `run` or of any, wearing `labels`, that
    together ask for no more than its `room`. `alone`: what asks for more gets all of it; else it is left to others."""

    boot: str
    placement: str
    slots: int
    run: str | None = None
    labels: frozenset[str] = frozenset()
    room: Room | None = None
    alone: bool = False


@dataclass(slots=True)
class _Running:
    """What is settling or given back is not cancelled: what was worked out stands. (A flag, because a shielded task of
    its own would cost every TODO two more turns of the event loop.) Nor is a task that is starting: it would never run
    at all."""

    claim: Claimed
    task: asyncio.Task[None] | None = None
    stopped: list[Stopped] = field(default_factory=list[Stopped])
    phase: Literal["starting", "working", "settling", "settled", "given back"] = "starting"
    since: float = field(default_factory=time.monotonic)
    cancelled: float = 0.0
    leaving: bool = False
    """It only waits for its settlement, which nothing can follow: its place and room are free."""

    def stop(self, cause: Stopped) -> None:
        """Cancel the work; the first cause counts. Asked again, it is cancelled again when it has not ended for a
        while: a library may have taken the cancellation for its own."""
        if self.task is None or (self.stopped and time.monotonic() - self.cancelled < _STUBBORN_SECONDS):
            return
        if self.stopped and self.phase == "working":
            log.warning("%s does not end; it is cancelled again", self.claim.key)
        self.stopped.append(cause)
        self.cancelled = time.monotonic()
        if self.phase in ("working", "settled"):
            self.task.cancel()


class Worker:
    """See the module. `publish` is called when it is durable that a TODO ended with outputs."""

    def __init__(
        self,
        dispatch: Dispatch,
        waking: Waking,
        executors: Mapping[TodoKind, Executor],
        claims: Claims,
        publish: Callable[[Claimed], Awaitable[None]] | None = None,
        meter: WorkerMeter | None = None,
    ) -> None:
        self._dispatch = dispatch
        self._store = dispatch.store
        self._waking = waking
        self._executors = executors
        self._claims = claims
        self._publish = publish
        self._meter = meter or Unmetered()
        self._traces = Traces(self._store)
        self.leased: Callable[[], bool] = lambda: True
        """Whether this worker's lease lasts: what it takes without one, others would take from it at once."""
        self._running: dict[tuple[str, int], _Running] = {}
        """By TODO and fence: what was lost may come back before its old work has ended."""
        self._draining = False
        self._rest = Rest()
        self._unsure = False
        """Something may have been claimed that the database did not come to tell."""

    @property
    def busy(self) -> int:
        """TODOs in progress here."""
        return len(self._running)

    def in_time(self, todo: str, fence: int) -> bool:
        """Whether this is in progress here, and no longer than it may be by a clock that stands still with us: that of
        the database goes on while a laptop sleeps."""
        found = self._running.get((todo, fence))
        return found is not None and time.monotonic() - found.since < found.claim.timeout + DEADLINE_GRACE_SECONDS

    @property
    def rests(self) -> bool:
        """Whether it takes nothing, as its host is in trouble."""
        return self._rest.now

    @property
    def draining(self) -> bool:
        """Whether it claims nothing more."""
        return self._draining

    async def run(self) -> None:
        """Work until `drain` or `stop` has been called and all is given back."""
        mine = self._claims
        await self._dispatch.persistently(
            WorkerStarted(mine.boot, platform.node(), os.getpid(), sorted(mine.labels), mine.room)
        )
        helpers = [asyncio.create_task(_kept_up(helper)) for helper in (self._waking.listen, self._watch)]
        try:
            while not (self._draining and not self._running):
                self._waking.event.clear()
                if not self._draining:
                    await self._claim()
                await self._waking.nap()
        finally:
            await ended(*helpers)
            await self._give_back("drain")
        await self._dispatch.persistently(WorkerEnded(self._claims.boot))

    async def drain(self, grace: float) -> None:
        """Claim nothing more; what runs has `grace` seconds to end, then it is given back."""
        self._draining = True
        self._waking.event.set()
        if grace > 0 and (tasks := self._tasks()):
            await asyncio.wait(tasks, timeout=grace)
        await self._give_back("drain")
        self._waking.event.set()

    def lease_lost(self) -> None:
        """Drop everything in progress: others may have taken it."""
        for running in self._running.values():
            running.stop("lease_lost")
        self._waking.event.set()

    # --- claiming ----------------------------------------------------------------------------------------------------

    async def _claim(self) -> None:
        working = [running.claim for running in self._running.values() if not running.leaving]
        free = self._rest.slots(self._claims.slots - len(working), (each.since for each in self._running.values()))
        if free <= 0 or not self.leased():
            self._waking.no_room()
            return
        mine = self._claims
        try:
            await self._give_back_unheard()
            outcome = await self._dispatch.one(
                ClaimNext(
                    mine.boot,
                    mine.placement,
                    free,
                    mine.labels,
                    mine.run,
                    mine.room,
                    self._free_room(working),
                    mine.alone,
                )
            )
        except StoreError as error:
            log.warning("%s; trying again", error.message)
            self._unsure = True
            return
        claims = outcome.claims if isinstance(outcome, ClaimedMany) else []
        for claim in claims:
            self._start(claim)
        await self._waking.looked({claim.todo for claim in claims}, full=len(claims) == free)
        if claims and isinstance(outcome, ClaimedMany) and outcome.passed_over:
            self._waking.event.set()  # behind what now has no room may be what needs none

    def _free_room(self, working: Sequence[Claimed]) -> Room | None:
        """What nobody here uses."""
        room = self._claims.room
        return room and reduce(Room.__sub__, (claim.asks for claim in working), room)

    async def _give_back_unheard(self) -> None:
        """Nobody else would take it, as its owner lives."""
        if self._unsure:
            owned, running = await self._fences(), self._running
            unheard = [each for each in owned.items() if each not in running]
            await self._dispatch.apply([Release(*each, "lease_lost", self._claims.boot) for each in unheard])
            self._unsure = False

    def _start(self, claim: Claimed) -> None:
        failpoint("worker.claimed")
        running = _Running(claim)
        with log_ids(run=claim.run, todo=claim.todo):  # the task has them to its end
            log.debug("%s: taken, fence %d", claim.key, claim.fence)
            work = self._traced(running) if tracing.on() else self._carry_out(running)
            running.task = asyncio.create_task(work, name=f"todo {claim.key}")
        self._running[claim.todo, claim.fence] = running
        self._meter.claimed(claim)
        if self._draining:  # the claim was on its way when the drain began
            running.stop("drain")

    async def _watch(self) -> None:
        """What others committed: claimable TODOs, and TODOs of ours that are not ours any more."""
        number = 0
        while True:
            try:
                number = await self._store.changed(number, POLL_SECONDS)
                self._waking.something_was_committed()
                if self._running:
                    await self._drop_what_is_not_ours()
            except StoreError as error:
                log.warning("%s", error.message)
            await asyncio.sleep(_WATCH_SECONDS)

    async def _drop_what_is_not_ours(self) -> None:
        seen = dict(self._running)
        fences = await self._fences()
        for (todo, fence), running in seen.items():
            if running.phase in ("settling", "settled"):
                continue  # nobody owns it once it is settled, and what it left is still to be published
            if fences.get(todo) != fence and (todo, fence) in self._running:
                running.stop(None)

    async def _fences(self) -> dict[str, int]:
        return await self._store.read(lambda session: frequent.fences(session, self._claims.boot))

    # --- carrying out ------------------------------------------------------------------------------------------------

    async def _traced(self, running: _Running) -> None:
        """As `_carry_out`, in the trace of who submitted the run, whoever had the TODO before."""
        claim = running.claim
        about = {
            "atlas.run.id": claim.run, "atlas.todo.id": claim.todo, "atlas.todo.key": claim.key,
            "atlas.todo.kind": claim.kind, "atlas.fence": claim.fence, "atlas.attempt": claim.attempt,
            "atlas.epoch": claim.epoch, "atlas.crashes": claim.crash_count, "atlas.worker": self._claims.boot,
            "atlas.outcome": "dropped",
        }  # fmt: skip
        parent = await self._traces.of(claim.run) or "none"
        with tracing.span("atlas.todo", about, "consumer", parent):
            await self._carry_out(running)

    async def _carry_out(self, running: _Running) -> None:
        claim = running.claim
        try:
            if running.stopped:
                raise asyncio.CancelledError
            running.phase = "working"
            result: Result | None = await self._execute(claim)
            with_outputs = False
            while result is not None:
                running.phase = "settling"
                if isinstance(result, Worked) and not (result.outputs or result.again):
                    running.leaving = True
                    self._waking.event.set()  # what takes its place may be claimed in the same transaction
                with_outputs, again = await self._settle(claim, result)
                running.phase = "working" if again else "settling"
                if again and running.stopped:  # noticed now: meanwhile it could have been settled
                    raise asyncio.CancelledError
                result = await self._judged(claim, again) if again else None
            running.phase = "settled"
            if with_outputs and self._publish and not running.stopped:
                with tracing.span("atlas.publish"):
                    await self._publish(claim)
        except asyncio.CancelledError:
            cause = running.stopped[0] if running.stopped else "drain"
            if running.phase in ("starting", "working") and cause is not None:
                running.phase = "given back"
                await self._release(claim, cause)
        except LeaseLost:
            running.phase = "given back"
            await self._release(claim, "lease_lost")
        except Exception as error:
            log.warning("%s: %s", claim.key, error, exc_info=not isinstance(error, AtlasError))
            await self._unsettled(running, error)
        finally:
            self._gone(running)

    def _gone(self, running: _Running) -> None:
        del self._running[running.claim.todo, running.claim.fence]
        self._meter.ended(running.claim)
        if self._draining or not running.leaving:  # else something for its place has been looked for already
            self._waking.event.set()

    async def _execute(self, claim: Claimed) -> Result:
        reporter = StoreReporter(self._dispatch, claim)
        executor = self._executors.get(claim.kind, UNKNOWN)
        return await self._judged(claim, lambda: executor.execute(claim, reporter))

    async def _judged(self, claim: Claimed, work: Again) -> Result:
        """What comes of the work. That the database is away says nothing about the TODO: it goes on later."""
        began = time.monotonic()
        try:
            result = await work()
        except LeaseLost:
            raise
        except StoreError as error:
            log.warning("%s goes on later: %s", claim.key, error.message)
            return Deferral("waiting", POLL_SECONDS)
        except Exception as error:
            if (found := hindrance(error)) is not None:
                return await self._hindered(claim, found)
            log.exception("%s: the executor broke", claim.key)
            return Failure("internal", f"{type(error).__name__}: {error}")
        self._rest.over(began)
        return result

    async def _unsettled(self, running: _Running, error: Exception) -> None:
        """This worker owns it, and nobody works on it."""
        claim = running.claim
        if running.phase != "settling":
            return
        defect = Hindrance(f"its result could not be settled: {type(error).__name__}: {error}", "stuck")
        try:
            put = await put_off(self._dispatch, claim, defect, QUEUE)
            await self._dispatch.persistently(settlement(claim, put, self._claims.boot))
        except Exception:
            log.exception("%s: could not be given back, either", claim.key)
            self._unsure = True

    async def _hindered(self, claim: Claimed, found: Hindrance) -> Result:
        if found.host and (found.passing or self._claims.placement == QUEUE):
            self._rest.begin(found.what)
        return await put_off(self._dispatch, claim, found, self._claims.placement)

    async def _settle(self, claim: Claimed, result: Result) -> tuple[bool, Again | None]:
        """(whether the TODO has now ended with outputs, what to do when the run's head has moved)"""
        failpoint("worker.before_settle")
        command = settlement(claim, result, self._claims.boot)
        outcome = await self._dispatch.persistently(command)
        self._meter.settled(claim, command, outcome)
        log.debug("%s: settled, %s", claim.key, type(command).__name__)
        tracing.say({"atlas.outcome": settled_as(command, outcome)})
        failpoint("worker.after_settle")
        if isinstance(outcome, Refused):
            if outcome.code == "head_moved" and isinstance(result, Worked) and result.again:
                return False, result.again
            await self._refused(claim, outcome)
            return False, None
        return isinstance(command, Complete | Fail) and bool(command.outputs), None

    async def _refused(self, claim: Claimed, refusal: Refused) -> None:
        """Too late, or not even storable; the latter must not be tried for ever."""
        log.warning("%s: its result was refused: %s", claim.key, refusal.message)
        if refusal.code != "lease_lost":
            failure = Failure("internal", f"the result was refused: {refusal.message}")
            await self._dispatch.persistently(settlement(claim, failure))

    async def _release(self, claim: Claimed, cause: ReleaseCause) -> None:
        log.debug("%s: given back, %s", claim.key, cause)
        release = Release(claim.todo, claim.fence, cause, self._claims.boot)
        outcome = await self._dispatch.persistently(release)
        self._meter.settled(claim, release, outcome)
        tracing.say({"atlas.outcome": settled_as(release, outcome), "atlas.cause": cause})

    async def _give_back(self, cause: ReleaseCause) -> None:
        while self._running:
            for running in self._running.values():
                running.stop(cause)
            await asyncio.wait(self._tasks(), timeout=_STUBBORN_SECONDS)  # `gather` would cancel them with itself

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [running.task for running in self._running.values() if running.task]


async def _kept_up(helper: Callable[[], Awaitable[None]]) -> None:
    """Until cancelled: a worker that hears of no cancel any more, or of no work, must not go on as if it did."""
    while True:
        try:
            await helper()
        except Exception:
            log.exception("a helper of the worker broke; it begins again")
        await asyncio.sleep(POLL_SECONDS)
