"""A fair queue for the write lock of one SQLite file, between processes.

SQLite's own busy wait sleeps and retries, so a busy writer starves the others (measured: 2.3 s). Two file locks make it
fair: whoever waits holds the door, so nobody can pass twice while another waits.

A process that is stopped in the middle of a write (Ctrl-Z, a frozen container) keeps the room: whoever waits says so,
and does not wait for ever. A file lock has no deadline, so it is waited for in a thread, when it can't be had at once.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from state.errors import StoreBusy
from state.limits import BUSY_SECONDS

log = logging.getLogger(__name__)

_SAY_SECONDS = 5.0


class Turnstile:
    """``with turnstile:`` around a write transaction; `StoreBusy` after `busy` seconds. Not for several threads of one
    process: those share a writer."""

    def __init__(self, database: Path, busy: float = BUSY_SECONDS) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._database = database
        self._busy = busy
        self._door = os.open(f"{database}-door", flags, 0o600)
        self._room = os.open(f"{database}-room", flags, 0o600)
        self._waiting: _Waiting | None = None

    def __enter__(self) -> Self:
        waiting = self._waiting
        if waiting is None or not waiting.again():
            self._waiting = None
            if self._at_once():
                return self
            waiting = self._waiting = _Waiting(self._door, self._room)
        if not waiting.over(self._busy, self._database):
            raise StoreBusy(
                f"another process has been writing to {self._database} for over {self._busy:.0f} s",
                "Was one stopped (Ctrl-Z)? Let it go on, or end it.",
            )
        self._waiting = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        fcntl.flock(self._room, fcntl.LOCK_UN)

    def hurry(self) -> None:
        """From another thread: whoever waits now, or later, does so no longer."""
        self._busy = 0.0
        if waiting := self._waiting:
            waiting.hurry()

    def close(self) -> None:
        """A thread that still waits keeps the files, to the end of the process."""
        if self._waiting is None or self._waiting.ended:
            os.close(self._door)
            os.close(self._room)

    def _at_once(self) -> bool:
        try:
            fcntl.flock(self._door, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        try:
            fcntl.flock(self._room, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            fcntl.flock(self._door, fcntl.LOCK_UN)
        return True


class _Waiting:
    """A thread that waits for its turn. What it gets when nobody wants it any more, it gives back."""

    def __init__(self, door: int, room: int) -> None:
        self._door = door
        self._room = room
        self._lock = threading.Lock()
        self._wanted = True
        self._ended = False
        self._news = threading.Event()
        self._error: OSError | None = None
        threading.Thread(target=self._run, name="atlas-turnstile", daemon=True).start()

    def over(self, seconds: float, database: Path) -> bool:
        """Wait until it is our turn, so long at most; whether it is."""
        if not self._news.wait(min(_SAY_SECONDS, seconds)) and seconds > _SAY_SECONDS:
            log.warning("another process is writing to %s, and does not end; waiting", database)
            self._news.wait(seconds - _SAY_SECONDS)
        with self._lock:
            self._wanted = self._ended
        if self._error:
            raise self._error
        return self._wanted

    @property
    def ended(self) -> bool:
        """Whether its turn has come."""
        return self._ended

    def hurry(self) -> None:
        """Wait no longer."""
        self._news.set()

    def again(self) -> bool:
        """Want it again; False when it has come and gone meanwhile."""
        with self._lock:
            self._wanted = not self._ended
            return self._wanted

    def _run(self) -> None:
        try:
            fcntl.flock(self._door, fcntl.LOCK_EX)
            try:
                fcntl.flock(self._room, fcntl.LOCK_EX)
            finally:
                fcntl.flock(self._door, fcntl.LOCK_UN)
        except OSError as error:
            self._error = error
        with self._lock:
            if not self._wanted and not self._error:
                fcntl.flock(self._room, fcntl.LOCK_UN)
            self._ended = True
            self._news.set()
