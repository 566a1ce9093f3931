"""A role's turn: one call of a model, recorded as it is paid for. A turn that was recorded already is not asked for
again, whoever goes on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from roles.compaction import compacted
from roles.desk import Desk
from roles.house_tools import house_specs
from roles.ledger import TurnLedger
from roles.models.chain import Chain, Patience
from roles.models.port import Request, Text, ToolCall, ToolSpec
from roles.models.prices import PriceTable
from roles.position import Position, Step
from roles.record import Record
from roles.role import DUTIES, Duty, system_prompt
from state.agent_commands import Said
from state.errors import BudgetExhausted, ModelOverflow, ModelRejected, ModelUnavailable
from state.failpoints import failpoint
from state.limits import CONVERSATION_BYTES
from state.records import new_id

REMINDERS = 2
"""To a role that only talks where a tool is wanted."""
_SHRINK = 3


@dataclass(slots=True)
class Thinker:
    """Makes turns. `wait` is for a budget that calls in flight hold: whether it is worth another try. `capped` says
    that the attempt has used up what one may."""

    record: Record
    desk: Desk
    prices: PriceTable
    wait: Callable[[], Awaitable[bool]]
    capped: Callable[[], bool]
    patience: Patience = field(default_factory=Patience)

    async def think(self, position: Position) -> Step:
        """The node of every role."""
        duty = DUTIES[position["duty"]]
        opening = await self._opening(position, duty)
        talk, seq = (opening[0].talk, opening[-1].seq) if opening else (position["talk"], position["seq"])
        here: Step = {"talk": talk, "seq": seq, "say": "", "talks": max(position["talks"], talk), "exit": ""}
        if (reply := self.record.said(talk, seq + 1)) is None:
            if self.capped():
                self.record.keep(opening)
                await self.record.remember(said=opening)
                return {**here, "exit": "enforce" if duty.name == "work" else "end", "ended": "capped", "stop": CAPPED}
            try:
                reply = await self._ask(duty, talk, seq, opening)
            except ModelOverflow as error:
                return await self._shortened(duty, position, here, str(error))
            except (ModelUnavailable, ModelRejected, BudgetExhausted) as error:
                return _without_reply(duty, here, error)
        return self._after(duty, position, {**here, "seq": seq + 1}, reply)

    async def _opening(self, position: Position, duty: Duty) -> list[Said]:
        """The turns of the house before this one of the model's, as far as they are not recorded."""
        talk, seq, record = position["talk"], position["seq"], self.record
        said: list[Said] = []
        if talk == 0:
            talk, seq = position["talks"] + 1, 0
            said.append(
                record.said(talk, 1) or record.user(talk, 1, duty.name, [Text(await self._first(duty, position))])
            )
            seq = 1
            if duty.answers:
                return said
        if position["say"]:
            said.append(record.said(talk, seq + 1) or record.user(talk, seq + 1, duty.name, [Text(position["say"])]))
        return said

    async def _first(self, duty: Duty, position: Position) -> str:
        brief = await self.desk.brief(duty.name)
        return "\n\n".join(part for part in (position["say"], brief) if part) if duty.answers else brief

    async def _ask(self, duty: Duty, talk: int, seq: int, opening: Sequence[Said]) -> Said:
        record = self.record
        ledger = TurnLedger(
            record, self.prices, duty.role, duty.name, talk, seq + 1, self.wait,
            [each for each in opening if record.said(talk, each.seq) is None],
        )  # fmt: skip
        record.keep(opening)
        claim = record.claim
        request = Request(
            system=system_prompt(duty),
            messages=record.messages(talk, seq),
            tools=await self.tools(duty),
            output_tokens=duty.output_tokens,
            effort=duty.effort,
            conversation=f"{claim.todo}/{claim.epoch}/{claim.attempt}/{talk}",
        )
        if record.input_bytes(duty.name, talk, request) > CONVERSATION_BYTES:
            raise ModelOverflow(f"the conversation has more than {CONVERSATION_BYTES:,} bytes (CONVERSATION_BYTES)")
        await Chain(await self.desk.models(duty), ledger, self.patience).reply(request)
        found = record.said(talk, seq + 1)
        assert found, "a reply that was settled is recorded"  # noqa: S101
        return found

    async def tools(self, duty: Duty) -> tuple[ToolSpec, ...]:
        """Of a duty, in one order: they are part of what makers recognise a conversation by."""
        box = await self.desk.toolbox(duty)
        return (*box.specs, *house_specs(duty.exits))

    async def _shortened(self, duty: Duty, position: Position, here: Step, why: str) -> Step:
        """Go on in a new conversation that has what matters of this one."""
        talk, seq = here.get("talk", 0), here.get("seq", 0)
        fresh = max(position["talks"], talk) + 1
        said = self.record.talks.get(fresh) or compacted(
            self.record, duty.name, talk, seq, fresh, await self.desk.essentials()
        )
        if sum(len(each.blocks) for each in self.record.talks[talk][:seq]) < _SHRINK * sum(len(s.blocks) for s in said):
            stop = {"kind": "blocked", "reason": "model", "detail": f"{why}, and it could not be shortened"}
            return {**here, "exit": "enforce" if duty.name == "work" else "end", "ended": "overflow", "stop": stop}
        failpoint("agent.shortening")
        await self.record.remember(said=said)
        failpoint("agent.shortened")
        return {**here, "talk": fresh, "seq": len(said), "talks": fresh, "exit": "again"}

    def _after(self, duty: Duty, position: Position, here: Step, reply: Said) -> Step:
        blocks = self.record.turn(reply.talk, reply.seq).blocks
        if calls := [block for block in blocks if isinstance(block, ToolCall)]:
            return {**here, "calls": list(range(len(calls)))}
        if reply.stop == "refused":
            stop = {"kind": "blocked", "reason": "model", "detail": f"the model of {duty.role} refused to answer"}
            return {**here, "exit": "end", "stop": stop}
        if duty.answers:
            return {**here, "exit": "tools"}  # its words are the result of its caller's call
        if duty.name == "work":
            return {**here, "exit": "enforce", "ended": "gave_in"}
        if position["reminders"] >= REMINDERS:
            detail = f"{duty.role} did not call {' or '.join(duty.exits)} after {REMINDERS} reminders"
            return {**here, "exit": "end", "stop": {"kind": "failed", "reason": "rejected", "detail": detail}}
        say = f"Words alone are not taken: call {' or '.join(duty.exits)}."
        return {**here, "exit": "again", "say": say, "reminders": position["reminders"] + 1}


CAPPED = {"kind": "failed", "reason": "cap", "detail": "what one attempt may use is used up"}
"""Why an attempt ends that met a cap."""


def _without_reply(duty: Duty, here: Step, error: ModelUnavailable | ModelRejected | BudgetExhausted) -> Step:
    match error:
        case BudgetExhausted():
            kind = "wait" if error.busy else "budget"
            stop = {"kind": kind, "tokens": error.tokens, "nano": error.nano, "detail": error.message, "after": 5.0}
            return {**here, "exit": "end", "stop": stop}
        case ModelRejected():
            return {**here, "exit": "end", "stop": {"kind": "blocked", "reason": "model", "detail": str(error)}}
        case ModelUnavailable():
            stop = {"kind": "unavailable", "detail": str(error), "after": error.after or 0.0, "failure": new_id()}
            return {**here, "exit": "enforce" if duty.name == "work" else "end", "ended": "unavailable", "stop": stop}
