"""Which state may follow which, and what a run's state is, given its TODOs. Pure; design §4."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from state.records import RunStatus, TodoStatus

ALLOWED: Mapping[TodoStatus | None, frozenset[TodoStatus]] = {
    None: frozenset(("pending", "ready", "awaiting_input")),
    "pending": frozenset(("ready", "awaiting_input", "not_applicable", "skipped", "cancelled")),
    "ready": frozenset(("in_progress", "cancelled")),
    "in_progress": frozenset(
        ("verifying", "completed", "ready", "awaiting_input", "blocked", "failed", "cancelled"),
    ),
    "verifying": frozenset(("completed", "ready", "blocked", "failed", "cancelled")),
    "awaiting_input": frozenset(("ready", "completed", "blocked", "cancelled")),
    "blocked": frozenset(("cancelled",)),
    "completed": frozenset(),
    "failed": frozenset(),
    "cancelled": frozenset(),
    "skipped": frozenset(),
    "not_applicable": frozenset(),
}
"""What may follow within one epoch. ``None`` is a TODO that does not exist yet."""

REOPENED: Mapping[TodoStatus, frozenset[TodoStatus]] = {
    "failed": frozenset(("ready", "pending", "awaiting_input")),
    "blocked": frozenset(("ready", "pending", "awaiting_input")),
    "skipped": frozenset(("pending",)),
    "not_applicable": frozenset(("pending",)),
}
"""What a person's `retry` may make of an ended TODO, in a new epoch."""

REWRITTEN: Mapping[TodoStatus, frozenset[TodoStatus]] = dict.fromkeys(
    ("ready", "in_progress", "verifying", "completed", "failed", "blocked", "skipped", "not_applicable"),
    frozenset(("pending",)),
)
"""What the same `retry` makes of the report on it, whatever became of that."""

REPLACED: Mapping[TodoStatus, frozenset[TodoStatus]] = dict.fromkeys(
    ("pending", "ready", "awaiting_input", "blocked", "failed", "skipped"), frozenset(("not_applicable",))
)
"""What a person's `replan` makes of what the new plan is to replace."""

Entry = Literal["new", "moved", "reopened", "rewritten", "replaced"]
"""How a TODO enters a state: for the first time, by the table, by a retry, as a report on what is retried, or by making
place for another plan."""


class IllegalTransition(AssertionError):
    """A decision tried a move that the table forbids: a defect in Atlas, never in what was asked."""


def check(current: TodoStatus | None, to: TodoStatus, entry: Entry = "moved") -> None:
    """Raise `IllegalTransition` unless the table allows this move."""
    table = {"reopened": REOPENED, "rewritten": REWRITTEN, "replaced": REPLACED}.get(entry) if current else None
    allowed = ALLOWED[current] if table is None or current is None else table.get(current, frozenset[TodoStatus]())
    if to not in allowed:
        raise IllegalTransition(f"{current} -> {to}" + (f", {entry}" if table else ""))


def derive_run_state(
    count: Mapping[TodoStatus, int], *, cancelled: bool, held: bool, budget_exhausted: bool, planning: bool = False
) -> RunStatus:
    """The run's state from how many of its TODOs are in which state, and its flags.

    The flags matter only while something is left that they hold back: a run whose last TODO settled while it was being
    held has ended like any other.
    """
    if cancelled:
        return "cancelled"
    moving = count["ready"] + count["in_progress"] + count["verifying"]
    if moving or count["awaiting_input"]:
        if budget_exhausted:
            return "budget_exhausted"
        if held:
            return "held"
    if moving:
        return "planning" if planning else "in_progress"
    if count["awaiting_input"]:
        return "awaiting_input"
    if count["blocked"]:
        return "blocked"
    if count["failed"] or count["skipped"]:
        return "failed"
    return "completed"
