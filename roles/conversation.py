"""Turns of a conversation as JSON: what is stored is what is sent, whichever model it goes on with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

from roles.models.port import Block, Kept, Text, ToolCall, ToolResult


def encode_blocks(blocks: Sequence[Block]) -> str:
    """ASCII, so that any database can hold whatever a model or a tool said."""
    return json.dumps([_encoded(block) for block in blocks], separators=(",", ":"))


def decode_blocks(text: str) -> list[Block]:
    """What `encode_blocks` was given."""
    return [_decoded(cast("dict[str, Any]", each)) for each in json.loads(text)]


def _encoded(block: Block) -> dict[str, Any]:
    match block:
        case Text(text):
            return {"text": text}
        case ToolCall():
            call: dict[str, Any] = {"call": block.id, "name": block.name, "arguments": dict(block.arguments)}
            return call if block.unreadable is None else call | {"unreadable": block.unreadable}
        case ToolResult():
            return {"result": block.id, "text": block.text, "failed": block.failed}
        case Kept():
            return {"kept": block.maker, "data": dict(block.data)}


def _decoded(tree: dict[str, Any]) -> Block:
    if "call" in tree:
        return ToolCall(tree["call"], tree["name"], tree["arguments"], tree.get("unreadable"))
    if "result" in tree:
        return ToolResult(tree["result"], tree["text"], tree["failed"])
    if "kept" in tree:
        return Kept(tree["kept"], tree["data"])
    return Text(tree["text"])
