"""What a budget allows for, and that no interleaving of calls gets more than that out of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state.agent_commands import CallEnd, ReserveCall, SettleCall
from state.commands import Claim, Done, Refused
from state.decisions.allowance import NANO, Room, room, said, shortage
from state.records import QUEUE
from state.work import BudgetState
from tests.contract.store_memory import MemoryStore
from tests.contract.store_world import RUN, FakeClock, submission, task, todo_id


@pytest.mark.parametrize(
    ("limit", "used", "withheld", "held", "wanted", "found"),
    [
        (None, 10**12, 10**12, 10**12, 10**12, "enough"),
        (100, 0, 0, 0, 100, "enough"),
        (100, 0, 0, 0, 101, "none"),
        (100, 40, 0, 0, 60, "enough"),
        (100, 40, 1, 0, 60, "none"),
        (100, 40, 0, 1, 60, "busy"),
        (100, 100, 0, 0, 0, "enough"),
        (100, 101, 0, 0, 0, "none"),
        (0, 0, 0, 0, 0, "enough"),
        (0, 0, 0, 0, 1, "none"),
    ],
)
def test_room(limit: int | None, used: int, withheld: int, held: int, wanted: int, found: Room) -> None:
    of_tokens = BudgetState(RUN, tokens_limit=limit, tokens=used, tokens_withheld=withheld, tokens_held=held)
    of_money = BudgetState(RUN, nano_limit=limit, nano=used, nano_withheld=withheld, nano_held=held)
    assert room(of_tokens, wanted, 0) == found
    assert room(of_money, 0, wanted) == found


def test_the_tighter_limit_decides() -> None:
    budget = BudgetState(RUN, tokens_limit=100, nano_limit=100, tokens_held=50, nano=50)
    assert room(budget, 50, 50) == "enough"
    assert room(budget, 51, 50) == "busy"
    assert room(budget, 51, 51) == "none"


def test_what_is_missing_is_said_in_words() -> None:
    budget = BudgetState(
        RUN, tokens_limit=10_000, tokens=9_000, tokens_withheld=500, nano_limit=2 * NANO, nano=3 * NANO
    )
    assert shortage(budget, 4_000, NANO // 2) == (
        "500 of 10,000 tokens are left, and the next call may take 4,000; "
        "$0.0000 of $2.00 are left, and the next may cost $0.5000"
    )
    assert said(budget, exhausted=True) == '{"exhausted":true,"tokens":9000,"usd":3.0}'


class Spending:
    """A run whose calls come, end and get lost in any order; `truth` is what each really uses."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.store = MemoryStore(FakeClock())
        command = submission(task("a", kind="agent"), task("b", kind="agent"))
        command.tokens = command.nano = limit
        self.store.apply(command)
        self.store.apply(*(Claim(todo_id(key), "w", QUEUE) for key in "ab"))
        self.truth: dict[str, int] = {}
        self.open: dict[str, str] = {}
        """call -> reserved, lost"""
        self.told: dict[str, SettleCall] = {}
        """What was said last of each."""

    @property
    def budget(self) -> dict[str, Any]:
        return self.store.rows("budget")[0]

    def reserve(self, key: str, amount: int, used: int) -> None:
        call = f"c{len(self.truth)}"
        spent, held = self.budget["tokens"] + self.budget["tokens_withheld"], self.budget["tokens_held"]
        (outcome,) = self.store.apply(ReserveCall(call, todo_id(key), 1, "metis", "model", amount, amount))
        assert isinstance(outcome, Done) == (spent + held + amount <= self.limit)
        if isinstance(outcome, Refused):
            assert outcome.code == ("budget" if spent + amount > self.limit else "budget_busy")
        else:
            self.truth[call], self.open[call] = min(used, amount), "reserved"

    def settle(self, place: int, end: CallEnd, known: int) -> None:
        """`known` of what was used is known of a call that was cut off or lost."""
        if not self.open:
            return
        call = sorted(self.open)[place % len(self.open)]
        used = self.truth[call]
        part = min(used, known)
        match end:
            case "lost":
                command = SettleCall(call, "lost", output=part, nano=part, estimated=bool(known % 2))
            case "stopped":
                command = SettleCall(call, "stopped", input=part, nano=part, estimated=True)
            case _:
                command = SettleCall(call, end, cached=used, nano=used)
        late = self.open[call] == "lost"
        (outcome,) = self.store.apply(command)
        command.estimated |= end == "lost"  # whatever is said of it
        again = self.told.get(call) == command
        assert isinstance(outcome, Done) == (again or not (late and end == "lost")), "what is said again is done"
        if isinstance(outcome, Done):
            self.told[call] = command
        if end == "lost":
            self.open[call] = "lost"
        else:
            del self.open[call]

    def check(self) -> None:
        budget = self.budget
        assert sum(self.truth.values()) <= self.limit, "more was used than may be"
        for unit in ("tokens", "nano"):
            assert min(budget[unit], budget[f"{unit}_held"], budget[f"{unit}_withheld"]) >= 0
            assert budget[unit] + budget[f"{unit}_held"] + budget[f"{unit}_withheld"] <= self.limit
        if "reserved" not in self.open.values():
            assert budget["tokens_held"] == budget["nano_held"] == 0


AMOUNT = st.integers(0, 40)
RESERVE = st.tuples(st.just("reserve"), st.sampled_from("ab"), AMOUNT, AMOUNT)
ENDS: list[CallEnd] = ["answered", "failed", "stopped", "lost"]
SETTLE = st.tuples(st.just("settle"), st.integers(0, 20), st.sampled_from(ENDS), AMOUNT)


@given(limit=st.integers(0, 120), steps=st.lists(RESERVE | SETTLE, max_size=40))
@settings(max_examples=300, deadline=None)
def test_no_interleaving_gets_more_than_the_limit(limit: int, steps: list[Any]) -> None:
    spending = Spending(limit)
    for name, *values in steps:
        getattr(spending, name)(*values)
        spending.check()
    for call in sorted(spending.open):  # all that was lost becomes known, and what is in flight ends
        used = spending.truth[call]
        (outcome,) = spending.store.apply(SettleCall(call, "answered", output=used, nano=used))
        assert isinstance(outcome, Done)
    spending.open.clear()
    spending.check()
    stopped = [row for row in spending.store.rows("model_call") if row["estimated"]]
    withheld = sum(max(0, row["reserved_tokens"] - row["input"]) for row in stopped)
    budget = spending.budget
    assert budget["tokens_withheld"] == withheld, "only of those cut off"
    left = limit - budget["tokens"] - withheld
    (outcome,) = spending.store.apply(ReserveCall("last", todo_id("a"), 1, "metis", "model", left, left))
    assert isinstance(outcome, Done), "what is spendable has come back"
