"""A conversation as all makers take it: turns that alternate and begin and end with the user's, results first in
theirs, nothing blank, nothing of another maker.

The same conversation always comes out the same, and a longer one begins as the shorter did: makers look up what they
have by its beginning, and refuse reasoning after another one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from roles.models.calls import clean, safe_id, safe_name, sent_arguments
from roles.models.port import Block, Kept, Message, Text, ToolCall, ToolResult
from state.errors import ModelRejected

_NOTHING = Text("(nothing)")


def turns(messages: Sequence[Message], maker: str) -> list[Message]:
    """The turns to send to `maker`; calls in them have arguments that can be sent. `ModelRejected` when it is not the
    model's turn."""
    merged: list[tuple[str, list[Block]]] = []
    for message in messages:
        blocks = list(_assistant(message, maker) if message.role == "assistant" else _user(message))
        if message.role == "assistant" and not blocks:
            continue
        if merged and merged[-1][0] == message.role:
            merged[-1][1].extend(blocks)
        else:
            merged.append((message.role, blocks))
    if not merged or merged[-1][0] != "user":
        raise ModelRejected("the conversation does not end with the user's turn", "This is an error in Atlas.")
    if merged[0][0] != "user":
        merged.insert(0, ("user", []))
    return [Message("user", _ordered(said)) if role == "user" else Message("assistant", said) for role, said in merged]


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


def _ordered(blocks: list[Block]) -> list[Block]:
    results = [block for block in blocks if isinstance(block, ToolResult)]
    words = [block for block in blocks if not isinstance(block, ToolResult)]
    return [*results, *words] or [_NOTHING]
