"""The vocabulary of Atlas: ids, kinds, states, reasons, event types and their payloads.

Everything that is stored, sent or shown uses these names (design §4 and §6). Plain literals, not enum objects: what the
database returns *is* the vocabulary, with no conversion on the hot path.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NotRequired, TypedDict

import uuid_utils

TodoKind = Literal["task", "agent", "ask", "push", "plan", "report"]
TodoStatus = Literal[
    "pending",
    "ready",
    "in_progress",
    "verifying",
    "awaiting_input",
    "blocked",
    "completed",
    "failed",
    "cancelled",
    "skipped",
    "not_applicable",
]
RunStatus = Literal[
    "planning",
    "in_progress",
    "awaiting_input",
    "blocked",
    "failed",
    "completed",
    "held",
    "budget_exhausted",
    "cancelled",
]
QuestionStatus = Literal["pending", "answered", "expired", "cancelled"]
Provenance = Literal["person", "model", "outside"]
"""Who wrote a command; design §3."""

FailureReason = Literal[
    "exit", "timeout", "oom", "verification", "output", "poison", "internal", "cap", "conflict", "rejected", "push"
]
BlockReason = Literal["expired", "image", "sandbox", "secret", "input", "store", "unavailable", "stuck", "model"]
Reason = FailureReason | BlockReason | Literal["replanned"]
ReleaseCause = Literal["drain", "lease_lost", "died", "waiting", "hindered", "budget"]
Scope = Literal["read", "operate", "admin"]
"""What the bearer of a token may do; each includes the ones before it."""
"""Why a TODO left its owner without a verdict. Only ``died`` counts against it (``crash_count``)."""

TERMINAL: frozenset[TodoStatus] = frozenset(("completed", "failed", "cancelled", "skipped", "not_applicable"))
OWNED: frozenset[TodoStatus] = frozenset(("in_progress", "verifying"))
OPEN: frozenset[TodoStatus] = frozenset(("pending", "ready", "in_progress", "verifying", "awaiting_input"))
BAD_ENDS: frozenset[TodoStatus] = frozenset(("failed", "cancelled", "skipped"))
RUN_ENDED: frozenset[RunStatus] = frozenset(("completed", "failed", "cancelled"))
RUN_GOING: frozenset[RunStatus] = frozenset(("planning", "in_progress"))
RUN_WAITING: frozenset[RunStatus] = frozenset(("awaiting_input", "blocked", "held", "budget_exhausted"))

ANY_END = "*"
"""The wanted answer of a need that is met by whatever end."""
QUEUE = "queue"
"""The placement of runs that any worker may claim from; otherwise ``local:<boot id>``."""

POISON_AFTER = 3
"""Deaths of its owner after which a TODO is ``failed: poison``."""


def local_placement(boot: str) -> str:
    """The placement of a run that only the worker with this boot id may claim from."""
    return f"local:{boot}"


def new_id() -> str:
    """A UUIDv7 in its usual 36 characters: sorts by the time it was made."""
    return str(uuid_utils.uuid7())


@dataclass(slots=True)
class Evidence:
    """One checked item: what was run or looked at, on exactly which tree or artifact, and what came out.

    ``subject`` is the digest of what was judged (a tree, an output manifest, or ``exit:<digest>`` of the attempt
    itself); ``item`` is JSON and ``item_hash`` its SHA-256; ``output_tail`` is at most ``limits.EVIDENCE_TAIL``
    bytes and ``digest`` is the SHA-256 of the whole redacted output.
    """

    subject: str
    item: str
    item_hash: str
    passed: bool
    command: str | None
    exit_code: int | None
    output_tail: str
    digest: str
    verifier: str
    seconds: float


@dataclass(slots=True)
class Output:
    """One row of the manifest: a declared output, where the winning attempt staged it, and what it is.

    ``tree`` outputs (directories) have ``listing``: JSON ``[{"path", "digest", "size"}]``; ``digest`` is the listing's.
    """

    internal: str
    remote: str
    staged: str
    digest: str
    size: int
    tree: bool
    listing: str | None


# --- events: type -> payload ------------------------------------------------------------------------------------------

EventType = Literal[
    "run.submitted",
    "run.state",
    "run.progress",
    "todo.state",
    "todo.progress",
    "todo.log",
    "todo.risk",
    "evidence.recorded",
    "question.asked",
    "question.answered",
    "question.expired",
    "worker.took_over",
    "run.planned",
    "run.budget",
    "run.report",
    "role.turn",
    "role.tool",
    "role.checklist",
    "role.note",
]


class RunSubmitted(TypedDict):
    name: str
    goal: str | None
    total: int
    state: RunStatus


RunStateChanged = TypedDict(
    "RunStateChanged",
    {"from": RunStatus, "to": RunStatus, "settled": int, "total": int, "reason": NotRequired[str]},
)
"""Carries the progress too, so that none need follow it."""


class RunProgress(TypedDict):
    settled: int
    total: int


TodoStateChanged = TypedDict(
    "TodoStateChanged",
    {
        "from": TodoStatus | None,
        "to": TodoStatus,
        "fence": NotRequired[int],
        "attempt": NotRequired[int],
        "worker": NotRequired[str],
        "reason": NotRequired[str],
        "detail": NotRequired[str],
    },
)
"""``from`` is None for a new TODO. The step to ``in_progress`` is the start of an attempt and says whose; the next step
to anything but ``verifying`` is its end."""


class TodoProgress(TypedDict):
    text: str
    fraction: NotRequired[float]


class TodoLog(TypedDict):
    """The last lines of the attempt's log and its length so far in bytes; the log itself is in the artifact store."""

    fence: int
    offset: int
    lines: list[str]


class TodoRisk(TypedDict):
    text: str


class EvidenceRecorded(TypedDict):
    fence: int
    item: str
    passed: bool


class QuestionAsked(TypedDict):
    question: str
    text: str
    choices: list[str]
    expires_at: float | None


class QuestionAnswered(TypedDict):
    question: str
    answer: str
    by: str


class QuestionExpired(TypedDict):
    question: str


class WorkerTookOver(TypedDict):
    """The TODO was taken from a worker that had died, or did not answer. `worker` is who did; empty: somebody who only
    looked."""

    worker: str
    cause: ReleaseCause
    crash_count: int


class RunPlanned(TypedDict):
    """A plan was frozen; `todos` were added by it."""

    hash: str
    todos: int


class RunBudget(TypedDict):
    """Four fifths of the budget are gone, or (``exhausted``) what is left allows for no further call; then
    limits below `needs_…` do not allow for the next one either."""

    exhausted: bool
    tokens: int
    usd: float
    needs_tokens: NotRequired[int]
    needs_usd: NotRequired[float]


class RunReport(TypedDict):
    """The run's report is written; `digest` is its artifact's."""

    digest: str


class RoleTurn(TypedDict):
    """A model has answered for a role. `tokens` of the call, `text` its first words."""

    role: str
    model: str
    turn: int
    tokens: int
    cached: int
    usd: float
    text: str


class RoleTool(TypedDict):
    """A tool is called (``running``) or came back. `about` is the gist of its arguments."""

    role: str
    tool: str
    about: str
    state: Literal["running", "done", "failed", "unknown"]


class RoleChecklist(TypedDict):
    items: list[tuple[str, str]]
    """(state, text)"""


class RoleNote(TypedDict):
    kind: str
    text: str
