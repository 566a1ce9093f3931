"""What roles ask of the store while they work: reserve and settle model calls, remember, ask, freeze a plan.

Everything but `SettleCall` carries the fence of the TODO that is worked on; with an old one nothing is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

CallEnd = Literal["answered", "failed", "stopped", "lost"]
"""How a model call ended; ``lost``: its worker died, and what it used can't be known."""
ToolState = Literal["intent", "done", "failed", "unknown"]
NoteKind = Literal["learning", "decision", "issue", "problem"]


@dataclass(slots=True)
class ReserveCall:
    """A model call is to be made, of at most so many `tokens` and `nano` (10⁻⁹ USD; None: its price is not known).
    Refused as ``budget`` when the limit can't allow for it, as ``budget_busy`` when it could once other calls are
    settled, as ``unpriced`` when only money is limited and its price is not known."""

    call: str
    todo: str
    fence: int
    role: str
    model: str
    tokens: int
    nano: int | None


@dataclass(slots=True)
class SettleCall:
    """What a reserved call used in the end. Also from a worker that has lost its TODO: what was used was used."""

    call: str
    end: CallEnd
    input: int = 0
    cached: int = 0
    written: int = 0
    output: int = 0
    nano: int = 0
    estimated: bool = False


@dataclass(slots=True)
class Said:
    """A turn of conversation `talk` of this attempt. `role` is user or assistant, `speaker` whose turn it is (a role's
    name); `blocks` is JSON."""

    talk: int
    seq: int
    role: str
    speaker: str
    blocks: str
    stop: str | None = None
    call: str | None = None


@dataclass(slots=True)
class ToolRow:
    """A tool call as it stands now; see `state.agent_tables.ToolCallRow`. `arguments` and `result` are JSON."""

    talk: int
    seq: int
    number: int
    call: str
    name: str
    arguments: str
    state: ToolState
    result: str | None = None
    digest: str | None = None
    snapshot: str | None = None


@dataclass(slots=True)
class Standing:
    """Where the attempt stands; see `state.agent_tables.AgentRow`."""

    continuations: int = 0
    fruitless: int = 0
    credit: int = 0
    consultations: int = 0
    errors: int = 0
    turns: int = 0
    tool_calls: int = 0
    tokens: int = 0
    seconds: float = 0.0
    checklist: str | None = None
    base: str | None = None
    snapshot: str | None = None
    outcome: str | None = None


@dataclass(slots=True)
class CommitPack:
    """See `state.agent_tables.CommitRow`."""

    oid: str
    base: str
    digest: str
    size: int


@dataclass(slots=True)
class Noted:
    """Something learned."""

    kind: NoteKind
    text: str
    author: str


@dataclass(slots=True)
class SavedCheckpoint:
    """A checkpoint; `prune`: those of its thread and namespace that are older than its parent go."""

    thread: str
    ns: str
    id: str
    parent: str | None
    type: str
    body: str
    meta: str
    prune: bool = True


@dataclass(slots=True)
class SavedWrite:
    """One write of a task. `replace`: it takes the place of one that is there."""

    thread: str
    ns: str
    id: str
    task: str
    idx: int
    path: str
    channel: str
    type: str
    value: str
    replace: bool


@dataclass(slots=True)
class Remember:
    """What an attempt's roles said and did: all of it, or with an old fence nothing. `events` are (type, JSON)."""

    todo: str
    fence: int
    said: Sequence[Said] = ()
    tools: Sequence[ToolRow] = ()
    standing: Standing | None = None
    packs: Sequence[CommitPack] = ()
    notes: Sequence[Noted] = ()
    checkpoints: Sequence[SavedCheckpoint] = ()
    writes: Sequence[SavedWrite] = ()
    events: Sequence[tuple[str, str]] = ()


@dataclass(slots=True)
class ForgetThreads:
    """Checkpoints of these threads go: all, or all but the newest of each namespace."""

    threads: Sequence[str]
    keep_latest: bool = False


@dataclass(slots=True)
class AskPerson:
    """A role asks: question and ``awaiting_input`` at once; the answer makes the TODO ready again. `key` finds the
    question again: the tool call's."""

    todo: str
    fence: int
    key: str
    text: str
    choices: Sequence[str] = ()
    expires: float | None = None
