"""New limits of a run's budget, against what it has used already. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from orchestrator.plan.document import Budget
from orchestrator.views import NANO
from state.agent_tables import BudgetRow
from state.errors import InputError


def check_prices(budget: Budget | None, models: Mapping[str, Sequence[str]]) -> None:
    """`InputError` when money is all that limits models that a plan names, and nobody knows what one of them costs."""
    if budget is None or budget.usd is None or budget.tokens is not None:
        return
    from roles.models.prices import load_prices

    prices = load_prices()
    for name in (name for chain in models.values() for name in chain):
        if prices.of(name) is None:
            raise InputError(
                f"budget: what {name} costs is not known, so that a limit in usd alone would not hold",
                "Give it a limit in tokens too: budget: {usd: 5, tokens: 2000000}.",
            )


def new_limits(wanted: Budget, used: BudgetRow | None) -> tuple[int | None, int | None]:
    """(tokens, nano-dollars) for `state.commands.Resume`; None where nothing is wanted. `InputError` when a limit
    leaves nothing."""
    tokens = wanted.tokens
    nano = None if wanted.usd is None else round(wanted.usd * NANO)
    gone_tokens = used.tokens + used.tokens_withheld if used else 0
    gone_nano = used.nano + used.nano_withheld if used else 0
    if tokens is not None and tokens <= gone_tokens:
        raise InputError(
            f"a budget of {tokens:,} tokens leaves nothing: {gone_tokens:,} are used or set aside already",
            f"Give more than that: --budget tokens={2 * gone_tokens}",
        )
    if nano is not None and nano <= gone_nano:
        raise InputError(
            f"a budget of ${nano / NANO:.2f} leaves nothing: ${gone_nano / NANO:.4f} are used or set aside already",
            f"Give more than that: --budget usd={2 * gone_nano / NANO:.2f}",
        )
    return tokens, nano


def new_wall_clock(wanted: Budget, worked: float) -> float | None:
    """Seconds for `state.commands.Resume`, of a run that has been in progress for `worked`; None when none is wanted.
    `InputError` when it leaves nothing."""
    if wanted.wall_clock is not None and wanted.wall_clock <= worked:
        raise InputError(
            f"a wall_clock of {wanted.wall_clock:,.0f} s leaves nothing: {worked:,.0f} s are used already",
            f"Give more than that: --budget wall_clock={2 * math.ceil(worked)}s",
        )
    return wanted.wall_clock


def time_to_go_on(used: BudgetRow, worked: float) -> list[str]:
    """``wall_clock=240s`` for a run that has been in progress for as long as it may; twice what it had."""
    if used.seconds_limit is None or worked < used.seconds_limit:
        return []
    return [f"wall_clock={math.ceil(2 * used.seconds_limit)}s"]


def options_to_go_on(used: BudgetRow, needs_tokens: int, needs_usd: float) -> list[str]:
    """``tokens=20000``, ``usd=4``: limits with which a run that has used up its budget gets further, as the command
    line takes them. Each leaves as much again as there was."""
    found: list[str] = []
    if used.tokens_limit is not None and used.tokens_limit < needs_tokens:
        found.append(f"tokens={_rounded_up(needs_tokens + used.tokens_limit):.0f}")
    if used.nano_limit is not None and used.nano_limit / NANO < needs_usd:
        found.append(f"usd={_rounded_up(needs_usd + used.nano_limit / NANO):.12g}")
    return found


def _rounded_up(amount: float) -> float:
    """To two digits."""
    scale = 10.0 ** (math.floor(math.log10(amount)) - 1)
    return math.ceil(amount / scale - 1e-9) * scale
