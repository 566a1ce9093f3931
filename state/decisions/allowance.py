"""What a budget allows for. Pure, but for saying that it is used up."""

from __future__ import annotations

from typing import Literal

from state.work import BudgetState, RunState, Work, encode

NANO = 1_000_000_000
"""In a dollar."""
Room = Literal["enough", "busy", "none"]


def room(budget: BudgetState, tokens: int, nano: int) -> Room:
    """Whether a call of at most so much may be made: ``busy`` when it could if the calls in flight used little."""
    pairs = (
        (budget.tokens_limit, budget.tokens + budget.tokens_withheld + tokens, budget.tokens_held),
        (budget.nano_limit, budget.nano + budget.nano_withheld + nano, budget.nano_held),
    )
    if any(limit is not None and sure > limit for limit, sure, _ in pairs):
        return "none"
    if any(limit is not None and sure + held > limit for limit, sure, held in pairs):
        return "busy"
    return "enough"


def shortage(budget: BudgetState, tokens: int, nano: int) -> str:
    """What is missing, in words."""
    words: list[str] = []
    if budget.tokens_limit is not None:
        left = max(0, budget.tokens_limit - budget.tokens - budget.tokens_withheld)
        words.append(f"{left:,} of {budget.tokens_limit:,} tokens are left, and the next call may take {tokens:,}")
    if budget.nano_limit is not None:
        left = max(0, budget.nano_limit - budget.nano - budget.nano_withheld) / NANO
        words.append(
            f"${left:.4f} of ${budget.nano_limit / NANO:.2f} are left, and the next may cost ${nano / NANO:.4f}"
        )
    return "; ".join(words)


def exhaust(work: Work, run: RunState, budget: BudgetState, tokens: int, nano: int) -> None:
    """The run stands still until somebody raises its budget so that a call of so much is allowed for."""
    run.budget_exhausted, run.reason = True, shortage(budget, tokens, nano)
    data = {
        "exhausted": True, "tokens": budget.tokens, "usd": budget.nano / NANO,
        "needs_tokens": budget.tokens + budget.tokens_withheld + tokens,
        "needs_usd": (budget.nano + budget.nano_withheld + nano) / NANO,
    }  # fmt: skip
    work.event(run, None, "run.budget", encode(data))


def said(budget: BudgetState, *, exhausted: bool) -> str:
    """The data of a ``run.budget`` event that warns."""
    return encode({"exhausted": exhausted, "tokens": budget.tokens, "usd": budget.nano / NANO})
