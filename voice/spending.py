"""What a conversation may spend on models, and what it did; it belongs to no run, so no run's ledger has it."""

from __future__ import annotations

import logging

from roles.models.chain import Call, Outcome
from roles.models.port import Reply, Request, Usage
from state.errors import LimitExceeded

log = logging.getLogger(__name__)

TOKENS = 300_000
"""Of one conversation: an hour of talk is about a third of it."""


class Spending:
    """`roles.models.chain.Ledger` of one conversation."""

    def __init__(self, tokens: int = TOKENS) -> None:
        self._tokens = tokens
        self.used = 0

    async def reserve(self, model: str, request: Request) -> Call:
        """`LimitExceeded` when all of it is used."""
        if self.used >= self._tokens:
            raise LimitExceeded(
                f"this conversation has used its {self._tokens:,} tokens", "Begin another; commands still work."
            )
        return _Called(self, model)


class _Called:
    def __init__(self, spending: Spending, model: str) -> None:
        self._spending = spending
        self._model = model

    async def settle(self, usage: Usage, outcome: Outcome, reply: Reply | None) -> None:
        del reply
        tokens = usage.input + usage.cached + usage.written + usage.output
        self._spending.used += tokens
        log.info("%s %s, %d tokens, %d of this conversation", self._model, outcome, tokens, self._spending.used)
