"""A terminal for `atlas`: a pseudo-terminal of some size, and what stood on its screen over time."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.acceptance.command_line import COMMAND, PATIENCE, Atlas

_PIECES = re.compile(r"\x1b\[(\d*)([A-Za-z])|\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+")


@dataclass
class Screen:
    """Enough of a terminal for what `rich` draws: lines, carriage returns, cursor up, erase line."""

    lines: list[str] = field(default_factory=lambda: [""])
    row: int = 0
    column: int = 0

    def feed(self, text: str) -> None:
        for piece in _PIECES.finditer(text):
            found = piece.group()
            if piece[2] == "A":
                self.row = max(0, self.row - int(piece[1] or 1))
            elif piece[2] == "K":
                self.lines[self.row] = ""
            elif found == "\r":
                self.column = 0
            elif found == "\n":
                self.row, self.column = self.row + 1, 0
                self.lines += [""] * (self.row + 1 - len(self.lines))
            elif not found.startswith("\x1b"):
                line = self.lines[self.row].ljust(self.column)
                self.lines[self.row] = line[: self.column] + found + line[self.column + len(found) :]
                self.column += len(found)

    def __str__(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines)


@dataclass(frozen=True, slots=True)
class Watched:
    """`screens` in order, each different from the one before; `code` is the command's."""

    screens: Sequence[str]
    code: int

    @property
    def last(self) -> str:
        return self.screens[-1]


def watched(atlas: Atlas, *arguments: str, columns: int, lines: int = 24, cwd: Path | None = None) -> Watched:
    """Run `atlas ARGUMENTS` in a terminal of that size, to its end."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    environment = atlas.environment({"TERM": "xterm-256color", "COLUMNS": "", "LINES": "", "NO_COLOR": "1"})
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, cwd=cwd or atlas.work, env=environment,
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    screen, screens, deadline = Screen(), [""], time.monotonic() + 2 * PATIENCE
    try:
        while select.select([ours], [], [], deadline - time.monotonic())[0]:
            try:
                data = os.read(ours, 1 << 16)
            except OSError:  # the last end of the terminal was closed
                break
            if not data:
                break
            screen.feed(data.decode("utf-8", "replace"))
            if str(screen) != screens[-1]:
                screens.append(str(screen))
        return Watched(screens, process.wait(PATIENCE))
    finally:
        process.kill()
        process.wait()
        os.close(ours)
