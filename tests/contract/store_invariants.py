"""What must hold of every database at every moment, written as a definition and not as the store computes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import get_args

from state.records import ANY_END, OWNED, TERMINAL, RunStatus, TodoStatus
from tests.contract.store_memory import MemoryStore, Values

GOING = {"ready", "in_progress", "verifying"}


def brute_force_state(run: Mapping[str, object], states: Sequence[TodoStatus]) -> RunStatus:
    """Design §4, read aloud."""
    going = any(state in GOING for state in states)
    waiting = "awaiting_input" in states
    if run["cancelled"]:
        return "cancelled"
    if (going or waiting) and run["budget_exhausted"]:
        return "budget_exhausted"
    if (going or waiting) and run["held"]:
        return "held"
    if going:
        return "planning" if run["planning"] else "in_progress"
    if waiting:
        return "awaiting_input"
    if "blocked" in states:
        return "blocked"
    if any(state in ("failed", "skipped") for state in states):
        return "failed"
    return "completed"


def check_everything(store: MemoryStore) -> None:
    """Assert all of it."""
    tables = store.engine.tables
    todos = {row["id"]: row for row in tables["todo"].values()}
    needs: dict[str, list[tuple[Values, str | None]]] = {id: [] for id in todos}
    for row in tables["todo_need"].values():
        needs[row["todo_id"]].append((todos[row["need_id"]], row["answer"]))
    for todo in todos.values():
        check_todo(todo, needs[todo["id"]])
    for run in tables["run"].values():
        check_run(run, [todo for todo in todos.values() if todo["run_id"] == run["id"]])
    check_events(store)
    for budget in tables["budget"].values():
        check_budget(budget, [row for row in tables["model_call"].values() if row["run_id"] == budget["run_id"]])
    pending = sorted(row["todo_id"] for row in tables["question"].values() if row["state"] == "pending")
    assert pending == sorted(id for id, todo in todos.items() if todo["state"] == "awaiting_input")
    open_attempts = {(row["todo_id"], row["fence"]) for row in tables["attempt"].values() if row["ended_at"] is None}
    assert open_attempts == {(id, todo["fence"]) for id, todo in todos.items() if todo["state"] in OWNED}


def settled_well(need: Values, wanted: str | None) -> bool:
    """Lets a dependent go on."""
    if wanted == ANY_END:
        return need["state"] in TERMINAL
    return need["state"] == "completed" and wanted in (None, need["answer"])


def rules_out(need: Values, wanted: str | None) -> bool:
    """The dependent will never apply."""
    if wanted == ANY_END:
        return False
    return need["state"] == "not_applicable" or (need["state"] == "completed" and not settled_well(need, wanted))


def check_todo(todo: Values, needs: list[tuple[Values, str | None]]) -> None:
    """Its state follows from those of its needs, until it starts."""
    state = todo["state"]
    bad = any(need["state"] in ("failed", "skipped", "cancelled") and wanted != ANY_END for need, wanted in needs)
    out = any(rules_out(need, wanted) for need, wanted in needs)
    open_needs = sum(not settled_well(need, wanted) for need, wanted in needs)
    if state == "pending":
        assert open_needs > 0, "nobody would ever wake it"
        assert todo["unmet_needs"] == open_needs
        assert not bad
        assert not out
    elif state == "skipped":
        assert bad
    elif state == "not_applicable":
        assert out or todo["reason"] == "replanned"
    elif state != "cancelled" and (todo["kind"] == "report" or all(wanted != ANY_END for _, wanted in needs)):
        assert open_needs == 0, "it started before its needs were settled well"
    assert (todo["owner"] is not None) == (todo["deadline"] is not None) == (state in OWNED)
    assert (todo["ended_at"] is not None) == (state in TERMINAL)
    assert todo["answer"] is None or (todo["kind"], state) == ("ask", "completed")


def check_run(run: Values, todos: list[Values]) -> None:
    """Counters, state, and no TODO that waits for nothing."""
    states: list[TodoStatus] = [todo["state"] for todo in todos if todo["kind"] != "report" or todo["state"] in GOING]
    counted = Counter(states)
    for state in get_args(TodoStatus):
        assert run[f"n_{state}"] == counted[state], state
    assert run["state"] == brute_force_state(run, states)
    assert (run["since"] is not None) == (run["state"] in ("planning", "in_progress"))
    assert (run["ended_at"] is not None) == (run["state"] in ("completed", "failed", "cancelled"))
    if not {*GOING, "awaiting_input", "blocked"} & counted.keys():
        assert "pending" not in counted, "wedged"
    if run["cancelled"]:
        assert {todo["state"] for todo in todos} <= TERMINAL
    lanes = Counter(todo["lane"] for todo in todos if todo["lane"] and todo["state"] in OWNED)
    assert all(number == 1 for number in lanes.values()), "two in one lane"


def check_budget(budget: Values, calls: list[Values]) -> None:
    """It is the sum of its calls."""
    ended = [row for row in calls if row["state"] != "reserved"]
    held = [row for row in calls if row["state"] == "reserved"]
    assert budget["calls"] == len(ended)
    assert budget["cached"] == sum(row["cached"] for row in ended)
    for unit, used in (("tokens", ("input", "cached", "written", "output")), ("nano", ("nano",))):
        spent = [sum(row[kind] for kind in used) for row in ended]
        unsure = [
            max(0, row[f"reserved_{unit}"] - each) for row, each in zip(ended, spent, strict=True) if row["estimated"]
        ]
        assert budget[unit] == sum(spent)
        assert budget[f"{unit}_withheld"] == sum(unsure)
        assert budget[f"{unit}_held"] == sum(row[f"reserved_{unit}"] for row in held)


def check_events(store: MemoryStore) -> None:
    """Dense per run."""
    numbers: dict[str, list[int]] = {run["id"]: [] for run in store.rows("run")}
    for event in store.rows("event"):
        numbers[event["run_id"]].append(event["seq"])
    for run in store.rows("run"):
        assert sorted(numbers[run["id"]]) == list(range(1, run["last_event"] + 1))
