"""Which rows a batch of commands concerns, and reading them: the first third of load -> decide -> flush."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from state.access_commands import Audited
from state.agent_commands import AskPerson, Remember, ReserveCall, SettleCall
from state.commands import (
    AdvanceSink,
    Answer,
    BeginVerifying,
    Block,
    Cancel,
    Claim,
    ClaimNext,
    Command,
    Complete,
    ExhaustTime,
    Expire,
    ExtendRun,
    Fail,
    Hold,
    Published,
    Release,
    Replan,
    Resume,
    Retry,
    Say,
    SubmitRun,
    TakeSink,
)
from state.kept import Kept
from state.work import BudgetState, CallState, QuestionState, RunState, SinkState, TodoState, Work

Row = tuple[Any, ...]
T = TypeVar("T")


class Rows(Protocol):
    """Keyed reads inside the open transaction; rows that are returned are locked until its end. They are read in the
    order in which they are asked for, but perhaps not before one of them is looked at: what is asked together may then
    be read in one go."""

    @property
    def alone(self) -> bool:
        """Whether nobody else can write before the transaction ends."""
        ...

    def now(self) -> float:
        """The database's clock, at the beginning of the transaction."""
        ...

    def todos(self, ids: list[str]) -> Iterable[Row]:
        """`statements.TODO_COLUMNS`."""
        ...

    def runs(self, ids: list[str], todos: list[str]) -> Iterable[Row]:
        """`statements.RUN_COLUMNS`; these, and those of `todos`."""
        ...

    def questions(self, ids: list[str]) -> Iterable[Row]:
        """`statements.QUESTION_COLUMNS`; not locked: their TODOs are."""
        ...

    def asked_by(self, questions: list[str]) -> Iterable[Row]:
        """(question, TODO): which never changes, so it may be read before anything is locked."""
        ...

    def dependents(self, needs: list[str]) -> Iterable[Row]:
        """(need, TODO, wanted answer)"""
        ...

    def needs(self, todos: list[str]) -> Iterable[Row]:
        """(TODO, need, wanted answer)"""
        ...

    def descendants(self, roots: list[str]) -> Iterable[Row]:
        """(TODO,): the roots and everything behind them."""
        ...

    def unsettled(self, runs: list[str]) -> Iterable[Row]:
        """(TODO,): of these runs, at least those that are open or blocked, or will be once they are locked."""
        ...

    def pending_questions(self, runs: list[str]) -> Iterable[Row]:
        """(question,): read once the runs are locked, so that none can appear."""
        ...

    def documents(self, todos: list[str]) -> Iterable[Row]:
        """(TODO, document, provenance)"""
        ...

    def budgets(self, runs: list[str], todos: list[str]) -> Iterable[Row]:
        """`statements.BUDGET_COLUMNS`, of runs that are locked: these, and those of `todos`; not every run has one."""
        ...

    def called_by(self, calls: list[str]) -> Iterable[Row]:
        """(model call, run): which never changes."""
        ...

    def calls(self, ids: list[str]) -> Iterable[Row]:
        """`statements.CALL_COLUMNS`, of runs that are locked."""
        ...

    def submitted(self, keys: list[str]) -> Iterable[Row]:
        """(what may be submitted once, its run)"""
        ...

    def sinks(self, names: list[str]) -> Iterable[Row]:
        """`statements.SINK_COLUMNS`"""
        ...

    def busy_lanes(self, runs: list[str]) -> Iterable[Row]:
        """(run, lane) in which some TODO has an owner; of runs that are locked."""
        ...

    def claimable(self, command: ClaimNext) -> Iterable[Row]:
        """(TODO, run) that this command may take, at least one if there is any, by priority and age."""
        ...


@dataclass(slots=True)
class Wanted:
    """Keys that a batch needs."""

    todos: set[str] = field(default_factory=set[str])
    documents: set[str] = field(default_factory=set[str])
    completing: set[str] = field(default_factory=set[str])
    roots: set[str] = field(default_factory=set[str])
    retried: set[str] = field(default_factory=set[str])
    runs: set[str] = field(default_factory=set[str])
    whole_runs: set[str] = field(default_factory=set[str])
    answered: set[str] = field(default_factory=set[str])
    questions: set[str] = field(default_factory=set[str])
    budgets_of_todos: set[str] = field(default_factory=set[str])
    lanes_of_todos: set[str] = field(default_factory=set[str])
    budgets: set[str] = field(default_factory=set[str])
    calls: set[str] = field(default_factory=set[str])
    once: set[str] = field(default_factory=set[str])
    sinks: set[str] = field(default_factory=set[str])
    claims: bool = False
    claimable: set[str] = field(default_factory=set[str])


def wanted(commands: Sequence[Command]) -> Wanted:
    """What these commands concern."""
    want = Wanted()
    for command in commands:
        _want(want, command)
    return want


def _want(want: Wanted, command: Command) -> None:  # noqa: C901, PLR0912, PLR0915  one flat table
    match command:
        case Audited():
            _want(want, command.command)
        case BeginVerifying() | Say() | Remember() | Block() | Published() | AskPerson():
            want.todos.add(command.todo)
        case Claim():
            want.todos.add(command.todo)
            want.documents.add(command.todo)
            want.claims = True
        case Complete():
            want.completing.add(command.todo)
        case ExtendRun():
            want.roots.add(command.todo)  # what waits for a plan waits for what it plans
            for todo in command.todos:
                want.todos.add(todo.id)  # none of them may be there
                want.todos.update(need for need, _ in todo.needs)
            _of_new(want, command.todo)
        case ReserveCall():
            want.todos.add(command.todo)
            want.budgets_of_todos.add(command.todo)
            want.calls.add(command.call)
        case SettleCall():
            want.calls.add(command.call)
        case Fail():
            (want.roots if command.retry_after is None else want.todos).add(command.todo)
        case Release():
            (want.roots if command.cause == "died" else want.todos).add(command.todo)
            if command.cause == "budget":
                want.budgets_of_todos.add(command.todo)
        case Retry():
            want.retried.add(command.todo)
        case Answer():
            want.answered.add(command.question)
            want.questions.add(command.question)
        case Expire():
            want.questions.add(command.question)
        case Replan():
            want.whole_runs.add(command.run)
            want.todos.add(command.todo.id)
            want.retried.update(command.replaced, command.others)
            _of_new(want, *command.others[:1], *command.replaced[:1])
        case SubmitRun() | Hold():
            want.runs.add(command.run)
            if isinstance(command, SubmitRun) and command.once:
                want.once.add(command.once)
        case Cancel() | Resume() | ExhaustTime():
            want.whole_runs.add(command.run)
            if not isinstance(command, Cancel):
                want.budgets.add(command.run)
        case ClaimNext():
            want.claims = True
        case TakeSink() | AdvanceSink():
            want.sinks.add(command.sink)
        case _:
            pass


def _of_new(want: Wanted, *old: str) -> None:
    """What the same batch may want of new TODOs hangs on their run: one that it has already leads there."""
    for hangs_on_run in (want.documents, want.budgets_of_todos, want.lanes_of_todos):
        hangs_on_run.update(old)


def load(work: Work, commands: Sequence[Command], rows: Rows, kept: Kept) -> None:
    """Bring everything the commands concern into `work`: what is kept from there, the rest is read. TODOs are locked
    first, then runs, each by id; what is read before that can't change any more, or is read again."""
    want = wanted(commands)
    asked = _first(work, want, commands, rows)
    _edges(want, rows)(work)
    unread = _known(want.todos, kept.todos, work.todos)
    todos = rows.todos(unread) if unread else ()
    want.runs.update(want.whole_runs)
    want.runs.update(todo.run_id for todo in work.todos.values())
    strange = [id for id in unread if id not in want.claimable]
    missing = _known(want.runs, kept.runs, work.runs)
    runs = rows.runs(missing, strange) if missing or strange else ()
    hanging = _hanging(want, rows)
    known = set(want.todos)
    again = None if rows.alone else _edges(want, rows, again=True)
    unsettled = rows.unsettled(sorted(want.whole_runs)) if want.whole_runs else ()
    pending = rows.pending_questions(sorted(want.whole_runs)) if want.whole_runs else ()
    for row in todos:
        work.todos[row[0]] = TodoState(*row)
    for row in runs:
        work.runs.setdefault(row[0], RunState(row))
    hanging(work)
    if again:
        again(work)
    # a plan may have been frozen before the runs were locked: its TODOs are new
    want.todos.update(row[0] for row in unsettled)
    if added := want.todos - known:
        for row in rows.todos(sorted(added)):
            work.todos[row[0]] = TodoState(*row)
    asked.update(row[0] for row in pending)
    for row in rows.questions(sorted(asked)) if asked else ():
        work.questions[row[0]] = QuestionState(*row)
    for row in rows.sinks(sorted(want.sinks)) if want.sinks else ():  # which come last
        work.sinks[row[0]] = SinkState(*row)
    lanes = {todo.run_id for id, todo in work.todos.items() if todo.lane or id in want.lanes_of_todos}
    if want.claims and lanes:
        work.busy_lanes.update((row[0], row[1]) for row in rows.busy_lanes(sorted(lanes)))
    work.now = rows.now()


def _first(work: Work, want: Wanted, commands: Sequence[Command], rows: Rows) -> set[str]:
    """What leads to TODOs and runs; returns the questions that are asked about."""
    asked_by = rows.asked_by(sorted(want.questions)) if want.questions else ()
    called_by = rows.called_by(sorted(want.calls)) if want.calls else ()
    submitted = rows.submitted(sorted(want.once)) if want.once else ()
    unsettled = rows.unsettled(sorted(want.whole_runs)) if want.whole_runs else ()
    asked: dict[str, str] = dict(asked_by)
    want.todos.update(asked.values())
    want.roots.update(asked[id] for id in want.answered if id in asked)
    want.runs.update(run for _, run in called_by)
    want.budgets.update(run for _, run in called_by)
    work.submitted.update(submitted)
    want.todos.update(row[0] for row in unsettled)
    for command in commands:
        if isinstance(command, ClaimNext):
            for todo, run in rows.claimable(command):
                work.candidates.append(todo)
                want.runs.add(run)
    want.claimable.update(work.candidates)
    want.todos.update(work.candidates)
    want.documents.update(work.candidates)
    return set(asked)


def _hanging(want: Wanted, rows: Rows) -> Callable[[Work], None]:
    """Ask for what hangs on runs that are locked by then: documents, budgets and model calls. The rest comes later."""
    documents = rows.documents(sorted(want.documents)) if want.documents else ()
    of_todos = sorted(want.budgets_of_todos)
    budgets = rows.budgets(sorted(want.budgets), of_todos) if want.budgets or of_todos else ()
    calls = rows.calls(sorted(want.calls)) if want.calls else ()

    def take(work: Work) -> None:
        for id, document, provenance in documents:
            work.documents[id] = (document, provenance)
        for row in budgets:
            work.budgets[row[0]] = BudgetState(*row)
        for row in calls:
            work.calls[row[0]] = CallState(*row)

    return take


def _known(ids: set[str], kept: Mapping[str, T], found: dict[str, T]) -> list[str]:
    """Move what is kept to what is found; the ids of the rest, in order."""
    unread: list[str] = []
    for id in ids:
        if (state := kept.get(id)) is None:
            unread.append(id)
        else:
            found[id] = state
    unread.sort()
    return unread


def _edges(want: Wanted, rows: Rows, *, again: bool = False) -> Callable[[Work], None]:
    """Ask for edges, and the TODOs behind what settles: one step behind what completes, everything behind what may end
    badly. `again`, now that the runs are locked: a plan may have been frozen, or asked for, since they were read."""
    roots = want.roots | want.retried
    behind = {row[0] for row in rows.descendants(sorted(roots))} | roots if roots else set[str]()
    want.todos |= behind | want.completing
    from_needs = behind | want.completing
    dependents = rows.dependents(sorted(from_needs)) if from_needs else ()
    needs = rows.needs(sorted(behind)) if want.retried else ()

    def take(work: Work) -> None:
        if again:
            work.dependents.clear()
            work.needs.clear()
        for need, todo, answer in dependents:
            work.dependents.setdefault(need, []).append((todo, answer))
            want.todos.add(todo)
        for todo, need, answer in needs:
            work.needs.setdefault(todo, []).append((need, answer))
            want.todos.add(need)

    return take
