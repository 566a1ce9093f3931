"""What can be asked of the store, and what it answers. Plain data: the rules are in `state.decisions`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from state.access_commands import Audited, IssueToken, RevokeToken
from state.agent_commands import AskPerson, ForgetThreads, Remember, ReserveCall, SettleCall
from state.records import BlockReason, EventType, Evidence, FailureReason, Output, Provenance, ReleaseCause, TodoKind
from state.room import NOTHING, Room


@dataclass(slots=True)
class NewTodo:
    """A TODO of a new run. `needs` are (TODO id, wanted answer, None, or `records.ANY_END`); `timeout` (seconds) bounds
    one attempt; `document` is JSON for the executor; `ask` is JSON ``{"text", "choices", "expires"}`` for gates, else
    None. Of the TODOs in one `lane` only one is worked on at a time. `cpus` (cores) and `memory` (bytes) are asked of
    its worker; None: no more than a place."""

    id: str
    key: str
    title: str
    kind: TodoKind
    document: str
    needs: Sequence[tuple[str, str | None]] = ()
    priority: int = 0
    labels: Sequence[str] = ()
    timeout: float = 1800.0
    ask: str | None = None
    lane: str | None = None
    cpus: float | None = None
    memory: int | None = None


@dataclass(slots=True)
class SubmitRun:
    """A whole run at once, or nothing. `spec` is JSON that executors need besides the TODO's document; `plan` is the
    canonical JSON of the document and `plan_hash` its SHA-256. `todos` are in an order where needs come first.
    `tokens` and `nano` (10⁻⁹ USD) bound what all its model calls use, `seconds` how long it is in progress; None:
    nothing does. `once`: refused as ``repeated``, with the run's id for a message, when there is one with the same."""

    run: str
    name: str
    goal: str | None
    placement: str
    concurrency: int
    provenance: Provenance
    source: str
    spec: str
    plan: str
    plan_hash: str
    todos: Sequence[NewTodo]
    tokens: int | None = None
    nano: int | None = None
    seconds: float | None = None
    once: str | None = None


@dataclass(slots=True)
class ExtendRun:
    """A plan is frozen: its TODO is completed, with this evidence, and what it plans becomes `todos` of the run; none,
    when the plan is all that was wanted."""

    todo: str
    fence: int
    evidence: Sequence[Evidence]
    plan: str
    plan_hash: str
    todos: Sequence[NewTodo]


@dataclass(slots=True)
class Replan:
    """A person wants another plan for what is left of a run. `todo`, of kind ``plan``, makes it; of `replaced` what has
    not begun or has ended without success makes place for it, of `others` what has not begun waits for it. Together
    they are all TODOs of the run: refused as ``changed`` when there are more by now."""

    run: str
    todo: NewTodo
    replaced: Sequence[str]
    others: Sequence[str]
    why: str
    by: str


@dataclass(slots=True)
class Claim:
    """Take a ready TODO. `placement` is what this worker may claim from; `labels` what it has."""

    todo: str
    worker: str
    placement: str
    labels: frozenset[str] = frozenset()


@dataclass(slots=True)
class ClaimNext:
    """Take the next ready TODOs, by priority and age: at most `limit` of what `placement` and `labels` allow. With
    `run`, of that run only. `room` is all that this worker has, `free` what of it nobody uses; None: there are no
    bounds. What asks for more than there is, is left to others; if `alone`, there are none, and it gets all there is.
    What has waited long goes before what is behind it: room is kept until there is enough."""

    worker: str
    placement: str
    limit: int
    labels: frozenset[str] = frozenset()
    run: str | None = None
    room: Room | None = None
    free: Room | None = None
    alone: bool = False


@dataclass(slots=True)
class BeginVerifying:
    """The work is reported; its evidence is being gathered."""

    todo: str
    fence: int


@dataclass(slots=True)
class Complete:
    """Done, with evidence: at least one item, all passed, all on one subject. `head` is (what the run's head was when
    the work was merged onto it, the merged commit): refused as ``head_moved`` when it is another one now."""

    todo: str
    fence: int
    evidence: Sequence[Evidence]
    outputs: Sequence[Output] = ()
    head: tuple[str | None, str | None] | None = None


@dataclass(slots=True)
class Fail:
    """An attempt failed. `retry_after` seconds when the policy grants another one, None when it does not: then
    `outputs`, which were wanted whatever came of it, are its manifest."""

    todo: str
    fence: int
    reason: FailureReason
    detail: str
    retry_after: float | None = None
    evidence: Sequence[Evidence] = ()
    outputs: Sequence[Output] = ()


@dataclass(slots=True)
class Block:
    """It can't go on until somebody changes something."""

    todo: str
    fence: int
    reason: BlockReason
    detail: str


@dataclass(slots=True)
class Release:
    """Back to ``ready`` without a verdict: a drain, a lease lost, (by a sweeper) the owner's death, something to wait
    for (`after` seconds), or a budget that does not allow for a call of so many `tokens` and `nano`. `by` is who
    releases it."""

    todo: str
    fence: int
    cause: ReleaseCause
    by: str
    after: float = 0.0
    tokens: int = 0
    nano: int = 0


@dataclass(slots=True)
class Say:
    """An event about a TODO in progress, by its owner."""

    todo: str
    fence: int
    type: EventType
    data: str


@dataclass(slots=True)
class Answer:
    """A person's (or a program's) answer to a question."""

    question: str
    value: str
    by: str


@dataclass(slots=True)
class Expire:
    """A question whose time has passed."""

    question: str


@dataclass(slots=True)
class Cancel:
    """End the run for good: every open TODO is cancelled and its owner fenced off."""

    run: str
    by: str


@dataclass(slots=True)
class Hold:
    """Nothing more of this run is claimed until it is resumed. `expected`: only if this is still its placement."""

    run: str
    reason: str
    expected: str | None = None


@dataclass(slots=True)
class Resume:
    """Clear `held` and `budget_exhausted`, forget crashes, and let `placement` claim. ``expected`` guards against two
    people resuming at once: the placement that the caller saw. `tokens`, `nano` and `seconds` are new limits; None: as
    before."""

    run: str
    placement: str
    expected: str
    tokens: int | None = None
    nano: int | None = None
    seconds: float | None = None


@dataclass(slots=True)
class ExhaustTime:
    """The run has been in progress for as long as its budget allows: it stands still until somebody resumes it."""

    run: str


@dataclass(slots=True)
class Retry:
    """A person wants a failed or blocked TODO tried again, and what was skipped because of it."""

    todo: str
    by: str


@dataclass(slots=True)
class Delivered:
    """The broker has taken these wake-ups."""

    todos: Sequence[str]


@dataclass(slots=True)
class Published:
    """The canonical copies of these outputs (internal paths) exist; of the attempt with this fence, which ended its
    TODO."""

    todo: str
    fence: int
    internals: Sequence[str]


@dataclass(slots=True)
class TakeSink:
    """Be the one who tells this sink what happens, for `seconds` from now. Refused as ``lease_lost`` while another one
    is. A new sink is told of what ends from now on."""

    sink: str
    worker: str
    seconds: float


@dataclass(slots=True)
class AdvanceSink:
    """The sink has been told: of each run (id) up to an event number. `caught_up`: of all that ended more than
    `limits.SINK_SECONDS` ago. Refused as ``lease_lost`` when `worker` is not the one who tells it."""

    sink: str
    worker: str
    told: Sequence[tuple[str, int]]
    caught_up: bool = False


@dataclass(slots=True)
class WorkerStarted:
    worker: str
    host: str
    pid: int
    labels: Sequence[str] = ()
    room: Room | None = None


@dataclass(slots=True)
class WorkerEnded:
    worker: str


Command = (
    SubmitRun
    | ExtendRun
    | Replan
    | ReserveCall
    | SettleCall
    | Remember
    | ForgetThreads
    | AskPerson
    | Claim
    | ClaimNext
    | BeginVerifying
    | Complete
    | Fail
    | Block
    | Release
    | Say
    | Answer
    | Expire
    | Cancel
    | Hold
    | ExhaustTime
    | Resume
    | Retry
    | Delivered
    | Published
    | TakeSink
    | AdvanceSink
    | WorkerStarted
    | WorkerEnded
    | IssueToken
    | RevokeToken
    | Audited
)


@dataclass(slots=True)
class Done:
    """It was carried out. `ready` are TODOs that it made claimable now, `queued` whether to workers of the queue."""

    ready: list[str] = field(default_factory=list[str])
    queued: bool = False


@dataclass(slots=True)
class Claimed:
    """The TODO is this worker's while it holds `fence`. `deadline` is the database's clock. `waited`: seconds that it
    was ready."""

    todo: str
    run: str
    key: str
    kind: TodoKind
    fence: int
    epoch: int
    attempt: int
    crash_count: int
    timeout: float
    deadline: float
    document: str
    provenance: Provenance
    asks: Room = NOTHING
    waited: float = 0.0


@dataclass(slots=True)
class ClaimedMany:
    """What `ClaimNext` took; empty when nothing was to be had. `passed_over`: of what was looked at, some had to be
    left, as there was not enough room for all."""

    claims: list[Claimed]
    passed_over: bool = False


@dataclass(slots=True)
class Refused:
    """Nothing was changed. `code`: ``missing``, ``lease_lost``, ``not_ready``, ``not_allowed``, ``exists``,
    ``repeated``, ``evidence``, ``head_moved``, ``changed``, ``budget``, ``budget_busy``, ``invalid`` (the database
    refused the data itself)."""

    code: str
    message: str


Outcome = Done | Claimed | ClaimedMany | Refused
