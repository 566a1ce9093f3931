"""Results in pages: no tool answers with more than `TOOL_RESULT_BYTES`, and none leaves out anything silently."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from pydantic import BaseModel, Field

from state.errors import InputError
from state.limits import TOOL_RESULT_BYTES

T = TypeVar("T", bound=BaseModel)


class Page(BaseModel):
    """What every paged result has."""

    next_cursor: str | None = Field(default=None, description="Pass it as `cursor` for more; absent at the end.")
    note: str | None = Field(default=None, description="What was left out of this answer, and how to get it.")


class Text(Page):
    """A stretch of text, whole lines where they fit."""

    text: str


def position(cursor: str | None) -> int:
    """Where a page starts, from the cursor that the page before it gave."""
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 16):
        raise InputError(f"{cursor[:50]!r} is not a cursor of this tool", "Pass the next_cursor of the page before.")
    return int(cursor)


def text_page(data: bytes, start: int, *, more: bool, limit: int = TOOL_RESULT_BYTES) -> Text:
    """The page of a text that begins at byte `start`. `data` is what follows there, at most a little over `limit`;
    `more`: not all that follows. What is not UTF-8 is shown with replacement characters."""
    if len(data) <= limit and not more:
        return Text(text=data.decode("utf-8", "replace"))
    kept = data[:limit]
    newline = kept.rfind(b"\n")
    kept = kept[: newline + 1] if newline >= 0 else _whole_characters(kept)
    end = start + len(kept)
    note = f"This is a part: bytes {start:,} to {end:,}. Pass next_cursor as cursor for what follows."
    return Text(text=kept.decode("utf-8", "replace"), next_cursor=str(end), note=note)


def fitting(items: Sequence[T], limit: int = TOOL_RESULT_BYTES) -> int:
    """How many of the items, as JSON, fit into one answer; at least one."""
    size = 0
    for count, item in enumerate(items):
        size += len(item.model_dump_json()) + 1
        if size > limit and count:
            return count
    return len(items)


def _whole_characters(data: bytes) -> bytes:
    """Without the beginning of a character that is not all there."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 == 0xC0:
            size = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return data[:-back] if size > back else data
        if byte & 0xC0 != 0x80:
            break
    return data
