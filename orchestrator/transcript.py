"""What roles said and did for a TODO, attempt by attempt, in the order in which it happened; from SQL alone, so that it
reads the same while it goes on and for ever after."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlmodel import Session

from orchestrator.views import EvidenceView, evidence_view, moment
from roles.conversation import decode_blocks
from roles.gist import gist
from roles.models.port import Text
from roles.role import DUTIES
from state import agent_reading, reading
from state.agent_tables import MessageRow, ToolCallRow
from state.tables import Attempt, Event, EvidenceRow, Todo

_FRAME = re.compile(r'<data id="(?P<mark>[0-9a-f]+)" source="[^"]*">\n(?P<text>.*?)\n</data (?P=mark)>', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Words:
    """A turn. `speaker`: a role, or ``atlas`` for what the house says; `opens`: a conversation begins with it."""

    at: float
    speaker: str
    duty: str
    text: str
    opens: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call. `about` is the gist of its arguments, `result` empty as long as there is none."""

    at: float
    speaker: str
    name: str
    about: str
    arguments: Mapping[str, Any]
    state: str
    result: str


@dataclass(frozen=True, slots=True)
class Told:
    """What the house decided, and what a role noted. `kind`: decision or note."""

    at: float
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Proof:
    """One item of the verification."""

    at: float
    item: EvidenceView


Entry = Words | Call | Told | Proof


@dataclass(slots=True)
class AttemptStory:
    """One attempt by all workers that had it. `number` counts from 1; `fences` are their claims; `state` is None while
    it goes on."""

    number: int
    epoch: int
    fences: list[int]
    started_at: str | None
    seconds: float | None
    state: str | None
    reason: str | None
    detail: str | None
    entries: list[Entry] = field(default_factory=list[Entry])


def told(session: Session, todo: Todo) -> list[AttemptStory]:
    """Of all attempts, oldest first."""
    claims = reading.attempts(session, todo.id)
    groups: dict[tuple[int, int], list[Attempt]] = {}
    for claim in claims:
        groups.setdefault((claim.epoch, claim.attempt), []).append(claim)
    messages, calls = agent_reading.messages(session, todo.id), agent_reading.tool_calls(session, todo.id)
    events = agent_reading.told(session, todo.run_id, todo.id)
    evidence = reading.evidence(session, todo.id)
    begins = [group[0].started_at for group in groups.values()]
    ends = [*begins, float("inf")][1:]
    stories: list[AttemptStory] = []
    for (key, group), begin, end in zip(groups.items(), begins, ends, strict=True):
        story = _story(key, group)
        said = [row for row in messages if (row.epoch, row.attempt) == key]
        entries = [*_said(said, calls), *_events([event for event in events if begin <= event.at < end])]
        entries += _proofs([row for row in evidence if row.fence in story.fences])
        story.entries = sorted(entries, key=lambda entry: entry.at)  # stable: calls stay with their turn
        stories.append(story)
    return stories


def _story(key: tuple[int, int], group: Sequence[Attempt]) -> AttemptStory:
    first, last = group[0], group[-1]
    seconds = last.ended_at - first.started_at if last.ended_at is not None else None
    return AttemptStory(
        key[1] + 1, key[0], [claim.fence for claim in group], moment(first.started_at), seconds, last.outcome,
        last.reason, last.detail,
    )  # fmt: skip


def _said(
    messages: Sequence[MessageRow], calls: Mapping[tuple[int, int, int, int], Sequence[ToolCallRow]]
) -> list[Entry]:
    found: list[Entry] = []
    for row in messages:
        text = "".join(block.text for block in decode_blocks(row.blocks) if isinstance(block, Text)).strip()
        house = row.role == "user"
        duty = DUTIES.get(row.speaker)
        role = duty.role if duty else row.speaker
        if text:  # results of tools are told with their calls
            who = "atlas" if house else role
            found.append(Words(row.at, who, row.speaker, unframed(text) if house else text, opens=row.seq == 1))
        for call in calls.get((row.epoch, row.attempt, row.talk, row.seq), ()):
            found.append(_call(row.at, role, call))
    return found


def _call(at: float, role: str, row: ToolCallRow) -> Call:
    arguments: dict[str, Any] = json.loads(row.arguments)
    result = str(json.loads(row.result).get("text", "")) if row.result else ""
    return Call(at, role, row.name, gist(row.name, arguments), arguments, row.state, unframed(result))


def unframed(text: str) -> str:
    """Without the marks that tell models what is data."""
    return _FRAME.sub(lambda match: match["text"], text)


def _events(events: Sequence[Event]) -> list[Entry]:
    found: list[Entry] = []
    for event in events:
        data = json.loads(event.data)
        kind = f"note ({data['kind']})" if event.type == "role.note" else "decision"
        found.append(Told(event.at, kind, str(data["text"])))
    return found


def _proofs(rows: Sequence[EvidenceRow]) -> list[Entry]:
    return [Proof(row.at, evidence_view(row)) for row in rows]
