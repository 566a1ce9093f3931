"""What one transaction has read, has decided, and is about to write.

A `Work` is loaded with the rows that its commands concern, the decisions change it with plain Python, in order, and the
store flushes it with one write per table. Nothing here does I/O.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, get_args

from state.commands import NewTodo, SubmitRun
from state.records import (
    QUEUE,
    RUN_ENDED,
    RUN_GOING,
    EventType,
    QuestionStatus,
    Reason,
    RunStatus,
    TodoKind,
    TodoStatus,
)
from state.transitions import Entry, check, derive_run_state

COUNTED: tuple[TodoStatus, ...] = get_args(TodoStatus)
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
encode = _ENCODER.encode
"""Compact JSON text."""
quote: Callable[[str], str] = json.encoder.encode_basestring
"""A JSON string; events are put together from pieces, because an encoder's set-up costs more than the event."""


_BY_ID = attrgetter("id")
_WITH_REASON: frozenset[RunStatus] = frozenset(("held", "cancelled", "budget_exhausted"))

_REPORTS_COUNT_IN: frozenset[TodoStatus] = frozenset(("ready", "in_progress", "verifying"))


@dataclass(slots=True, eq=False)
class TodoState:
    """A TODO as the decisions see it; field order is the order of `statements.TODO_COLUMNS`."""

    id: str
    run_id: str
    key: str
    kind: TodoKind
    state: TodoStatus
    reason: Reason | None
    detail: str | None
    fence: int
    attempt: int
    crash_count: int
    epoch: int
    unmet_needs: int
    owner: str | None
    not_before: float
    deadline: float | None
    timeout: float
    labels: str | None
    lane: str | None
    ask: str | None
    answer: str | None
    started_at: float | None
    ended_at: float | None
    cpus: float | None
    memory: int | None
    ready_at: float | None
    loaded_fence: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.loaded_fence = self.fence


class RunState:
    """A run as the decisions see it."""

    __slots__ = (
        "budget_exhausted", "cancelled", "concurrency", "count", "ended_at", "head", "held", "id", "last_event",
        "loaded_event", "percent", "placement", "planning", "reason", "since", "state", "worked",
    )  # fmt: skip

    def __init__(self, row: tuple[Any, ...]) -> None:
        """`row` is in the order of `statements.RUN_COLUMNS`."""
        self.id: str = row[0]
        self.placement: str = row[1]
        self.concurrency: int = row[2]
        self.held = bool(row[3])
        self.cancelled = bool(row[4])
        self.budget_exhausted = bool(row[5])
        self.state: RunStatus | None = row[6]
        self.reason: str | None = row[7]
        self.last_event: int = row[8]
        self.ended_at: float | None = row[9]
        self.head: str | None = row[10]
        self.planning = bool(row[11])
        self.worked: float = row[12]
        self.since: float | None = row[13]
        self.count: dict[TodoStatus, int] = dict(zip(COUNTED, row[14:], strict=True))
        self.loaded_event = self.last_event
        self.percent = -1

    def progress(self) -> tuple[int, int, int]:
        """(percent, settled, total): blocked TODOs are part of the total, those that do not apply are not."""
        count = self.count
        settled = count["completed"] + count["failed"] + count["cancelled"] + count["skipped"]
        total = (
            settled + count["pending"] + count["ready"] + count["in_progress"] + count["verifying"]
            + count["awaiting_input"] + count["blocked"]
        )  # fmt: skip
        return (100 * settled // total if total else 100), settled, total

    def derived(self) -> RunStatus:
        """What the state must be now."""
        return derive_run_state(
            self.count, cancelled=self.cancelled, held=self.held, budget_exhausted=self.budget_exhausted,
            planning=self.planning,
        )  # fmt: skip

    def time(self, now: float) -> float:
        """Seconds that it was in progress."""
        return self.worked + (max(0.0, now - self.since) if self.since is not None else 0.0)

    def enter(self, state: RunStatus, now: float) -> None:
        """Be in this state from now on; the time in progress is counted."""
        going = state in RUN_GOING
        if going != (self.since is not None):
            self.worked, self.since = self.time(now), now if going else None
        self.state = state
        self.ended_at = now if state in RUN_ENDED else None


@dataclass(slots=True, eq=False)
class QuestionState:
    """A question as the decisions see it; field order is the order of `statements.QUESTION_COLUMNS`."""

    id: str
    run_id: str
    todo_id: str
    epoch: int
    key: str | None
    text: str
    choices: str
    state: QuestionStatus
    answer: str | None
    answered_by: str | None
    expires_at: float | None
    asked_at: float
    answered_at: float | None


@dataclass(slots=True, eq=False)
class BudgetState:
    """See `state.agent_tables.BudgetRow`; field order is the order of `statements.BUDGET_COLUMNS`."""

    run_id: str
    tokens_limit: int | None = None
    nano_limit: int | None = None
    seconds_limit: float | None = None
    tokens: int = 0
    cached: int = 0
    nano: int = 0
    tokens_held: int = 0
    nano_held: int = 0
    tokens_withheld: int = 0
    nano_withheld: int = 0
    calls: int = 0
    warned: bool = False


@dataclass(slots=True, eq=False)
class CallState:
    """A model call that may still be settled; field order is the order of `statements.CALL_COLUMNS`."""

    id: str
    run_id: str
    todo_id: str
    state: str
    reserved_tokens: int
    reserved_nano: int
    input: int = 0
    cached: int = 0
    written: int = 0
    output: int = 0
    nano: int = 0
    estimated: bool = False

    @property
    def tokens(self) -> int:
        """All that it used."""
        return self.input + self.cached + self.written + self.output


@dataclass(slots=True, eq=False)
class SinkState:
    """See `state.tables.Sink`; field order is the order of `statements.SINK_COLUMNS`."""

    name: str
    owner: str
    until: float
    since: float


@dataclass(slots=True)
class Work:
    """One transaction. `new` holds insert rows by table, `updates` other writes by statement name."""

    new_id: Callable[[], str]
    now: float = 0.0
    """by the database's clock; comes with what is loaded"""
    todos: dict[str, TodoState] = field(default_factory=dict[str, TodoState])
    runs: dict[str, RunState] = field(default_factory=dict[str, RunState])
    questions: dict[str, QuestionState] = field(default_factory=dict[str, QuestionState])
    dependents: dict[str, list[tuple[str, str | None]]] = field(default_factory=dict[str, list[tuple[str, str | None]]])
    """need -> [(TODO, wanted answer)]"""
    needs: dict[str, list[tuple[str, str | None]]] = field(default_factory=dict[str, list[tuple[str, str | None]]])
    """TODO -> [(need, wanted answer)]; loaded for `Retry` only"""
    documents: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    """TODO -> (document, provenance of its run); loaded for claims only"""
    budgets: dict[str, BudgetState] = field(default_factory=dict[str, BudgetState])
    calls: dict[str, CallState] = field(default_factory=dict[str, CallState])
    busy_lanes: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    """(run, lane) in which somebody works; loaded for claims only"""
    candidates: list[str] = field(default_factory=list[str])
    """claimable TODOs by priority and age; loaded for `ClaimNext` only, which is alone in its `Work`"""

    events: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    new: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict[str, list[tuple[Any, ...]]])
    updates: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict[str, list[tuple[Any, ...]]])
    new_runs: dict[str, SubmitRun] = field(default_factory=dict[str, SubmitRun])
    new_todos: dict[str, tuple[NewTodo, int]] = field(default_factory=dict[str, tuple[NewTodo, int]])
    new_questions: set[str] = field(default_factory=set[str])
    new_budgets: set[str] = field(default_factory=set[str])
    dirty_budgets: set[str] = field(default_factory=set[str])
    dirty_calls: dict[str, CallState] = field(default_factory=dict[str, CallState])
    puts: dict[str, dict[tuple[Any, ...], tuple[Any, ...]]] = field(
        default_factory=dict[str, dict[tuple[Any, ...], tuple[Any, ...]]]
    )
    """rows by table and key that take the place of what is there"""
    deletes: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict[str, list[tuple[Any, ...]]])
    dirty: dict[str, TodoState] = field(default_factory=dict[str, TodoState])
    dirty_questions: dict[str, QuestionState] = field(default_factory=dict[str, QuestionState])
    touched: dict[str, RunState] = field(default_factory=dict[str, RunState])
    wakes: set[str] = field(default_factory=set[str])
    sinks: dict[str, SinkState] = field(default_factory=dict[str, SinkState])
    submitted: dict[str, str] = field(default_factory=dict[str, str])
    """the runs of what may be submitted once"""
    delivered: set[str] = field(default_factory=set[str])
    """what leaves the outbox, before `wakes` enter it"""
    ready: list[str] = field(default_factory=list[str])
    """TODOs made claimable by the command that is being decided"""

    def insert(self, table: str, row: tuple[Any, ...]) -> None:
        """Add a row; columns in the order of `statements.INSERTS`."""
        self.new.setdefault(table, []).append(row)

    def put(self, table: str, key: tuple[Any, ...], row: tuple[Any, ...]) -> None:
        """Add or replace a row; columns in the order of `statements.PUTS`."""
        self.puts.setdefault(table, {})[key] = row

    def delete(self, statement: str, row: tuple[Any, ...]) -> None:
        """Remove rows; values in the order of `statements.DELETES`."""
        self.deletes.setdefault(statement, []).append(row)

    def update(self, statement: str, row: tuple[Any, ...]) -> None:
        """Add a write; values in the order of `statements.UPDATES`."""
        self.updates.setdefault(statement, []).append(row)

    def event(self, run: RunState, todo: str | None, type: EventType, data: str) -> None:
        """Append to the run's log; `data` is JSON."""
        run.last_event += 1
        self.touched[run.id] = run
        self.events.append((run.id, run.last_event, self.now, type, todo, data))

    def move(
        self, todo: TodoState, to: TodoStatus, reason: Reason | None = None, detail: str | None = None,
        *, entry: Entry = "moved", extra: str = "",
    ) -> None:  # fmt: skip
        """Change a TODO's state, its run's counters, and say so; `extra` is more of the event's JSON."""
        before = None if entry == "new" else todo.state
        check(before, to, entry)
        run = self.runs[todo.run_id]
        if run.percent < 0:
            run.percent = run.progress()[0]
        if before is not None and counts(todo, before):
            run.count[before] -= 1
        if counts(todo, to):
            run.count[to] += 1
        data = f'{{"from":"{before}","to":"{to}"' if before else f'{{"from":null,"to":"{to}"'
        if extra:
            data += f",{extra}"
        if reason:
            data += f',"reason":"{reason}"'
        if detail:
            data += f',"detail":{quote(detail)}'
        self.event(run, todo.id, "todo.state", data + "}")
        todo.state, todo.reason, todo.detail = to, reason, detail
        if to not in ("in_progress", "verifying"):
            if todo.owner and todo.lane:
                self.busy_lanes.discard((todo.run_id, todo.lane))
            todo.owner, todo.deadline = None, None
        self.dirty[todo.id] = todo
        if to == "ready":
            todo.ready_at = max(self.now, todo.not_before)
            self.wake(run, todo)

    def wake(self, run: RunState, todo: TodoState) -> None:
        """Somebody may claim this now. Only wake-ups for other processes need the outbox."""
        self.ready.append(todo.id)
        if run.placement == QUEUE:
            self.wakes.add(todo.id)

    def of_run(self, run: str) -> list[TodoState]:
        """The run's TODOs among those that are loaded, in one order whatever else is loaded."""
        return sorted((todo for todo in self.todos.values() if todo.run_id == run), key=_BY_ID)

    def close_command(self) -> None:
        """Derive the state and progress of every run that the command touched."""
        for run in self.touched.values():
            state = run.derived()
            percent, settled, total = run.progress()
            if state != run.state:
                self.run_state(run, state, settled, total, run.reason if state in _WITH_REASON else None)
            elif percent != run.percent >= 0:
                self.event(run, None, "run.progress", f'{{"settled":{settled},"total":{total}}}')
            run.percent = percent

    def run_state(self, run: RunState, state: RunStatus, settled: int, total: int, reason: str | None) -> None:
        """Change a run's derived state and say so."""
        data = f'{{"from":"{run.state}","to":"{state}","settled":{settled},"total":{total}'
        self.event(run, None, "run.state", data + (f',"reason":{quote(reason)}}}' if reason else "}"))
        run.enter(state, self.now)


def counts(todo: TodoState, state: TodoStatus) -> bool:
    """Whether a TODO in this state is among what its run's state is derived from. A report only while it is being
    written: how it ends says nothing about the run."""
    return todo.kind != "report" or state in _REPORTS_COUNT_IN
