"""Calls of tools and their text, between what makers write and what they take.

Models write ids, names and arguments that their makers refuse to read again, all the more when a conversation goes on
with another maker. Everything here gives the same answer for the same input: what was sent once is sent the same again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from roles.models.port import Message, ToolCall

_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")
_FORBIDDEN = re.compile(r"[^A-Za-z0-9_-]")
_LONGEST_NAME = 64


def clean(text: str) -> str:
    """As UTF-8 can carry it: halves of surrogate pairs are replaced."""
    return text.encode("utf-8", "replace").decode()


def safe_id(id: str) -> str:
    """An id that every maker takes; its own if that is one."""
    if _ID.fullmatch(id):
        return id
    return "call_" + hashlib.sha256(id.encode("utf-8", "replace")).hexdigest()[:24]


def safe_name(name: str) -> str:
    """A name that every maker takes; tools that exist have one."""
    return _FORBIDDEN.sub("_", name)[:_LONGEST_NAME] or "unnamed"


def sent_arguments(call: ToolCall) -> dict[str, Any]:
    """The arguments as a JSON object: what could not be read as one is told within one."""
    if call.unreadable is not None:
        return {"unreadable": clean(call.unreadable)}
    return cast(dict[str, Any], json.loads(clean(written(call.arguments))))


def written(value: object) -> str:
    """As compact JSON, in the order that it has."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class CallReader:
    """Reads the calls of one reply; `earlier`: the conversation, whose ids are not given again."""

    def __init__(self, earlier: Iterable[Message], new_id: Callable[[], str]) -> None:
        self._taken = {block.id for message in earlier for block in message.blocks if isinstance(block, ToolCall)}
        self._new_id = new_id

    def read(self, id: str, name: str, arguments: str | Mapping[str, Any], *, cut: bool = False) -> ToolCall:
        """`cut`: the reply ended within it, so that even arguments that can be read may not be all."""
        text = arguments if isinstance(arguments, str) else written(arguments)
        found = None if cut else _read(text)
        while not id or id in self._taken:
            id = self._new_id()
        self._taken.add(id)
        return ToolCall(id, name, found or {}, text if found is None else None)


def _read(text: str) -> dict[str, Any] | None:
    if not text.strip():
        return {}
    try:
        found = json.loads(text, parse_constant=_refuse)
        json.dumps(found, allow_nan=False)
    except (ValueError, RecursionError):
        return None
    return cast(dict[str, Any], found) if isinstance(found, dict) else None


def _refuse(constant: str) -> object:
    raise ValueError(constant)
