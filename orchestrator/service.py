"""The use cases, once: the command line, HTTP, MCP and voice translate them and hold no logic."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

from orchestrator.budget import check_prices, new_limits, new_wall_clock, options_to_go_on, time_to_go_on
from orchestrator.dispatch import Dispatch
from orchestrator.plan.document import Budget, Plan, SandboxChoice
from orchestrator.plan.reading import canonical, canonical_hash
from orchestrator.plan.task import TaskDocument
from orchestrator.plan.todos import new_todos, planning_todo, report_todo, task_todo
from orchestrator.references import named
from orchestrator.replanning import replan_command
from orchestrator.run_spec import PinnedRepository, RunSpec
from orchestrator.views import (
    NANO,
    EventView,
    EvidenceView,
    OutputView,
    QuestionView,
    RunView,
    TodoView,
    event_view,
    evidence_view,
    output_view,
    question_view,
    run_view,
    todo_views,
)
from state import agent_reading, reading, tracing
from state.access_commands import Audited
from state.commands import Answer, Cancel, Command, Hold, Outcome, Refused, Resume, Retry, SubmitRun
from state.errors import AtlasError, Conflict, InputError, NotFound
from state.failpoints import failpoint
from state.limits import DETAIL_CHARACTERS, LOG_CHUNK, PAGE
from state.ports import ArtifactStore
from state.records import QUEUE, RUN_ENDED, Provenance, new_id
from state.tables import Plan as PlanRow
from state.tables import Run

_AGAIN = 5
_SOME = 5
"""How many TODOs a warning names."""
_OPEN_RUNS = 200
_FOLLOW_SECONDS = 1.0
_OTHER_DOCUMENT = "{} was handed in before with another document, which is the one that counts; give this one a new id"
_GATHER_SECONDS = 0.05
"""A busy run commits hundreds of times a second; watchers get what happened in batches."""


class Pin(Protocol):
    """Pins a repository at submit; returns it and what the caller should be warned of."""

    def __call__(
        self, repo: str, base: str | None, directory: Path | None
    ) -> Awaitable[tuple[PinnedRepository, str]]: ...


@dataclass(frozen=True, slots=True)
class Submission:
    """`warnings` are for the person who submitted it. `repeated`: it was there already, and nothing has changed."""

    run: str
    warnings: list[str]
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """`last_event` is the number of the newest event that had happened then."""

    run: RunView
    todos: list[TodoView]
    last_event: int


class Service:
    """See the module. References to runs, TODOs and questions are what `state.reading.find_*` take."""

    def __init__(self, dispatch: Dispatch, artifacts: ArtifactStore, pin: Pin) -> None:
        self._dispatch = dispatch
        self._read = dispatch.store.read
        self._artifacts = artifacts
        self._pin = pin

    # --- submitting ------------------------------------------------------------------------------------------------

    async def submit(
        self, plan: Plan, directory: Path | None, *, placement: str = QUEUE, provenance: Provenance = "person",
        source: str = "cli", sandbox: SandboxChoice | None = None, approve: Literal["auto", "ask"] = "auto",
        plan_only: bool = False, traceparent: str | None = None, by: str | None = None, once: str | None = None,
    ) -> Submission:  # fmt: skip
        """Make a run of a plan that `read_plan` returned. `directory` is the plan file's: relative remotes and
        repositories start there. `plan_only`: of a goal, the plan and nothing else. `traceparent`: the trace that
        whoever wants it is in. `by`: who is on record for it. `once`: the same again gives the first run, and is a
        `Conflict` when it is another plan. Nothing is left when it fails."""
        check_prices(plan.budget, plan.models)
        warnings: list[str] = []
        pinned: PinnedRepository | None = None
        if plan.repo is not None:
            pinned, warning = await self._pin(plan.repo, plan.base, directory)
            warnings += [warning] if warning else []
        if provenance != "person":
            warnings += _of_a_program(plan)
        text = canonical(plan)
        todos = new_todos(plan, directory, sandbox) if plan.todos else [planning_todo(plan.goal or "")]
        with_roles = any(todo.kind in ("agent", "plan") for todo in todos)
        if plan.todos and with_roles:
            todos.append(report_todo(todos))
        budget = plan.budget
        host_allowed = provenance == "person" and (sandbox or plan.sandbox) == "host"
        here = str(directory or Path.cwd()) if directory or with_roles else None
        spec = RunSpec(pinned, host_allowed, here, dict(plan.models), approve, plan_only)
        command = SubmitRun(
            run=new_id(), name=plan.name, goal=plan.goal, placement=placement, concurrency=plan.concurrency,
            provenance=provenance, source=source, spec=spec.to_json(), plan=text, plan_hash=canonical_hash(text),
            todos=todos, tokens=budget.tokens if budget else None,
            nano=round(budget.usd * NANO) if budget and budget.usd else None,
            seconds=budget.wall_clock if budget else None, once=once,
        )  # fmt: skip
        first = await self._submit(command, spec, traceparent, by)
        if first is None:
            return Submission(command.run, warnings)
        if first.hash != command.plan_hash:
            raise Conflict(
                "another plan was handed in with this key before", f"It is run {first.run_id}. Take a new key."
            )
        return Submission(first.run_id, [], repeated=True)

    async def submit_task(
        self, task: TaskDocument, *, provenance: Provenance, source: str, traceparent: str | None = None,
        by: str | None = None,
    ) -> Submission:  # fmt: skip
        """Make a run of one TODO, in the queue, of a task that `read_task` returned. The same (source, id) again
        changes nothing and gives the first run, whatever else the document says. `source` is the face that took it:
        the document's own proves nothing. `traceparent` counts when the document has none."""
        text = canonical(task)
        command = SubmitRun(
            run=new_id(), name=task.run_name, goal=None, placement=QUEUE, concurrency=1, provenance=provenance,
            source=source, spec=RunSpec().to_json(), plan=text, plan_hash=canonical_hash(text),
            todos=[task_todo(task)], once=task.once,
        )  # fmt: skip
        first = await self._submit(command, RunSpec(), tracing.valid(task.traceparent) or traceparent, by)
        if first is None:
            return Submission(command.run, [])
        same = first.hash == command.plan_hash
        return Submission(first.run_id, [] if same else [_OTHER_DOCUMENT.format(task.key)], repeated=True)

    async def _submit(
        self, command: SubmitRun, spec: RunSpec, traceparent: str | None, by: str | None
    ) -> PlanRow | None:
        """None when it is a new run; else what was submitted the first time."""
        with _submitting(command, spec, traceparent) as here:
            failpoint("submit.before_commit")
            outcome = await self._asked(command, by, "submit", command.run, command.name)
            failpoint("submit.after_commit")
            here.say({"atlas.refused": outcome.code if isinstance(outcome, Refused) else None})
        if not isinstance(outcome, Refused):
            return None
        if outcome.code != "repeated":
            raise _error(outcome)
        return await self._read(lambda session: reading.first_plan(session, outcome.message))

    # --- looking ---------------------------------------------------------------------------------------------------

    async def run(self, reference: str) -> RunView:
        return await self._read(lambda session: _seen(session, [reading.find_run(session, named(reference))])[0])

    async def standing(self, reference: str) -> Standing:
        """The run, its TODOs and its newest event, of one moment."""

        def look(session: reading.Session) -> Standing:
            found = reading.find_run(session, named(reference))
            return Standing(_seen(session, [found])[0], _todos(session, found.id), found.last_event)

        return await self._read(look)

    async def find(self, reference: str) -> Run:
        """The row itself: placement and limits are for drivers, not for views."""
        return await self._read(lambda session: reading.find_run(session, named(reference)))

    async def runs(self, limit: int = 50, before: str | None = None) -> list[RunView]:
        """Newest first."""
        return await self._read(lambda session: _seen(session, reading.runs(session, limit, before)))

    async def current_runs(self, ended: int) -> list[RunView]:
        """All that go on (of more than 200 the newest), and those of the newest `ended` that have ended. Newest
        first."""

        def collect(session: reading.Session) -> list[RunView]:
            found = (*reading.runs(session, _OPEN_RUNS, going_on=True), *reading.runs(session, ended))
            by_id = {run.id: run for run in found}
            return _seen(session, [by_id[id] for id in sorted(by_id, reverse=True)])

        return await self._read(collect)

    async def todos(self, run: str) -> list[TodoView]:
        """In the order of the plan."""
        found = await self.find(run)
        return await self._read(lambda session: _todos(session, found.id))

    async def evidence(self, run: str, todo: str | None = None) -> tuple[list[EvidenceView], list[OutputView]]:
        """Of one TODO, or of all of a run: what was checked, and the manifest of outputs."""
        found = await self.find(run)

        def collect(session: reading.Session) -> tuple[list[EvidenceView], list[OutputView]]:
            ids = [reading.find_todo(session, found.id, named(todo)).id] if todo else [
                each.id for each in reading.todos(session, found.id)
            ]  # fmt: skip
            rows = [evidence_view(row) for id in ids for row in reading.evidence(session, id)]
            return rows, [output_view(row) for id in ids for row in reading.artifacts(session, id)]

        return await self._read(collect)

    async def log(self, run: str, todo: str, fence: int | None = None, offset: int = 0) -> AsyncIterator[bytes]:
        """The log of an attempt (by its fence), by default of the newest, from byte `offset` on; in pieces. Empty when
        it said nothing."""
        found = await self.find(run)
        row = await self._read(lambda session: reading.find_todo(session, found.id, named(todo)))
        attempts = await self._read(lambda session: reading.attempts(session, row.id))
        if row.kind == "ask":
            raise NotFound(f"{row.key} is a question: it prints nothing", "Its answer is with the TODO.")
        if not attempts:
            raise NotFound(f"{row.key} has not been started", "Its log begins with its first attempt.")
        if fence is not None and all(attempt.fence != fence for attempt in attempts):
            known = ", ".join(str(attempt.fence) for attempt in attempts)
            raise NotFound(f"{row.key} has no attempt {fence}", f"There are: {known}.")
        name = f"{found.id}/{row.id}/{fence or attempts[-1].fence}"
        while data := await self._artifacts.read(name, offset, LOG_CHUNK):
            yield data
            offset += len(data)

    async def questions(self, run: str | None = None, *, pending: bool = True) -> list[QuestionView]:
        """Oldest first."""
        id = (await self.find(run)).id if run else None
        found = await self._read(lambda session: reading.questions(session, id, pending=pending))
        return [question_view(question) for question in found]

    async def events(
        self, run: str, after: int = 0, *, until: Callable[[], Awaitable[bool]] | None = None
    ) -> AsyncIterator[list[EventView]]:
        """What happened after event number `after`, and what happens then, in order and without a gap, until `until`
        says so: it is asked before each batch, at least once a second, and what it saw happen is still delivered."""
        id = (await self.find(run)).id
        number = 0
        while True:
            stop = until is not None and await until()
            batch = await self._read(lambda session, after=after: reading.events(session, id, after))
            if batch:
                after = batch[-1].seq
                yield [event_view(event) for event in batch]
            if len(batch) < PAGE:
                if stop:
                    return
                number = await self._dispatch.store.changed(number, _FOLLOW_SECONDS)
                await asyncio.sleep(_GATHER_SECONDS)

    # --- acting ----------------------------------------------------------------------------------------------------

    async def answer(self, question: str, value: str, by: str) -> QuestionView:
        """`Conflict` when it was answered or has expired already, `InputError` for a choice that is none."""
        found = await self._read(lambda session: reading.find_question(session, named(question)))
        await self._do(Answer(found.id, value, by), by, found.run_id, value)
        return question_view(await self._read(lambda session: reading.find_question(session, found.id)))

    async def cancel(self, run: str, by: str) -> RunView:
        """Final; what runs is killed by its worker within a moment."""
        found = await self.find(run)
        await self._do(Cancel(found.id, by), by, found.id)
        return await self.run(found.id)

    async def hold(self, run: str, reason: str, by: str | None = None) -> RunView:
        """Nothing more is started until `resume`."""
        found = await self.find(run)
        await self._do(Hold(found.id, reason), by, found.id)
        return await self.run(found.id)

    async def resume(self, run: str, placement: str, budget: Budget | None = None, by: str | None = None) -> RunView:
        """Let `placement` claim what is left. The caller has made sure that nobody else works on it. `budget` are new
        limits: `InputError` when they are used up already."""
        found = await self.find(run)
        if found.state in RUN_ENDED and found.state != "cancelled":
            return await self.run(found.id)
        used = await self._read(lambda session: agent_reading.budgets(session, [found.id]).get(found.id))
        wanted = budget or Budget()
        tokens, nano = new_limits(wanted, used)
        seconds = new_wall_clock(wanted, found.worked)
        await self._do(Resume(found.id, placement, found.placement, tokens, nano, seconds), by, found.id)
        return await self.run(found.id)

    async def more_budget(self, run: str) -> list[str]:
        """What `resume` needs at least for a run that has used up its budget, as the command line takes it."""
        found = await self.find(run)
        id = found.id

        def read(session: reading.Session) -> list[str]:
            used, needs = agent_reading.budgets(session, [id]).get(id), agent_reading.needs(session, id)
            if used is None:
                return []
            return time_to_go_on(used, found.worked) or (options_to_go_on(used, *needs) if needs else [])

        return await self._read(read)

    async def retry(self, run: str, todo: str, by: str) -> RunView:
        """Reopen a failed or blocked TODO and what was skipped because of it."""
        found = await self.find(run)
        row = await self._read(lambda session: reading.find_todo(session, found.id, named(todo)))
        await self._do(Retry(row.id, by), by, row.id)
        return await self.run(found.id)

    async def replan(self, run: str, why: str, by: str) -> RunView:
        """Have another plan made for what has not begun, or has ended without success. `Conflict`: one is being made
        already, or there is nothing left to plan."""
        found = await self.find(run)
        for again in range(_AGAIN, -1, -1):
            command = await self._read(lambda session: replan_command(session, found, why, by))
            try:
                await self._do(command, by, found.id, why)
            except _Changed:
                if not again:
                    raise
            else:
                break
        return await self.run(found.id)

    async def _do(self, command: Command, by: str | None, subject: str, detail: str = "") -> None:
        outcome = await self._asked(command, by, type(command).__name__.lower(), subject, detail)
        if isinstance(outcome, Refused):
            raise _error(outcome)

    async def _asked(self, command: Command, by: str | None, act: str, subject: str, detail: str) -> Outcome:
        """With a record of who asked, and of what came of it."""
        if by is not None:
            command = Audited(command, by, act, subject, detail[:DETAIL_CHARACTERS])
        return await self._dispatch.one(command)


@contextmanager
def _submitting(command: SubmitRun, spec: RunSpec, traceparent: str | None) -> Generator[tracing.Here]:
    """The run goes on with the trace of who submits it; whoever carries it out finds that in its spec."""
    about = {"atlas.run.id": command.run, "atlas.source": command.source, "atlas.todos": len(command.todos)}
    with tracing.span("atlas.submit", about, "producer", traceparent or "current") as here:
        command.spec = replace(spec, traceparent=tracing.traceparent() or traceparent).to_json()
        yield here


def _of_a_program(plan: Plan) -> list[str]:
    """What its author may have thought otherwise."""
    warnings: list[str] = []
    if plan.sandbox == "host":
        warnings.append(
            "`sandbox: host` counts in plans of persons only: these commands run in containers, unless the operator"
            " lets them run on the host"
        )
    bare = [todo.id for todo in plan.todos if todo.run is not None and not (todo.image or plan.defaults.image)]
    if bare:
        some = ", ".join(bare[:_SOME]) + (", …" if len(bare) > _SOME else "")
        warnings.append(f"no image for {some}: add `image` or `defaults.image`, unless the operator has set one")
    return warnings


class _Changed(Conflict):
    """What was asked for was about what there was a moment ago."""


def _seen(session: reading.Session, runs: Sequence[Run]) -> list[RunView]:
    budgets = agent_reading.budgets(session, [run.id for run in runs])
    return [run_view(run, budgets.get(run.id)) for run in runs]


def _todos(session: reading.Session, run: str) -> list[TodoView]:
    found = reading.todos(session, run)
    return todo_views(found, reading.needs(session, run), agent_reading.checklists(session, run))


def _error(refused: Refused) -> AtlasError:
    match refused.code:
        case "missing":
            return NotFound(refused.message)
        case "invalid":
            return InputError(refused.message)
        case "changed":
            return _Changed(refused.message)
        case _:
            return Conflict(refused.message)
