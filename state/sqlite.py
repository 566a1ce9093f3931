"""The store on SQLite: WAL, synchronous=FULL, one writer thread, several processes on one file through a turnstile."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from sqlalchemy import event
from sqlmodel import Session, create_engine

from state.commands import Command, Outcome
from state.commit_signal import CommitSignal
from state.decisions import decide
from state.errors import StoreBusy, StoreError, StoreFull, StoreUnavailable
from state.failpoints import failpoint
from state.flushing import inserts, updates
from state.group_commit import CommandsRejected, GroupCommit, Transact
from state.limits import BUSY_SECONDS
from state.loading import load
from state.migrations import upgrade_sqlite
from state.sqlite_sql import INSERT_SQL, NOW, UPDATE_SQL, SqliteRows
from state.statements import UPDATES
from state.turnstile import Turnstile
from state.work import Work

T = TypeVar("T")
log = logging.getLogger(__name__)

_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "temp_store=MEMORY", "cache_size=-65536")
_WATCH_SECONDS = 0.05
_READERS = 2


class SqliteStore:
    """`state.ports.Store` on one file. Opening makes or upgrades it; several processes may have it open.

    `now` replaces the database's clock in tests. Errors: `StoreError` and its kinds.
    """

    def __init__(self, path: Path, *, now: Callable[[], float] | None = None) -> None:
        self._path = path
        self._now = now
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._turnstile = Turnstile(path)
        except OSError as error:
            raise StoreUnavailable(
                f"cannot open {path}: {error.strerror}", "Check the path and its permissions."
            ) from error
        with _translated(path), self._turnstile:
            upgrade_sqlite(path)
        self._signal = CommitSignal()
        self._writer = GroupCommit(self._open_writer, self._close_writer, self._signal.grow)
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="atlas-store-reader")
        self._engine = create_engine(
            f"sqlite:///{path}", pool_size=_READERS, max_overflow=0, connect_args={"check_same_thread": False}
        )
        event.listen(self._engine, "connect", _read_only)
        self._watch = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._watch_lock = threading.Lock()
        self._seen = self._data_version()

    async def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        return await self._writer.apply(commands)

    async def read(self, query: Callable[[Session], T]) -> T:
        def reading() -> T:
            with _translated(self._path), Session(self._engine, expire_on_commit=False) as session:
                return query(session)

        return await asyncio.get_running_loop().run_in_executor(self._readers, reading)

    async def changed(self, after: int, timeout: float) -> int:
        loop = asyncio.get_running_loop()
        end = time.monotonic() + timeout
        while self._signal.number <= after and (left := end - time.monotonic()) > 0:
            await self._signal.wait(after, min(left, _WATCH_SECONDS))
            if self._signal.number <= after and await loop.run_in_executor(self._readers, self._changed_elsewhere):
                self._signal.grow()
        return self._signal.number

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self._close)

    def _close(self) -> None:
        self._writer.close()
        self._readers.shutdown()
        self._engine.dispose()
        self._watch.close()
        self._turnstile.close()

    def _data_version(self) -> int:
        return int(self._watch.execute("PRAGMA data_version").fetchone()[0])

    def _changed_elsewhere(self) -> bool:
        with self._watch_lock:
            version = self._data_version()
            changed = version != self._seen
            self._seen = version
            return changed

    # --- the writer thread -------------------------------------------------------------------------------------------

    def _open_writer(self) -> Transact:
        with _translated(self._path):
            self._connection = sqlite3.connect(self._path, isolation_level=None, cached_statements=256)
            for pragma in _PRAGMAS:
                self._connection.execute(f"PRAGMA {pragma}")
            self._connection.execute("PRAGMA busy_timeout=1000")
        return self._transact

    def _close_writer(self) -> None:
        self._connection.close()

    def _transact(self, commands: Sequence[Command]) -> list[Outcome]:
        connection = self._connection
        with _translated(self._path), self._turnstile:
            self._begin()
            try:
                now = self._now() if self._now else connection.execute(f"SELECT {NOW}").fetchone()[0]
                work = Work(now)
                load(work, commands, SqliteRows(connection))
                outcomes = [decide(work, command) for command in commands]
                self._flush(work)
                failpoint("store.before_commit")
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        failpoint("store.after_commit")
        return outcomes

    def _begin(self) -> None:
        """Wait for a program that does not go through the turnstile, say so, but not for ever."""
        start = time.monotonic()
        warned = False
        while True:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                waited = time.monotonic() - start
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or waited > BUSY_SECONDS:
                    raise
                if not warned:
                    log.warning("the database %s is locked by another program; waiting", self._path)
                    warned = True

    def _flush(self, work: Work) -> None:
        execute_many = self._connection.executemany
        for table, rows in inserts(work):
            execute_many(INSERT_SQL[table], rows)
        for name, rows in updates(work):
            changed = execute_many(UPDATE_SQL[name], rows).rowcount
            if name in UPDATES and UPDATES[name].guard and changed != len(rows):
                raise AssertionError(f"{name}: {changed} of {len(rows)} rows were as they had been read")


def _read_only(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA query_only=ON")
    connection.execute("PRAGMA busy_timeout=5000")


class _translated:
    """SQLite's errors in Atlas's words; a defect or bad data in a command becomes `CommandsRejected`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, StoreError | CommandsRejected) or not isinstance(error, Exception):
            return
        cause = error.__cause__ or getattr(error, "orig", None) or error
        if isinstance(cause, sqlite3.OperationalError | sqlite3.DatabaseError) and not isinstance(
            cause, sqlite3.IntegrityError | sqlite3.DataError | sqlite3.ProgrammingError | sqlite3.InterfaceError
        ):
            raise _store_error(self._path, cause) from error
        raise CommandsRejected(str(error)) from error


def _store_error(path: Path, error: sqlite3.Error) -> StoreError:
    match error.sqlite_errorcode & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreBusy(f"{path} stayed locked by another program for {BUSY_SECONDS:.0f} s", "Close that program.")
        case sqlite3.SQLITE_FULL:
            return StoreFull(f"no room left for {path}", "Free space on its disk; nothing that was committed is lost.")
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            return StoreUnavailable(
                f"{path} is not a readable SQLite database: {error}", "Restore it, or move it away."
            )
        case _:
            return StoreUnavailable(f"{path}: {error}", "Check the file, its directory and its disk.")
