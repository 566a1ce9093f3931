"""Shortening a conversation: what matters of it, from records alone, as the beginning of a new one.

No model is asked: it costs nothing, it can't be talked into anything, and done again after a crash it comes out the
same. Reasoning of a maker's own is left out: makers refuse it after anything before it has changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from roles.checklist import Items
from roles.models.port import Text, ToolCall, ToolResult
from roles.record import Record
from roles.toolbox import bounded
from roles.untrusted import as_data
from state.agent_commands import Said

_KEPT_BYTES = 24_000
_PART = 8
"""Of the conversation's bytes, one in so many is kept of its end: models may have room for little."""
_BRIEF_BYTES = 60_000
_CALLS = 200
_GIST = 120
_WHERE = "# Where this conversation was\n\nIt became too long. Here is what matters of it; go on from there."


def compacted(record: Record, duty: str, talk: int, seq: int, fresh: int, essentials: str) -> list[Said]:
    """The turns of conversation `fresh`, which goes on where `talk` was after `seq` turns."""
    room = min(_KEPT_BYTES, sum(len(said.blocks) for said in record.talks[talk][:seq]) // _PART)
    brief = "".join(block.text for block in record.messages(talk, 1)[0].blocks if isinstance(block, Text))
    checklist = Items.from_json(record.standing.checklist)
    parts = [
        brief.partition(f"\n\n{_WHERE}")[0][:_BRIEF_BYTES],  # if it was shortened before, what was said then is old
        _WHERE,
        f"The checklist:\n{checklist.shown()}" if checklist.items else "",
        essentials,
        as_data("calls made so far, oldest first", "\n".join(_calls(record, duty, talk, seq)) or "none"),
        as_data("the end of the conversation", "\n\n".join(_end(record, talk, seq, room))),
    ]
    return [record.user(fresh, 1, duty, [Text("\n\n".join(part for part in parts if part))])]


def _calls(record: Record, duty: str, talk: int, seq: int) -> Iterator[str]:
    """Of this conversation, and of those that it goes on from."""
    before = {each for each, turns in record.talks.items() if each < talk and turns and turns[0].speaker == duty}
    found = [
        f"{tool.name} {_gist(tool.arguments)}: {tool.state}"
        for (of, at, _), tool in sorted(record.tools.items())
        if of in before or (of == talk and at <= seq)
    ]
    if len(found) > _CALLS:
        yield f"({len(found) - _CALLS} older ones are left out)"
    yield from found[-_CALLS:]


def _gist(arguments: str) -> str:
    values = json.loads(arguments)
    shown = ", ".join(f"{name}={str(value)[:_GIST]!r}" for name, value in values.items())
    return shown[: 2 * _GIST]


def _end(record: Record, talk: int, seq: int, most: int) -> list[str]:
    """The last turns that fit, oldest first; each in words."""
    kept: list[str] = []
    room = most
    for message in reversed(record.messages(talk, seq)[1:]):
        words = "\n".join(_words(block) for block in message.blocks if isinstance(block, (Text, ToolCall, ToolResult)))
        room -= len(words)
        if room < 0 and kept:
            break
        kept.append(f"{message.role}: {bounded(words, most)}")
    return kept[::-1]


def _words(block: Text | ToolCall | ToolResult) -> str:
    match block:
        case Text(text):
            return text
        case ToolCall():
            return f"calls {block.name} {json.dumps(dict(block.arguments), ensure_ascii=False)[:2_000]}"
        case ToolResult():
            return f"result: {bounded(block.text, 4_000)}"
