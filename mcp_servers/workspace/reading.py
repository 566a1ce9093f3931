"""Lines of a file: numbered, cut where they are too long, counted to the end of the file."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from io import BufferedReader

from mcp_servers.storage.threads import Stop
from mcp_servers.workspace.naming import joined, shown
from mcp_servers.workspace.results import Lines
from mcp_servers.workspace.tree import Parts, Tree
from state.errors import InputError
from state.limits import WORKSPACE_READ_BYTES

PAGE_BYTES = 40_000
"""Of the text of one answer."""
LINE_CHARACTERS = 2_000
_LINE_BYTES = 4 * LINE_CHARACTERS
_CHUNK = 1 << 18
_BINARY_BYTES = 8_000
"""git looks no further for a NUL either."""


@dataclass(slots=True)
class _Page:
    numbered: bool
    kept: list[str] = field(default_factory=list[str])
    room: int = PAGE_BYTES
    cut: int = 0
    foreign: bool = False
    """Something is not UTF-8."""
    returns: bool = False
    """Some line ends in CR LF."""

    def take(self, number: int, head: bytes, length: int) -> bool:
        """Keep a line, of which `head` is the beginning; False if there is no room."""
        body = head.removesuffix(b"\n").removesuffix(b"\r")
        text = body.decode("utf-8", "replace")
        if length > len(head) or len(text) > LINE_CHARACTERS:
            kept = text[:LINE_CHARACTERS]
            text = f"{kept}… [{length - len(kept.encode()):,} more bytes in this line]"
            self.cut += 1
        line = f"{number:6}\t{text}" if self.numbered else text
        self.room -= len(line.encode()) + 1
        if self.room < 0 and self.kept:
            return False
        self.kept.append(line)
        self.foreign = self.foreign or "\ufffd" in text
        self.returns = self.returns or head.endswith(b"\r\n")
        return True


def read_lines(tree: Tree, parts: Parts, start: int, count: int, *, numbered: bool, stop: Stop) -> Lines:
    """`count` lines from number `start`, or as many as fit. `InputError`: there is no such text."""
    name = joined(parts)
    with tree.opened(parts) as descriptor:
        size = os.fstat(descriptor).st_size
        refuse_binary(name, os.pread(descriptor, _BINARY_BYTES, 0))
        total, ended = _counted(descriptor, stop)
        if total is not None and start > max(total, 1):
            raise InputError(f"{shown(name)} has only {total:,} lines", "Pass a smaller `start`.")
        page = _Page(numbered)
        with open(descriptor, "rb", closefd=False) as file:
            number = 0
            while number < start + count - 1 and (line := _line(file, stop)):
                number += 1
                if number >= start and not page.take(number, *line):
                    break
    last = start + len(page.kept) - 1
    note = _note(page, last, total, ended=ended)
    return Lines(path=name, text="\n".join(page.kept), first=start, last=last, total=total, size=size, note=note)


def refuse_binary(name: str, beginning: bytes) -> None:
    """`InputError` if a file that begins so is not text."""
    if b"\0" in beginning[:_BINARY_BYTES]:
        raise InputError(
            f"{shown(name)} is binary, not text",
            "Look at it with a command (workspace_run), such as `file` or `head -c 200 … | od -c`.",
        )


def _counted(descriptor: int, stop: Stop) -> tuple[int | None, bool]:
    """How many lines a file has, None if it is too long to tell; and whether the last has an end."""
    newlines, place, last = 0, 0, b"\n"
    while chunk := os.pread(descriptor, _CHUNK, place):
        stop.check()
        newlines += chunk.count(b"\n")
        place += len(chunk)
        last = chunk[-1:]
        if place > WORKSPACE_READ_BYTES:
            return None, True
    return newlines + (last != b"\n"), last == b"\n"


def _line(file: BufferedReader, stop: Stop) -> tuple[bytes, int] | None:
    """The beginning of the next line and its whole length; None at the end, or too far into the file."""
    stop.check()
    head = piece = file.readline(_LINE_BYTES)
    length = len(head)
    while piece and not piece.endswith(b"\n"):
        stop.check()
        piece = file.readline(_CHUNK)
        length += len(piece)
        if file.tell() > WORKSPACE_READ_BYTES:
            return None
    return (head, length) if head else None


def _note(page: _Page, last: int, total: int | None, *, ended: bool) -> str | None:
    notes: list[str] = []
    if total is None:
        notes.append(
            f"The file has more than {WORKSPACE_READ_BYTES:,} bytes, too many to count its lines: further on, use a "
            "command (workspace_run) such as tail or sed -n."
        )
    if total is None or last < total:
        notes.append(f"More follows: pass start={last + 1}.")
    elif not ended:
        notes.append("The last line has no newline at its end.")
    if page.cut:
        notes.append(f"{page.cut} long lines are cut.")
    if page.foreign:
        notes.append("What is not UTF-8 is shown as \ufffd.")
    if page.returns:
        notes.append("Lines end in CR LF, which is not shown; write a plain newline in workspace_edit, and it is kept.")
    return " ".join(notes) or None
