"""What the orchestration tools answer: the views that all faces share, as clients' schemas want them."""

from __future__ import annotations

from pydantic import BaseModel, Field

from mcp_servers.paging import Page
from orchestrator.looking import TodoDetail
from orchestrator.views import EvidenceView, QuestionView, RunView, TodoView


class RunInfo(BaseModel):
    """A run. `state` is planning, in_progress, awaiting_input, blocked, held, budget_exhausted, completed, failed or
    cancelled."""

    id: str
    name: str
    state: str
    reason: str | None = None
    settled: int = Field(description="TODOs that have ended.")
    total: int
    tokens: int = 0
    usd: float = 0.0
    goal: str | None = None

    attention: list[str] | None = Field(
        default=None, description="What somebody has to look at: TODOs that failed or are blocked, and why; questions."
    )

    @classmethod
    def of(cls, run: RunView, attention: list[str] | None = None) -> RunInfo:
        return cls(
            id=run.id, name=run.name, state=run.state, reason=run.reason, settled=run.progress.settled,
            total=run.progress.total, tokens=run.spend.tokens, usd=run.spend.usd, goal=run.goal,
            attention=attention or None,
        )  # fmt: skip


class Submitted(BaseModel):
    run: RunInfo
    warnings: list[str] = []
    repeated: bool = Field(default=False, description="It was there already, and nothing has changed.")


class TodoInfo(BaseModel):
    key: str
    title: str
    kind: str
    state: str
    role: str | None = None
    reason: str | None = None
    detail: str | None = None
    needs: list[str] = []
    started_at: str | None = None
    ended_at: str | None = None

    @classmethod
    def of(cls, todo: TodoView) -> TodoInfo:
        return cls(**{name: getattr(todo, name) for name in cls.model_fields})


class ProofInfo(BaseModel):
    attempt: int = Field(description="Of the TODO, counted as `attempts` is.")
    passed: bool
    command: str | None = None
    exit_code: int | None = None
    output_tail: str = ""
    subject: str
    verifier: str

    @classmethod
    def of(cls, item: EvidenceView) -> ProofInfo:
        return cls(
            attempt=item.fence, passed=item.passed, command=item.command, exit_code=item.exit_code,
            output_tail=item.output_tail, subject=item.subject, verifier=item.verifier,
        )  # fmt: skip


class TodoWhole(TodoInfo):
    checklist: list[str] = []
    attempts: int = 0
    questions: list[QuestionInfo] = []
    evidence: list[ProofInfo] = []

    @classmethod
    def with_evidence(cls, todo: TodoDetail, evidence: list[EvidenceView]) -> TodoWhole:
        return cls(
            **TodoInfo.of(todo).model_dump(), checklist=[f"{each.state}: {each.text}" for each in todo.checklist],
            attempts=len(todo.attempts), questions=[QuestionInfo.of(each) for each in todo.questions],
            evidence=[ProofInfo.of(each) for each in evidence],
        )  # fmt: skip


class QuestionInfo(BaseModel):
    id: str
    run: str
    text: str
    choices: list[str] = []
    state: str
    answer: str | None = None
    expires_at: str | None = None

    @classmethod
    def of(cls, question: QuestionView) -> QuestionInfo:
        return cls(**{name: getattr(question, name) for name in cls.model_fields})


class RunsPage(Page):
    runs: list[RunInfo]


class TodosPage(Page):
    todos: list[TodoInfo]


class QuestionsInfo(BaseModel):
    note: str | None = Field(default=None, description="What was left out of this answer.")
    questions: list[QuestionInfo]
