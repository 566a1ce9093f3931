"""The store on SQLite: WAL, synchronous=FULL, one writer thread, several processes on one file through a turnstile."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine, event
from sqlmodel import Session, create_engine

from state.commands import Command, Outcome
from state.commit_signal import CommitSignal
from state.errors import StoreError, StoreUnavailable
from state.group_commit import GroupCommit
from state.limits import BUSY_SECONDS
from state.migrations import is_ready, upgrade_sqlite
from state.readers import READERS, Readers
from state.records import new_id
from state.sqlite_writer import SqliteWriter, sqlite_failure
from state.turnstile import Turnstile

T = TypeVar("T")

_CLOSE_SECONDS = 5.0
"""For what waits to be written; then another process that does not end is not waited for."""


class SqliteStore:
    """`state.ports.Store` on one file. Opening makes or upgrades it; several processes may have it open.

    For tests: `now` replaces the database's clock, `ids` makes the ids, `busy` is how long another program's lock is
    waited for. Errors: `StoreError` and its kinds.
    """

    def __init__(
        self,
        path: Path,
        *,
        now: Callable[[], float] | None = None,
        ids: Callable[[], str] = new_id,
        busy: float = BUSY_SECONDS,
    ) -> None:
        def failure(error: BaseException) -> StoreError | None:
            return sqlite_failure(path, error, busy)

        self._turnstile = _turnstile(path, busy)
        try:
            if not is_ready(path):
                with self._turnstile:
                    upgrade_sqlite(path)
            self._signal = CommitSignal()
            writer = SqliteWriter(path, self._turnstile, self._signal.grow, now=now, new_id=ids, busy=busy)
            self._writer = GroupCommit(writer)
        except BaseException as error:
            self._turnstile.close()
            if words := failure(error):
                raise words from error
            raise
        self._readers = Readers(_read_engine(path), failure)
        self._closed = False

    async def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        return await self._writer.apply(commands)

    async def read(self, query: Callable[[Session], T]) -> T:
        return await self._readers.read(query)

    async def changed(self, after: int, timeout: float) -> int:
        await self._signal.wait(after, timeout)
        return self._signal.number

    async def queued(self, after: int, timeout: float) -> int:
        await asyncio.sleep(timeout)
        return after

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await asyncio.get_running_loop().run_in_executor(None, self._close)

    def _close(self) -> None:
        hurrying = threading.Timer(_CLOSE_SECONDS, self._turnstile.hurry)
        hurrying.start()
        self._writer.close()
        hurrying.cancel()
        self._readers.close()
        self._turnstile.close()


def upgrade_file(path: Path) -> None:
    """Make it, or bring it to `HEAD`, unless it is newer or another program's. `StoreError`."""
    turnstile = _turnstile(path, BUSY_SECONDS)
    try:
        with turnstile:
            upgrade_sqlite(path)
    except BaseException as error:
        if words := sqlite_failure(path, error, BUSY_SECONDS):
            raise words from error
        raise
    finally:
        turnstile.close()


def _turnstile(path: Path, busy: float) -> Turnstile:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return Turnstile(path, busy)
    except OSError as error:
        raise StoreUnavailable(
            f"cannot open {path}: {error.strerror}", "Check the path and its permissions."
        ) from error


def _read_engine(path: Path) -> Engine:
    """Read-only; a session's queries see one snapshot. `isolation_level=None`: the driver begins nothing of its own."""
    arguments = {"check_same_thread": False, "isolation_level": None}
    engine = create_engine(f"sqlite:///{path}", pool_size=READERS, max_overflow=0, connect_args=arguments)
    event.listen(engine, "connect", _read_only)
    event.listen(engine, "begin", _begin)
    return engine


def _read_only(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA query_only=ON")
    connection.execute("PRAGMA busy_timeout=5000")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")
