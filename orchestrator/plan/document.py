"""plan.yaml as models (design §3). What one key may hold is here; what keys mean to each other is in `checks`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from orchestrator.plan import fields as f
from state import limits
from state.records import TodoKind

RoleName = Literal["prometheus", "metis", "hephaestus", "oracle", "librarian"]
SandboxChoice = Literal["auto", "docker", "host"]


class Document(BaseModel):
    """Unknown keys are refused, and nothing is converted behind the writer's back."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Budget(Document):
    """What a run may use up; whichever comes first ends it."""

    tokens: int | None = Field(default=None, ge=1, le=10**15, description="Tokens of all model calls together.")
    usd: float | None = Field(default=None, gt=0, le=10**9, description="US dollars of all model calls together.")
    wall_clock: f.Timeout | None = Field(default=None, description="Working time; waiting for people is not counted.")


class Retries(Document):
    """How often a failed attempt is repeated."""

    max: int = Field(default=0, ge=0, le=limits.RETRIES, description="Attempts after the first.")
    backoff: f.Duration = Field(
        default=5.0, description="Wait before the second attempt; doubled before each later one."
    )


class Defaults(Document):
    """For TODOs that do not say otherwise."""

    image: f.Image | None = Field(default=None, description="Container image.")
    timeout: f.Timeout = Field(default=1800.0, description="Time one attempt may take.")
    retries: Retries = Field(default=Retries(), description="How often a failed attempt is repeated.")


class ResourceLimits(Document):
    """What one TODO may use of its worker."""

    cpus: float | None = Field(default=None, ge=0.01, le=1024, description="CPU cores, such as 0.5 or 2.")
    memory: f.Memory | None = Field(default=None, description="Memory, such as 512m or 2g.")
    pids: int | None = Field(default=None, ge=1, le=4_194_304, description="Processes and threads.")
    network: bool | None = Field(default=None, description="Whether containers have a network.")


class VerifyItem(Document):
    """One thing that must hold before the TODO is completed: exactly one of these keys."""

    run: f.Command | None = Field(default=None, description="A command that must exit with 0.")
    file: f.Internal | None = Field(default=None, description="A file that must exist and not be empty.")
    review: RoleName | None = Field(
        default=None, description="A role that must approve; besides commands, never alone."
    )


class Push(Document):
    """Where the run's branch goes."""

    remote: f.Line = Field(description="Name or URL of the git remote.")
    branch: f.Line | None = Field(default=None, description="Branch there; the run's own name when left out.")


def _push(value: object) -> object:
    return {"remote": value} if isinstance(value, str) else value


class Todo(Document):
    """One TODO: a task (`run`), an agent (`role`), a human gate (`ask`) or a push (`push`)."""

    id: f.Key = Field(description="Readable and unique in the plan.")
    title: f.Line | None = Field(default=None, description="What people see; the id when left out.")
    run: f.Command | None = Field(default=None, description="A command: text for the shell, or a list of arguments.")
    role: RoleName | None = Field(default=None, description="The role that carries this out.")
    ask: f.Prose | None = Field(
        default=None, description="A question for a person; the TODO is completed by the answer."
    )
    push: Annotated[Push | None, BeforeValidator(_push, json_schema_input_type=str | Push)] = Field(
        default=None, description="A git remote to push the run's branch to; the only way anything leaves."
    )
    needs: list[f.NeedItem] = Field(
        default=[],
        max_length=limits.NEEDS,
        description="Ids that come first; {id: answer} wants this answer of an ask.",
    )
    inputs: f.Inputs = Field(
        default={}, description="Remote location to internal path; a trailing slash means a directory."
    )
    outputs: f.Outputs = Field(
        default={}, description="Internal path to remote location; a trailing slash means a directory."
    )
    secrets: list[f.SecretName] = Field(
        default=[],
        max_length=limits.ENV_VARIABLES,
        description="Names of secrets that the command finds in its environment.",
    )
    env: f.Env = Field(default={}, description="Environment variables.")
    resources: ResourceLimits = Field(default=ResourceLimits(), description="What this TODO may use.")
    labels: list[f.Key] = Field(default=[], max_length=limits.LABELS, description="Labels a worker must have.")
    priority: int = Field(
        default=0, ge=-limits.PRIORITY, le=limits.PRIORITY, description="Among ready TODOs the highest is first."
    )
    verify: list[VerifyItem] = Field(default=[], max_length=limits.VERIFY_ITEMS, description="All of these must pass.")
    prompt: f.Prose | None = Field(default=None, description="What the role is to do.")
    touches: list[f.Touched] = Field(
        default=[], max_length=limits.PATHS, description="Patterns of the files this agent may change, such as src/**."
    )
    choices: list[f.Line] | None = Field(
        default=None,
        min_length=1,
        max_length=limits.CHOICES,
        description="Answers to choose from; any text when left out.",
    )
    expires: f.Timeout | None = Field(default=None, description="After this long the question is blocked: expired.")
    timeout: f.Timeout | None = Field(default=None, description="Time one attempt may take.")
    retries: Retries | None = Field(default=None, description="How often a failed attempt is repeated.")
    image: f.Image | None = Field(default=None, description="Container image.")

    @property
    def kind(self) -> TodoKind:
        """What carries this out."""
        if self.ask is not None:
            return "ask"
        if self.role is not None:
            return "agent"
        return "push" if self.push is not None else "task"


class Plan(Document):
    """A plan: what is to be done, in which order, and what counts as done."""

    atlas: f.Version = Field(description="Version of this format.")
    name: f.Line = Field(default="plan", description="Name of the run; the file's name when left out.")
    goal: f.Prose | None = Field(
        default=None, description="Alone: a plan is made for it. With todos: context for the roles."
    )
    repo: f.Line | None = Field(default=None, description="Git repository the commands run on: a path or URL.")
    base: f.Line | None = Field(default=None, description="Branch, tag or commit to begin from.")
    budget: Budget | None = Field(default=None, description="What the run may use up.")
    concurrency: int = Field(default=4, ge=1, le=limits.CONCURRENCY, description="TODOs that may run at the same time.")
    sandbox: SandboxChoice = Field(
        default="auto", description="Where commands run; auto: docker where an engine answers."
    )
    defaults: Defaults = Field(default=Defaults(), description="For TODOs that do not say otherwise.")
    models: dict[f.Key, list[f.ModelName]] = Field(
        default={}, max_length=limits.LABELS, description="Model chain by role; `default` is for the others."
    )
    todos: list[Todo] = Field(default=[], max_length=limits.TODOS, description="What is to be done.")
