"""The JSON that people and programs see, the same everywhere (design §6)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from state.agent_tables import BudgetRow, NoteRow
from state.frequent import Told
from state.tables import ArtifactRow, Event, EvidenceRow, Question, Run, Todo

NANO = 1_000_000_000
"""Nano-dollars in a dollar."""
ROLES: Mapping[str, str] = {"plan": "prometheus", "agent": "hephaestus", "report": "librarian"}
"""Whose a TODO of this kind is; others may be asked by it."""


def moment(seconds: float | None) -> str | None:
    """Seconds since the epoch as ISO 8601, UTC, to the millisecond."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Progress:
    """`settled` of `total`; blocked TODOs are part of the total, those that do not apply are not."""

    settled: int
    total: int


@dataclass(frozen=True, slots=True)
class Spend:
    """What calls of models used up. `cached_tokens` are part of `tokens`; `usd` counts models of known price only."""

    tokens: int = 0
    cached_tokens: int = 0
    usd: float = 0.0


@dataclass(frozen=True, slots=True)
class ChecklistItem:
    """`state`: open, done, dropped or split."""

    text: str
    state: str


@dataclass(frozen=True, slots=True)
class RunView:
    id: str
    name: str
    goal: str | None
    state: str
    reason: str | None
    progress: Progress
    spend: Spend
    created_at: str | None
    updated_at: str | None
    last_event: int = 0
    """The number of the newest event: whoever watches from there on misses nothing of what comes after this."""


@dataclass(frozen=True, slots=True)
class TodoView:
    """`needs` are keys; a conditional need is ``key=answer``. `progress` is the part of the checklist that is done."""

    id: str
    key: str
    title: str
    kind: str
    role: str | None
    state: str
    reason: str | None
    detail: str | None
    needs: list[str]
    attempt: int
    progress: float | None
    checklist: list[ChecklistItem]
    started_at: str | None
    ended_at: str | None


@dataclass(frozen=True, slots=True)
class QuestionView:
    id: str
    run: str
    todo: str
    text: str
    choices: list[str]
    state: str
    answer: str | None
    answered_by: str | None
    expires_at: str | None


@dataclass(frozen=True, slots=True)
class EventView:
    run: str
    seq: int
    at: str | None
    type: str
    todo: str | None
    data: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class EvidenceView:
    """One checked item of one attempt."""

    todo: str
    attempt: int
    fence: int
    subject: str
    item: dict[str, Any]
    passed: bool
    command: str | None
    exit_code: int | None
    output_tail: str
    digest: str
    verifier: str
    seconds: float
    at: str | None


@dataclass(frozen=True, slots=True)
class OutputView:
    """One row of the manifest."""

    todo: str
    internal: str
    remote: str
    digest: str
    size: int
    published_at: str | None


@dataclass(frozen=True, slots=True)
class NoteView:
    """Something that a role learned. `kind`: learning, decision, issue or problem."""

    todo: str
    kind: str
    text: str
    author: str
    at: str | None


View = RunView | TodoView | QuestionView | EventView | EvidenceView | OutputView | NoteView


def as_json(view: View) -> str:
    """One line."""
    return json.dumps(asdict(view), ensure_ascii=False)


def run_view(run: Run, budget: BudgetRow | None = None) -> RunView:
    settled = run.n_completed + run.n_failed + run.n_cancelled + run.n_skipped
    total = settled + run.n_pending + run.n_ready + run.n_in_progress + run.n_verifying + run.n_awaiting_input
    return RunView(
        id=run.id, name=run.name, goal=run.goal, state=run.state, reason=run.reason,
        progress=Progress(settled, total + run.n_blocked), spend=spend(budget), created_at=moment(run.created_at),
        updated_at=moment(run.updated_at), last_event=run.last_event,
    )  # fmt: skip


def spend(budget: BudgetRow | None) -> Spend:
    """Of calls that have ended."""
    return Spend(budget.tokens, budget.cached, budget.nano / NANO) if budget else Spend()


def todo_views(
    todos: Sequence[Todo], needs: Mapping[str, list[tuple[str, str | None]]], checklists: Mapping[str, str]
) -> list[TodoView]:
    keys = {todo.id: todo.key for todo in todos}

    def need(id: str, answer: str | None) -> str:
        return keys.get(id, id) + (f"={answer}" if answer is not None else "")

    def view(todo: Todo) -> TodoView:
        checklist = [ChecklistItem(each["text"], each["state"]) for each in json.loads(checklists.get(todo.id, "[]"))]
        return TodoView(
            id=todo.id, key=todo.key, title=todo.title, kind=todo.kind, role=role_of(todo.kind), state=todo.state,
            reason=todo.reason, detail=todo.detail, needs=[need(*each) for each in needs.get(todo.id, ())],
            attempt=todo.attempt, progress=done_part([(each.state, each.text) for each in checklist]),
            checklist=checklist, started_at=moment(todo.started_at), ended_at=moment(todo.ended_at),
        )  # fmt: skip

    return [view(todo) for todo in todos]


def role_of(kind: str) -> str | None:
    """Whose a TODO is."""
    return ROLES.get(kind)


def done_part(items: Sequence[tuple[str, str]]) -> float | None:
    """Of a checklist of (state, text): what is done of what counts; None when there is none."""
    counted = [state for state, _ in items if state in ("open", "done")]
    return round(counted.count("done") / len(counted), 3) if counted else None


def question_view(question: Question) -> QuestionView:
    return QuestionView(
        id=question.id, run=question.run_id, todo=question.todo_id, text=question.text,
        choices=json.loads(question.choices), state=question.state, answer=question.answer,
        answered_by=question.answered_by, expires_at=moment(question.expires_at),
    )  # fmt: skip


def event_view(event: Event | Told) -> EventView:
    return EventView(event.run_id, event.seq, moment(event.at), event.type, event.todo_id, json.loads(event.data))


def evidence_view(row: EvidenceRow) -> EvidenceView:
    return EvidenceView(
        todo=row.todo_id, attempt=row.attempt, fence=row.fence, subject=row.subject, item=json.loads(row.item),
        passed=row.passed, command=row.command, exit_code=row.exit_code, output_tail=row.output_tail,
        digest=row.digest, verifier=row.verifier, seconds=round(row.seconds, 3), at=moment(row.at),
    )  # fmt: skip


def output_view(row: ArtifactRow) -> OutputView:
    return OutputView(row.todo_id, row.internal, row.remote, row.digest, row.size, moment(row.published_at))


def note_view(row: NoteRow) -> NoteView:
    return NoteView(row.todo_id, row.kind, row.text, row.author, moment(row.at))
