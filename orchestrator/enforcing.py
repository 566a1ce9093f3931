"""The enforcer's node: from an attempt's records to a `Snapshot`, and from the decision to the next position.

A decision is recorded with the counters in one transaction, by where in the conversation it was made: done again after
a crash, it is the same.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any, cast

from orchestrator.agents.bounds import Bounds
from orchestrator.enforcer import (
    CREDIT,
    Amounts,
    Consult,
    Continue,
    Counters,
    Decision,
    Done,
    Snapshot,
    Stop,
    Wait,
    decide,
)
from orchestrator.enforcer import News as Measured
from orchestrator.enforcer import Standing as RunStanding
from roles.checklist import Items
from roles.position import Position, Step, no_news, turn_to
from roles.record import Record
from roles.role import DUTIES
from roles.rulings import outcome_of

_TOLD = 300
_COUNTERS = ("continuations", "fruitless", "credit", "consultations", "errors")


@dataclass(slots=True)
class Enforcing:
    """`since` is the monotonic time when this worker took the attempt up; `standing` tells how its run stands."""

    record: Record
    since: float
    standing: Callable[[], Awaitable[RunStanding]]
    bounds: Bounds = field(default_factory=Bounds)

    def spent(self) -> Amounts:
        """Of the whole attempt, by all workers that had it."""
        now = self.record.standing
        return Amounts(now.turns, now.tool_calls, now.tokens, now.seconds + time.monotonic() - self.since)

    def capped(self) -> bool:
        """Whether a cap is reached, so that no model is asked any more."""
        return self.spent().first_reached(self.bounds.caps) is not None

    def out_of_calls(self) -> bool:
        """Whether no tool is called any more: what the last reply wants may be done, but not without a bound."""
        caps = self.bounds.caps
        return self.spent().first_reached(replace(caps, turns=sys.maxsize, tokens=sys.maxsize)) is not None

    async def enforce(self, position: Position) -> Step:
        """The node."""
        known = outcome_of(self.record.standing)
        at = [position["talk"], position["seq"], position["stop"].get("failure", "")]
        if (made := known.get("decision")) and made["at"] == at:
            return cast(Step, made["step"])
        decision = decide(self._snapshot(position, known, await self.standing()))
        step = self._step(position, decision)
        known["decision"] = {"at": at, "step": step}
        seconds = self.spent().seconds
        self.since = time.monotonic()
        standing = self.record.stands(
            **{name: getattr(decision.counters, name) for name in _COUNTERS}, seconds=seconds, outcome=json.dumps(known)
        )
        words = _words(decision, str(position["stop"].get("detail") or ""))
        events = [] if isinstance(decision, Done) else [("todo.progress", json.dumps({"text": words}))]
        await self.record.remember(standing=standing, events=events)
        return step

    def _snapshot(self, position: Position, known: dict[str, Any], standing: RunStanding) -> Snapshot:
        now, news = self.record.standing, position["news"]
        ended = position["ended"]
        return Snapshot(
            ended="gave_in" if ended == "capped" else ended,
            counters=counters_of(self.record),
            news=Measured(**news),
            standing=standing,
            open_items=Items.from_json(now.checklist).open,
            spent=self.spent(),
            caps=self.bounds.caps,
            backoff=self.bounds.backoff,
            diagnosis=str(known.get("diagnosis") or ""),
        )

    def _step(self, position: Position, decision: Decision) -> Step:
        fresh: Step = {"news": no_news(), "quiet": 0}
        match decision:
            case Continue(prompt, _, after) if after:
                stop = {**position["stop"], "kind": "wait", "after": max(after, position["stop"].get("after", 0.0))}
                return {"quiet": 0, "exit": "end", "say": prompt, "stop": stop}  # what moved is judged next time
            case Continue(prompt, _, _):
                return {**fresh, "exit": "hephaestus", "say": prompt}
            case Done():
                return {"exit": "end", "stop": {"kind": "claims_done", "summary": position["stop"].get("summary", "")}}
            case Consult(prompt, _):
                oracle = DUTIES["diagnose"]
                return {**fresh, **turn_to(position, oracle.name, oracle.role, prompt), "exit": "oracle"}
            case Wait(reason, prompt, _):
                stop = {"kind": "wait", "after": 0.0, "detail": reason}
                return {"quiet": 0, "exit": "end", "say": prompt, "stop": stop}
            case Stop(state, reason, _):
                kind = "blocked" if state == "blocked" else "failed"
                cause = "model" if position["ended"] in ("unavailable", "overflow") else "stuck"
                detail = f"{reason}: {position['stop'].get('detail', '')}".rstrip(": ")
                return {
                    **fresh, "exit": "end",
                    "stop": {"kind": kind, "reason": cause if kind == "blocked" else "cap", "detail": detail},
                }  # fmt: skip


def counters_of(record: Record) -> Counters:
    """Columns of the attempt; an attempt that has none begins with all its credit."""
    now = record.standing
    # errors are also counted where no enforcer watches
    begun = any(asdict(now)[name] for name in _COUNTERS if name != "errors") or (
        now.outcome is not None and "decision" in now.outcome
    )
    return Counters(
        now.continuations, now.fruitless, now.credit if begun else CREDIT, now.consultations, now.errors
    )  # fmt: skip


def waiting(after: float, why: str, what: str = "the model") -> str:
    """What watchers are told while it is away."""
    return f"waits {after:g} s for {what}: {why}"[:_TOLD].rstrip(": ")


def _words(decision: Decision, why: str) -> str:
    match decision:
        case Continue(prompt, _, after):
            return waiting(after, why) if after else f"made to go on: {prompt}"[:_TOLD]
        case Consult():
            return "nothing has moved: Oracle looks at it"
        case Stop(_, reason, _):
            return reason
        case Wait(reason, _, _):
            return f"waits: {reason}"
        case Done():
            return "says that it is done"
