"""A tool call of a role: intent, effect, snapshot of the working tree, outcome; in this order, each durable before the
next says so. What was begun and not ended when a worker died is repeated only if that can do no harm; otherwise the
role is told that its outcome is unknown.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from roles.desk import Desk
from roles.gist import gist
from roles.house_tools import HOUSE_TOOLS
from roles.models.port import Block, Text, ToolCall, ToolResult
from roles.position import Frame, News, Position, Step, after, no_news
from roles.record import Record
from roles.role import DUTIES, Duty
from roles.rulings import AWAY, Houseman, Ruling, no_sandbox, outcome_of
from roles.thinking import CAPPED
from roles.toolbox import Outcome, bounded
from roles.untrusted import as_data
from state import tracing
from state.agent_commands import Standing, ToolRow, ToolState
from state.errors import EngineAway, LeaseLost, SandboxError
from state.failpoints import failpoint

QUIET = 12
"""Calls in a row without anything new, after which the enforcer is asked."""
_UNKNOWN = (
    "This call was interrupted: its worker died, or could not go on. Its outcome is unknown: it may have had its "
    "effect, in part or not at all. The files are as they were after the call before. Look before you repeat it."
)


@dataclass(slots=True)
class Actor:
    """Carries out calls. `capped` says that the attempt may make no more; `seen`: what was news already, of results and
    of trees."""

    record: Record
    desk: Desk
    house: Houseman
    capped: Callable[[], bool]
    seen: set[str] = field(default_factory=set[str])

    async def act(self, position: Position) -> Step:
        """The node of all tools: one call."""
        if not position["calls"]:
            return await self._answered(position)
        duty = DUTIES[position["duty"]]
        number = position["calls"][0]
        call = self._calls(position)[number]
        place = (position["talk"], position["seq"], number)
        row = self.record.tools.get(place)
        if row and row.state != "intent":
            ruling = _recorded(row)
        elif self.capped():
            return await self._cut_off(position, duty)
        elif call.unreadable is not None:
            ruling = await self._said(place, call, Ruling("the arguments are no JSON object; call again", failed=True))
        elif call.name in HOUSE_TOOLS and call.name in duty.exits:
            ruling = await self._house(position, duty, place, call)
        else:
            ruling = await self._tool(duty, place, call, interrupted=row is not None)
        return await self._on(position, duty, ruling)

    # --- the two kinds of tools --------------------------------------------------------------------------------------

    async def _house(self, position: Position, duty: Duty, place: tuple[int, int, int], call: ToolCall) -> Ruling:
        claim = self.record.claim
        key = "/".join(map(str, (claim.todo, claim.epoch, claim.attempt, *place)))
        ruling = await self.house.rule(duty, call, key, self.record.standing)
        if ruling.pending:
            return ruling
        if not ruling.events:  # nothing else tells watchers of it
            ruling = replace(ruling, events=[self._event(duty, call, "failed" if ruling.failed else "done")])
        return await self._said(place, call, ruling)

    async def _tool(self, duty: Duty, place: tuple[int, int, int], call: ToolCall, *, interrupted: bool) -> Ruling:
        box = await self.desk.toolbox(duty)
        if interrupted and not box.repeatable(call.name):
            return await self._said(place, call, Ruling(_UNKNOWN, failed=True, unknown=True))
        if not box.repeatable(call.name) and not interrupted:
            await self.record.remember(tools=[_row(place, call, "intent")], events=[self._event(duty, call, "running")])
            failpoint("agent.tool_intended")
        with tracing.span(f"execute_tool {call.name}", _told(call)) as here:
            outcome = await box.call(call.name, call.arguments)
            if outcome.failed:
                here.failed("tool")
        failpoint("agent.tool_called")
        if (trouble := self.desk.trouble()) is not None:
            return await self._stopped(duty, place, call, trouble)
        ruling = Ruling(outcome.text, failed=outcome.failed)
        snapshot, packs = None, ()
        if duty.writes and not box.reads_only(call.name):
            taken = await self.desk.snapshot()
            snapshot, packs = taken.commit, taken.packs
            ruling = ruling.told(taken.words)
            if taken.tree not in self.seen:
                self.seen.add(taken.tree)
                ruling = ruling.news_of("trees")
        digest = _digest(call, outcome)
        if _succeeded(outcome) and digest not in self.seen:
            self.seen.add(digest)
            ruling = ruling.news_of("results")
        ruling = ruling.framed(as_data(f"{call.name} {_about(call)}", ruling.text))
        row = _row(place, call, "failed" if ruling.failed else "done", ruling, digest, snapshot)
        changes: dict[str, object] = {"snapshot": snapshot} if snapshot else {}
        if packs and AWAY in (known := outcome_of(self.record.standing)):
            changes["outcome"] = json.dumps({name: each for name, each in known.items() if name != AWAY})
        standing = self._standing(**changes)
        self.record.later(tools=[row], standing=standing, packs=packs, events=[self._event(duty, call, row.state)])
        return ruling

    async def _stopped(
        self, duty: Duty, place: tuple[int, int, int], call: ToolCall, trouble: SandboxError | LeaseLost | OSError
    ) -> Ruling:
        if isinstance(trouble, LeaseLost | EngineAway | OSError):
            raise trouble  # whoever is next finds the intent, and an outcome that nobody knows
        return await self._said(place, call, replace(no_sandbox(trouble), events=[self._event(duty, call, "failed")]))

    async def _said(self, place: tuple[int, int, int], call: ToolCall, ruling: Ruling) -> Ruling:
        """Record what the house says to a call."""
        state = "unknown" if ruling.unknown else "failed" if ruling.failed else "done"
        row = _row(place, call, state, ruling)
        standing = self._standing(**ruling.standing)
        await self.record.remember(tools=[row], standing=standing, notes=ruling.notes, events=ruling.events)
        return ruling

    def _standing(self, **changes: object) -> Standing:
        return self.record.stands(tool_calls=self.record.standing.tool_calls + 1, **changes)

    # --- what follows ------------------------------------------------------------------------------------------------

    async def _on(self, position: Position, duty: Duty, ruling: Ruling) -> Step:
        if ruling.pending == "ask":
            return {"exit": "end", "stop": ruling.stop}
        if ruling.pending == "consult":
            frame: Frame = {
                "duty": duty.name, "talk": position["talk"], "seq": position["seq"], "calls": position["calls"],
            }  # fmt: skip
            asked = DUTIES[ruling.stop["duty"]]
            return {
                "role": asked.role, "duty": asked.name, "talk": 0, "seq": 0, "calls": [], "exit": "",
                "say": ruling.stop["question"], "callers": [*position["callers"], frame],
            }  # fmt: skip
        news = _added(position["news"], ruling.news)
        quiet = 0 if any(ruling.news.values()) else position["quiet"] + 1
        here: Step = {"news": news, "quiet": quiet, "exit": "", "calls": position["calls"][1:]}
        if ruling.exit:
            await self._skip(position, here["calls"], "the turn ended before")
            here["calls"] = []
        elif here["calls"]:
            return here
        here["seq"] = await self._results(position)
        if ruling.exit:
            return {**here, **ruling.position(after(position, here))}
        if duty.name == "work" and quiet >= QUIET:
            return {**here, "quiet": 0, "exit": "enforce", "ended": "gave_in"}
        return here

    async def _answered(self, position: Position) -> Step:
        """A consulted role has said its last words: they are the result of the call that asked it."""
        frame = position["callers"][-1]
        said = self.record.turn(position["talk"], position["seq"])
        words = "".join(block.text for block in said.blocks if isinstance(block, Text)).strip()
        back: Position = {
            **position, "role": DUTIES[frame["duty"]].role, "duty": frame["duty"], "talk": frame["talk"],
            "seq": frame["seq"], "calls": frame["calls"], "callers": position["callers"][:-1],
        }  # fmt: skip
        number = back["calls"][0]
        place = (back["talk"], back["seq"], number)
        text = as_data(f"the answer of {position['role']}", bounded(words or "(nothing)"))
        row = self.record.tools.get(place)
        ruling = _recorded(row) if row else await self._said(place, self._calls(back)[number], Ruling(text))
        step = await self._on(back, DUTIES[back["duty"]], ruling)
        kept: Step = {
            "role": back["role"], "duty": back["duty"], "talk": back["talk"], "seq": back["seq"],
            "calls": back["calls"], "callers": back["callers"],
        }  # fmt: skip
        return {**kept, **step}

    async def _cut_off(self, position: Position, duty: Duty) -> Step:
        """The attempt has met a cap: what is left of the reply's calls is not carried out."""
        await self._skip(position, position["calls"], CAPPED["detail"])
        seq = await self._results(position)
        return {
            "calls": [], "seq": seq, "exit": "enforce" if duty.name == "work" else "end", "ended": "capped",
            "stop": CAPPED,
        }  # fmt: skip

    async def _skip(self, position: Position, numbers: Sequence[int], why: str) -> None:
        """These calls are not carried out, and the role is told so."""
        calls = self._calls(position)
        for number in numbers:
            place = (position["talk"], position["seq"], number)
            if place not in self.record.tools:
                await self._said(place, calls[number], Ruling(f"not carried out: {why}", failed=True))

    async def _results(self, position: Position) -> int:
        """All calls of a reply are answered in the turn after it; returns that turn's number."""
        talk, seq = position["talk"], position["seq"]
        if self.record.said(talk, seq + 1) is None:
            blocks: list[Block] = []
            for number, call in enumerate(self._calls(position)):
                ruling = _recorded(self.record.tools[talk, seq, number])
                blocks.append(ToolResult(call.id, ruling.text, ruling.failed))
            said = self.record.user(talk, seq + 1, position["duty"], blocks)
            self.record.later(said=[said])
        return seq + 1

    def _calls(self, position: Position) -> list[ToolCall]:
        if self.record.said(position["talk"], position["seq"]) is None:
            return []
        said = self.record.turn(position["talk"], position["seq"])
        return [block for block in said.blocks if isinstance(block, ToolCall)]

    def _event(self, duty: Duty, call: ToolCall, state: str) -> tuple[str, str]:
        data = {"role": duty.role, "tool": call.name, "about": _about(call), "state": state}
        return "role.tool", json.dumps(data)

    def remember_seen(self) -> None:
        """What was news already when another worker had the attempt."""
        for row in self.record.tools.values():
            self.seen.update(each for each in (row.digest,) if each)


def _told(call: ToolCall) -> tracing.Attributes:
    """By OpenTelemetry's conventions; what it is called with is nobody's business."""
    names = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.type": "function"}
    return {**names, "gen_ai.tool.name": call.name, "gen_ai.tool.call.id": call.id}


def _row(
    place: tuple[int, int, int], call: ToolCall, state: ToolState, ruling: Ruling | None = None,
    digest: str | None = None, snapshot: str | None = None,
) -> ToolRow:  # fmt: skip
    talk, seq, number = place
    return ToolRow(
        talk, seq, number, call.id, json.dumps(call.name)[1:-1], json.dumps(dict(call.arguments)), state,
        ruling.to_json() if ruling else None, digest, snapshot,
    )  # fmt: skip


def _recorded(row: ToolRow) -> Ruling:
    return Ruling.from_json(row.result or "{}")


def _digest(call: ToolCall, outcome: Outcome) -> str:
    text = json.dumps([call.name, dict(call.arguments), outcome.text], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _succeeded(outcome: Outcome) -> bool:
    return not outcome.failed and (outcome.data or {}).get("exit_code", 0) == 0


def _added(news: News, more: Mapping[str, int]) -> News:
    return cast(News, {name: news[name] + more.get(name, 0) for name in no_news()})


def _about(call: ToolCall) -> str:
    return gist(call.name, call.arguments)
