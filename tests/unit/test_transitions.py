"""The table of what may follow what, and the run's state."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import get_args

import pytest

from state.records import BAD_ENDS, OPEN, OWNED, TERMINAL, TodoStatus
from state.transitions import ALLOWED, REOPENED, REWRITTEN, Entry, IllegalTransition, check, derive_run_state
from tests.contract.store_invariants import brute_force_state

STATES: tuple[TodoStatus, ...] = get_args(TodoStatus)


def test_every_state_has_a_row_and_every_state_can_be_reached() -> None:
    assert ALLOWED.keys() == {None, *STATES}
    assert {to for allowed in ALLOWED.values() for to in allowed} == set(STATES)


def test_nothing_follows_an_end_but_a_retry() -> None:
    for state in STATES:
        assert (not ALLOWED[state]) == (state in TERMINAL)
    assert REOPENED.keys().isdisjoint({"completed", "cancelled"})
    assert "cancelled" not in REWRITTEN
    assert {to for allowed in REWRITTEN.values() for to in allowed} == {"pending"}


def test_the_kinds_of_states_do_not_overlap() -> None:
    assert OWNED < OPEN
    assert BAD_ENDS < TERMINAL
    assert OPEN.isdisjoint(TERMINAL)
    assert set(STATES) == {*OPEN, *TERMINAL, "blocked"}


@pytest.mark.parametrize(
    ("entry", "table"), [("new", ALLOWED), ("moved", ALLOWED), ("reopened", REOPENED), ("rewritten", REWRITTEN)]
)
def test_check_is_the_table(entry: Entry, table: Mapping[TodoStatus | None, frozenset[TodoStatus]]) -> None:
    for current, to in product((None, *STATES), STATES):
        allowed = ALLOWED[None] if current is None else table.get(current, frozenset[TodoStatus]())
        if to in allowed:
            check(current, to, entry)
        else:
            with pytest.raises(IllegalTransition):
                check(current, to, entry)


def test_the_run_s_state_is_its_definition() -> None:
    """Every combination of which states occur, with every combination of flags."""
    for occurs in product((0, 2), repeat=len(STATES)):
        count: dict[TodoStatus, int] = dict(zip(STATES, occurs, strict=True))
        states: list[TodoStatus] = [state for state, number in count.items() for _ in range(number)]
        for cancelled, held, exhausted, planning in product((False, True), repeat=4):
            flags = {"cancelled": cancelled, "held": held, "budget_exhausted": exhausted, "planning": planning}
            assert derive_run_state(count, **flags) == brute_force_state(flags, states)
