"""From what an executor reports to what the store is told. Pure: the retry policy lives here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from state.agent_commands import AskPerson
from state.commands import Block, Claimed, Command, Complete, ExtendRun, Fail, Release
from state.ports import Asked, Blockage, Deferral, Failure, Planned, Result, Worked

LONGEST_BACKOFF = 600.0
"""Seconds; doubling stops here."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`retries` attempts after the first; the first wait is `backoff` seconds, each later one twice the one before."""

    retries: int = 0
    backoff: float = 5.0

    @classmethod
    def of(cls, document: str) -> RetryPolicy:
        """What a TODO's document grants."""
        tree: dict[str, Any] = json.loads(document)
        return cls(int(tree.get("retries", 0)), float(tree.get("backoff", cls().backoff)))

    def wait(self, attempt: int) -> float | None:
        """Seconds until the next attempt, after `attempt` failures before this one; None when there is none left."""
        if attempt >= self.retries:
            return None
        return min(self.backoff * 2.0 ** min(attempt, 60), LONGEST_BACKOFF)


def settlement(claim: Claimed, result: Result, by: str = "") -> Command:
    """The one command with which the worker `by` lets go of it."""
    match result:
        case Worked():
            return Complete(claim.todo, claim.fence, result.evidence, result.outputs, result.head)
        case Planned():
            return ExtendRun(
                claim.todo, claim.fence, result.evidence, result.plan, result.plan_hash, result.todos
            )  # fmt: skip
        case Deferral():
            return Release(claim.todo, claim.fence, result.cause, by, result.after, result.tokens, result.nano)
        case Asked():
            return AskPerson(claim.todo, claim.fence, result.key, result.text, result.choices)
        case Failure():
            wait = RetryPolicy.of(claim.document).wait(claim.attempt)
            detail = _storable(result.detail)
            return Fail(claim.todo, claim.fence, result.reason, detail, wait, result.evidence, result.outputs)
        case Blockage():
            return Block(claim.todo, claim.fence, result.reason, _storable(result.detail))


def _storable(text: str) -> str:
    """It may name a file whose name is no text."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{SYMBOL FOR NULL}")
