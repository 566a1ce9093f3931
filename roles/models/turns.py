"""A conversation as all makers take it: turns that alternate and begin and end with the user's, results first in
theirs, nothing blank, nothing of another maker.

The same conversation always comes out the same, and a longer one begins as the shorter did: makers look up what they
have by its beginning, and refuse reasoning after another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from roles.models.calls import clean, safe_id, safe_name, sent_arguments
from roles.models.port import Block, Kept, Message, Text, ToolCall, ToolResult
from state.errors import ModelRejected

T = TypeVar("T")
_NOTHING = Text("(nothing)")
_ORDERED = object()


def turns(messages: Sequence[Message], maker: str) -> list[Message]:
    """The turns to send to `maker`; calls in them have arguments that can be sent. `ModelRejected` when it is not the
    model's turn."""
    merged: list[list[Message]] = []
    for message in messages:
        cleaned = _cleaned(message, maker)
        if cleaned.role == "assistant" and not cleaned.blocks:
            continue
        if merged and merged[-1][0].role == cleaned.role:
            merged[-1].append(cleaned)
        else:
            merged.append([cleaned])
    if not merged or merged[-1][0].role != "user":
        raise ModelRejected("the conversation does not end with the user's turn", "This is an error in Atlas.")
    if merged[0][0].role != "user":
        merged.insert(0, [Message("user", [])])
    return [_turn(said) for said in merged]


def each_turn(messages: Sequence[Message], maker: str, write: Callable[[Message], T]) -> list[T]:
    """What `write` makes of each of the `turns`. It is asked once of a turn that stays as it is, and what it made is
    not to be changed."""
    found: list[T] = []
    for turn in turns(messages, maker):
        if write not in turn.made:
            turn.made[write] = write(turn)
        found.append(turn.made[write])
    return found


def _cleaned(message: Message, maker: str) -> Message:
    if (known := message.made.get(maker)) is None:
        said = _assistant(message, maker) if message.role == "assistant" else list(_user(message))
        known = message.made[maker] = Message(message.role, said)
    return known


def _turn(said: Sequence[Message]) -> Message:
    """Messages of one side in a row, as one; nearly always it is one."""
    first = said[0]
    if len(said) > 1:
        first = Message(first.role, [block for each in said for block in each.blocks])
    if first.role == "assistant":
        return first
    if _ORDERED not in first.made:
        first.made[_ORDERED] = Message("user", _ordered(first.blocks))
    return first.made[_ORDERED]


def _user(message: Message) -> Iterator[Block]:
    for block in message.blocks:
        match block:
            case Text(text) if text.strip():
                yield Text(clean(text))
            case ToolResult():
                yield replace(block, id=safe_id(block.id), text=clean(block.text))
            case _:
                pass


def _assistant(message: Message, maker: str) -> list[Block]:
    blocks = list(_said(message, maker))
    while blocks and isinstance(blocks[-1], Kept):
        blocks.pop()
    return blocks


def _said(message: Message, maker: str) -> Iterator[Block]:
    for block in message.blocks:
        match block:
            case Text(text) if text.strip():
                yield Text(clean(text))
            case ToolCall():
                yield ToolCall(safe_id(block.id), safe_name(block.name), sent_arguments(block))
            case Kept() if block.maker == maker:
                yield block
            case _:
                pass


def _ordered(blocks: Sequence[Block]) -> list[Block]:
    results = [block for block in blocks if isinstance(block, ToolResult)]
    words = [block for block in blocks if not isinstance(block, ToolResult)]
    return [*results, *words] or [_NOTHING]
