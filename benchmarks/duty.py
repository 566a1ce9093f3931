"""What a TODO does in the benchmarks that have worker processes, whoever's worker it is: next to nothing.

It notes in a file that all share when it was begun. BENCH_DUTY says what else: a number of seconds to sleep, or a
directory; then it goes on until there is a file of its name in it, and notes that too.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

NOTES, DUTY = "BENCH_NOTES", "BENCH_DUTY"
_LOOK_SECONDS = 0.005
What = Literal["began", "ended"]


@dataclass(frozen=True, slots=True)
class Note:
    """`at` is on the machine's monotonic clock."""

    what: str
    todo: str
    pid: int
    at: float


@dataclass(slots=True)
class Notes:
    """The file, read as it grows."""

    path: Path
    all: list[Note] = field(default_factory=list[Note])
    _read: int = 0

    def look(self) -> list[Note]:
        """All there are by now."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self._read)
                whole, end, _ = file.read().rpartition(b"\n")
            self._read += len(whole + end)
            self.all += [_note(line) for line in whole.decode().splitlines()]
        return self.all

    def of(self, todo: str, what: What) -> list[Note]:
        """In the order in which they were made."""
        return [note for note in self.look() if note.todo == todo and note.what == what]


def _note(line: str) -> Note:
    what, todo, pid, at = line.split()
    return Note(what, todo, int(pid), float(at))


def carry_out(todo: str) -> int:
    """For threads and processes; returns who did it."""
    _write("began", todo)
    for seconds in _pauses(todo):
        time.sleep(seconds)
    return os.getpid()


async def carry_out_in_loop(todo: str) -> int:
    """For event loops."""
    _write("began", todo)
    for seconds in _pauses(todo):
        await asyncio.sleep(seconds)
    return os.getpid()


def _pauses(todo: str) -> Iterator[float]:
    duty = os.environ.get(DUTY, "")
    if duty.startswith("/"):
        released = Path(duty) / todo
        while not released.exists():
            yield _LOOK_SECONDS
        _write("ended", todo)
    elif duty:
        yield float(duty)


def _write(what: What, todo: str) -> None:
    os.write(_file(os.environ[NOTES]), f"{what} {todo} {os.getpid()} {time.monotonic():.6f}\n".encode())


@cache
def _file(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
