"""Drives the graph of one attempt until it says why it stopped; the only place where LangGraph runs."""

from __future__ import annotations

import asyncio
import importlib
import json
import time
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from mcp_servers.storage.threads import completed
from orchestrator.agents.bounds import Bounds
from orchestrator.agents.lost_calls import settle_lost_calls
from orchestrator.dispatch import Dispatch
from orchestrator.enforcer import BACKOFF_LIMIT, ERRORS
from orchestrator.enforcer import Standing as RunStanding
from orchestrator.enforcing import Enforcing, waiting
from orchestrator.graph import Calls
from roles.acting import Actor
from roles.checkpoints import LEASE, StoreSaver
from roles.desk import Desk
from roles.models.prices import PriceTable
from roles.position import Position, Step, after, begin
from roles.record import Record
from roles.role import DUTIES
from roles.rulings import AWAY, Houseman, outcome_of
from roles.thinking import Thinker
from state.commands import Claimed
from state.errors import LeaseLost, RemoteUnavailable
from state.ports import Asked, Blockage, Deferral, Failure, Result, Store
from state.tables import Run

_STEPS = 10_000
_BUSY_SECONDS, _BUSY_PAUSE = 2.0, 0.02
_BUSY_TRIES = 15
Stop = dict[str, Any]

if TYPE_CHECKING:
    from orchestrator.graph import Graph


@dataclass(slots=True)
class Drive:
    """One attempt on this worker. `thread` tells the conversations of one attempt apart where it has several graphs
    (work, then a review)."""

    dispatch: Dispatch
    claim: Claimed
    record: Record
    desk: Desk
    prices: PriceTable
    graph: Graph
    saver: StoreSaver
    bounds: Bounds = field(default_factory=Bounds)

    async def run(self, duty: str, thread: str = "") -> Stop:
        """Go on where the thread stands, or begin with this duty. Why it stopped: `kind` and what goes with it."""
        claim = self.claim
        enforcing = Enforcing(self.record, time.monotonic(), self._standing, self.bounds)
        thinker = Thinker(
            self.record, self.desk, self.prices, Patiently(self.dispatch.store).wait, enforcing.capped,
            self.bounds.patience,
        )  # fmt: skip
        actor = Actor(self.record, self.desk, Houseman(self.desk), enforcing.out_of_calls)
        actor.remember_seen()
        calls = Calls(thinker.think, actor.act, enforcing.enforce)
        name = f"{claim.todo}/{claim.epoch}/{claim.attempt}{thread and '/'}{thread}"
        config: Any = {
            "configurable": {"thread_id": name, LEASE: (claim.todo, claim.fence)}, "recursion_limit": _STEPS,
        }  # fmt: skip
        state = await self.graph.aget_state(config)
        at: Position | None = state.values.get("at")
        if at and not state.next and (stop := at["stop"]) and stop["kind"] not in _GOES_ON:
            return stop
        given: Position | None = None
        if at is None:
            given = after(begin(duty, DUTIES[duty].role), {"talks": max(self.record.talks, default=0)})
        elif not state.next:
            given = after(after(begin(duty, DUTIES[duty].role), cast(Step, at)), {"exit": "", "stop": {}})
        graph: Any = self.graph
        try:
            with _untraced(), self.saver.joined((claim.todo, claim.fence), self.record.keep_checkpoint):
                going = graph.astream(
                    given and {"at": given}, config, context=calls, durability="sync", stream_mode="custom"
                )
                async for _ in going:
                    pass
                await self.record.flush()
        finally:  # a reply that was paid for is booked, whoever stopped us; the rest, if the TODO is still ours
            self.record.later(standing=self.record.stands(seconds=enforcing.spent().seconds))
            with suppress(LeaseLost):
                await completed(self.record.flush())
        final = await self.graph.aget_state(config)
        stop: Stop = final.values["at"]["stop"]
        if stop["kind"] != "unavailable":
            return stop
        return await self._backed_off(stop)

    async def _standing(self) -> RunStanding:
        """Of the run, by what people and budgets have said."""
        run = await self.dispatch.store.read(lambda session: session.get_one(Run, self.claim.run))
        if run.cancelled:
            return "cancelled"
        return "budget_exhausted" if run.budget_exhausted else "held" if run.held else "going"

    async def _backed_off(self, stop: Stop) -> Stop:
        """A model was away from a role that the enforcer does not watch: wait longer each time, not for ever."""
        errors = self.record.standing.errors + 1
        after = max(stop["after"], min(self.bounds.backoff * 2 ** (errors - 1), BACKOFF_LIMIT))
        told = ("todo.progress", json.dumps({"text": waiting(after, str(stop["detail"]))}))
        await self.record.remember(standing=self.record.stands(errors=errors), events=[told])
        if errors > ERRORS:
            detail = f"the model could not answer {errors} times in a row: {stop['detail']}"
            return {"kind": "blocked", "reason": "model", "detail": detail}
        return {**stop, "kind": "wait", "after": after}


@dataclass(slots=True)
class Patiently:
    """Waits for the budget that calls in flight hold; not for ever."""

    store: Store
    number: int = 0
    waited: int = 0

    async def wait(self) -> bool:
        """Whether to try again."""
        self.waited += 1
        if self.waited > _BUSY_TRIES:
            self.waited = 0
            return False
        self.number = await self.store.changed(self.number, _BUSY_SECONDS)
        await asyncio.sleep(_BUSY_PAUSE)
        return True


async def storage_away(dispatch: Dispatch, claim: Claimed, bounds: Bounds, error: RemoteUnavailable) -> Result:
    """The attempt could not go on without the object store: it goes on later, where it stood; not for ever, if nothing
    of it can be stored meanwhile."""
    record = await take_up(dispatch, claim)
    known = outcome_of(record.standing)
    times = int(known.get(AWAY, 0)) + 1
    after = min(bounds.backoff * 2 ** (times - 1), BACKOFF_LIMIT)
    told = ("todo.progress", json.dumps({"text": waiting(after, str(error), "the object store")}))
    await record.remember(standing=record.stands(outcome=json.dumps(known | {AWAY: times})), events=[told])
    if times > ERRORS:
        return Blockage("store", f"the object store could not be used {times} times in a row: {error}")
    return Deferral("waiting", after)


def _untraced() -> AbstractContextManager[None]:
    """LangGraph would send what a run does to LangSmith, if it found the variables for it in this environment."""
    langsmith: Any = importlib.import_module("langsmith")
    return langsmith.tracing_context(enabled=False)


async def take_up(dispatch: Dispatch, claim: Claimed) -> Record:
    """What there is of an attempt. What its earlier owners had in flight is lost."""
    await settle_lost_calls(dispatch, claim)
    return await Record.load(dispatch.store, claim, dispatch.surely)


_GOES_ON = frozenset(("ask", "wait", "budget", "unavailable"))
"""Stops after which the same attempt goes on."""


def result_of(stop: Stop) -> Result | None:
    """What a stop means for the TODO; None: it is for the executor to say."""
    detail = str(stop.get("detail", ""))
    match stop["kind"]:
        case "ask":
            return Asked(stop["key"], stop["text"], stop["choices"])
        case "wait":
            return Deferral("waiting", stop["after"])
        case "budget":
            return Deferral("budget", 0.0, stop["tokens"], stop["nano"])
        case "blocked":
            return Blockage(stop["reason"], detail)
        case "failed":
            return Failure(stop["reason"], detail)
        case _:
            return None
