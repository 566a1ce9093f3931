"""The run's budget and books, as the chain of models sees them: every call is reserved in SQL before it is sent, and
its reply is recorded in the transaction that settles it, so that nobody asks again for what was answered.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal

from mcp_servers.storage.threads import completed
from roles.conversation import encode_blocks
from roles.models.chain import Outcome as CallOutcome
from roles.models.port import Reply, Request, Text, Usage
from roles.models.prices import PriceTable
from roles.record import Record, check
from state.agent_commands import Remember, ReserveCall, Said, SettleCall, Standing
from state.commands import Command, Outcome, Refused
from state.errors import BudgetExhausted, ModelRejected
from state.failpoints import failpoint
from state.records import new_id

_NANO = 1_000_000_000
_GIVE_TOKENS = "Give a budget in tokens too: atlas resume RUN --budget tokens=2000000. Then retry the TODO."
_GIST = 300


@dataclass(slots=True)
class TurnLedger:
    """`roles.models.chain.Ledger` for one turn: the reply becomes message `seq` of `talk`. `before` are turns of the
    house that go with the reservation. `wait` returns when something was settled, or after a moment."""

    record: Record
    prices: PriceTable
    role: str
    speaker: str
    talk: int
    seq: int
    wait: Callable[[], Awaitable[bool]]
    before: list[Said] = field(default_factory=list[Said])

    async def reserve(self, model: str, request: Request) -> TurnCall:
        """`BudgetExhausted` when the run's budget can't allow for it, `ModelRejected` when it is in money alone and
        nobody knows the model's price; `LeaseLost`."""
        price = self.prices.of(model)
        size = self.record.input_bytes(self.speaker, self.talk, request)
        tokens = size + request.output_tokens
        nano = _nano(price.most(size, request.output_tokens)) if price else None
        claim = self.record.claim
        while True:
            call = new_id()
            reserve = ReserveCall(call, claim.todo, claim.fence, self.role, model, tokens, nano)
            remember = Remember(claim.todo, claim.fence, said=self.before)
            outcome, remembered = await self._committed(call, [reserve, remember])
            if isinstance(outcome, Refused) and outcome.code in ("budget", "budget_busy"):
                busy = outcome.code == "budget_busy"
                if busy and await self.wait():
                    continue
                raise BudgetExhausted(outcome.message, tokens, nano or 0, busy=busy)
            if isinstance(outcome, Refused) and outcome.code == "unpriced":
                raise ModelRejected(outcome.message, _GIVE_TOKENS)
            check(outcome)
            check(remembered)
            self.record.keep(self.before)
            failpoint("agent.call_reserved")
            return TurnCall(self, call, model)

    async def _committed(self, call: str, commands: Sequence[Command]) -> list[Outcome]:
        """The outcomes. Who is cancelled meanwhile leaves no reservation: nothing is sent under it."""
        outcomes: list[Outcome] = []

        async def commit() -> None:
            outcomes.extend(await self.record.commit(commands))

        try:
            await completed(commit())
        except asyncio.CancelledError:
            if outcomes and not isinstance(outcomes[0], Refused):
                await completed(self.record.write([SettleCall(call, "stopped")]))
            raise
        return outcomes


@dataclass(slots=True)
class TurnCall:
    """`roles.models.chain.Call`."""

    ledger: TurnLedger
    id: str
    model: str

    async def settle(self, usage: Usage, outcome: CallOutcome, reply: Reply | None) -> None:
        """What was used is booked in any case; a reply with the next checkpoint, if the TODO is still this worker's."""
        failpoint("agent.call_answered")
        ledger, record = self.ledger, self.ledger.record
        price = ledger.prices.of(self.model)
        nano = _nano(price.cost(usage)) if price else 0
        settle = SettleCall(
            self.id, outcome, usage.input, usage.cached, usage.written, usage.output, nano, usage.estimated
        )
        if reply is None:
            check((await record.write([settle]))[0])
            return
        standing = self._standing(usage)
        event = ("role.turn", self._event(reply, usage, nano, standing.turns))
        record.later(said=[self._said(reply)], standing=standing, events=[event], first=[settle])

    def _standing(self, usage: Usage) -> Standing:
        now = self.ledger.record.standing
        used = usage.input + usage.cached + usage.written + usage.output
        return self.ledger.record.stands(turns=now.turns + 1, tokens=now.tokens + used, errors=0)

    def _said(self, reply: Reply) -> Said:
        ledger = self.ledger
        return Said(
            ledger.talk, ledger.seq, "assistant", ledger.speaker, encode_blocks(reply.blocks), reply.stop, self.id
        )

    def _event(self, reply: Reply, usage: Usage, nano: int, turn: int) -> str:
        words = "".join(block.text for block in reply.blocks if isinstance(block, Text)).strip()
        data = {
            "role": self.ledger.role, "model": self.model, "turn": turn,
            "tokens": usage.input + usage.cached + usage.written + usage.output, "cached": usage.cached,
            "usd": nano / _NANO, "text": words[:_GIST],
        }  # fmt: skip
        return json.dumps(data)


def _nano(usd: Decimal) -> int:
    return int((usd * _NANO).to_integral_value(ROUND_CEILING))
