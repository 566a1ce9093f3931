"""What the API takes and gives, besides the views that all faces share. The OpenAPI document is made of these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from orchestrator.looking import TodoDetail
from orchestrator.plan.document import Budget
from orchestrator.tokens import TokenView
from orchestrator.views import EvidenceView, OutputView, QuestionView, RunView, TodoView
from state.limits import KEY_CHARACTERS, TEXT_CHARACTERS
from state.records import Scope

_PLAN: JsonDict = {"atlas": 1, "name": "hello", "todos": [{"id": "greet", "run": "echo hello"}]}
_ONE_OF_THREE: JsonDict = {
    "examples": [{"plan": _PLAN}, {"goal": "Support Python 3.13", "repo": "/srv/repositories/site"}],
    "oneOf": [{"required": ["plan"]}, {"required": ["goal"]}, {"required": ["task"]}],
}
Document = dict[str, Any] | Annotated[str, Field(min_length=1)]


class Asked(BaseModel):
    """A body; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid")


class NewRun(Asked):
    """Exactly one of `plan`, `goal` and `task`. The keys besides are for goals; a plan has them itself."""

    model_config = ConfigDict(json_schema_extra=_ONE_OF_THREE)

    plan: Document | None = Field(default=None, description="A plan document: as an object, or as YAML or JSON text.")
    goal: str | None = Field(
        default=None, min_length=1, max_length=TEXT_CHARACTERS, description="What is to be achieved; a plan is made."
    )
    task: Document | None = Field(default=None, description="A task document, `atlas.task/1`; one TODO.")
    repo: str | None = Field(default=None, description="Of a goal: the repository, which the operator must allow.")
    base: str | None = Field(default=None, description="Of a goal: branch, tag or commit to begin from.")
    budget: Budget | None = Field(default=None, description="Of a goal: what it may use up.")
    models: dict[str, list[str]] | None = Field(default=None, description="Of a goal: models by role, or `default`.")
    approve: Literal["auto", "ask"] = Field(default="auto", description="ask: a person approves the plan first.")

    @model_validator(mode="after")
    def _one(self) -> NewRun:
        if sum(each is not None for each in (self.plan, self.goal, self.task)) != 1:
            raise ValueError("exactly one of plan, goal and task is needed")
        if self.goal is None and any(each is not None for each in (self.repo, self.base, self.budget, self.models)):
            raise ValueError("repo, base, budget and models are for goals; a plan has them itself")
        return self


class NewAnswer(Asked):
    value: str = Field(max_length=TEXT_CHARACTERS, description="One of the choices, or text where there are none.")


class Reason(Asked):
    reason: str = Field(default="", max_length=1000, description="For the record.")


class Going(Asked):
    budget: Budget | None = Field(default=None, description="New limits, for a run that has used up its budget.")


class Why(Asked):
    why: str = Field(min_length=1, max_length=10_000, description="What is wrong with the plan, or wanted instead.")


class LogIn(Asked):
    token: str = Field(min_length=1, max_length=1000)


class NewToken(Asked):
    name: str = Field(min_length=1, max_length=KEY_CHARACTERS, description="Whose it is. Never used again.")
    scope: Scope = "read"
    trusted: bool = Field(default=False, description="What it submits counts as a person's.")
    seconds: float | None = Field(default=None, gt=0, le=10**9, description="How long it counts; for good if left out.")


@dataclass(frozen=True, slots=True)
class Submitted:
    """`repeated`: it was there already, and nothing has changed."""

    run: RunView
    warnings: list[str]
    repeated: bool


@dataclass(frozen=True, slots=True)
class Runs:
    """`next`: `before` of the next page; null: there is none."""

    runs: list[RunView]
    next: str | None


@dataclass(frozen=True, slots=True)
class Todos:
    """`next`: `after` of the next page; null: there is none."""

    todos: list[TodoView]
    next: int | None


@dataclass(frozen=True, slots=True)
class Evidence:
    evidence: list[EvidenceView]
    outputs: list[OutputView]


@dataclass(frozen=True, slots=True)
class Questions:
    questions: list[QuestionView]


@dataclass(frozen=True, slots=True)
class Whoami:
    """Who asks. `session`: whether by a browser's session."""

    name: str
    scope: Scope
    session: bool


@dataclass(frozen=True, slots=True)
class TokenMade:
    """`secret` is told once."""

    name: str
    secret: str


@dataclass(frozen=True, slots=True)
class AllTokens:
    tokens: list[TokenView]


@dataclass(frozen=True, slots=True)
class AuditView:
    """Somebody asked for something. `outcome`: done, or why not."""

    id: str
    at: str | None
    who: str
    act: str
    subject: str | None
    outcome: str
    detail: str


@dataclass(frozen=True, slots=True)
class Audits:
    """Newest first. `next`: `before` of the next page; null: there is none."""

    audits: list[AuditView]
    next: str | None


__all__ = [
    "AllTokens",
    "AuditView",
    "Audits",
    "Evidence",
    "Going",
    "LogIn",
    "NewAnswer",
    "NewRun",
    "NewToken",
    "Questions",
    "Reason",
    "Runs",
    "Submitted",
    "TodoDetail",
    "Todos",
    "TokenMade",
    "Whoami",
    "Why",
]
