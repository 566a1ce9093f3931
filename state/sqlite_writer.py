"""The writing half of the store on SQLite: one connection in one thread, behind the turnstile."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from state.commands import Command, Outcome
from state.errors import StoreBusy, StoreError, StoreFull, StoreUnavailable
from state.flushing import UNHEARD, deletes, delivered, inserts, puts, updates
from state.kept import Kept
from state.sqlite_sql import DELETE_SQL, DELIVERED, NOW, PUT_SQL, UPDATE_SQL, SqliteRows, insert_rows
from state.statements import UPDATES
from state.transaction import transact
from state.turnstile import Turnstile
from state.work import Work, encode

log = logging.getLogger(__name__)

# The driver asks every None and every bool how it wants to be stored, and makes and drops an exception each time: a
# tenth of the writer's time. These answers say the same at once.
_SAME: dict[None, None] = {}
sqlite3.register_adapter(type(None), _SAME.get)
sqlite3.register_adapter(bool, int)

_PRAGMAS = ("busy_timeout=1000", "synchronous=FULL", "temp_store=MEMORY", "cache_size=-65536")


class SqliteWriter:
    """`group_commit.Writer` and `transaction.Engine`. `changed` is called when something was committed, here or by
    another process; `busy` is how many seconds another program's lock is waited for."""

    def __init__(
        self,
        path: Path,
        turnstile: Turnstile,
        changed: Callable[[], None],
        *,
        now: Callable[[], float] | None,
        new_id: Callable[[], str],
        busy: float,
    ) -> None:
        self._path = path
        self._turnstile = turnstile
        self._changed = changed
        self._now = now
        self._new_id = new_id
        self._busy = busy
        self._connection: sqlite3.Connection | None = None
        self._seen = 0
        self._kept_at = 0
        self._news = False
        self.kept = Kept()

    # --- group_commit.Writer -----------------------------------------------------------------------------------------

    def open(self) -> None:
        try:
            self._connection = sqlite3.connect(self._path, isolation_level=None, cached_statements=256)
            for pragma in _PRAGMAS:
                self._connection.execute(f"PRAGMA {pragma}").close()
            self._rows = SqliteRows(self._connection)
            self._seen = self._data_version()
        except sqlite3.Error as error:
            raise self.failure(error) or StoreUnavailable(f"{self._path}: {error}") from error

    def transact(self, commands: Sequence[Command]) -> list[Outcome]:
        self.idle()
        self._news = False
        outcomes = transact(self, commands, self._new_id)
        if self._news:  # who waits for changes and finds none would ask again at once
            self._changed()
        return outcomes

    def idle(self) -> None:
        """`PRAGMA data_version` counts what other connections commit, not what this one does."""
        try:
            version = self._data_version()
        except sqlite3.Error:  # whoever has something to do hears of it; this was only a look
            return
        if version != self._seen:
            self._seen = version
            self._changed()

    def close(self) -> None:
        if self._connection:
            self._connection.close()

    # --- transaction.Engine ------------------------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Generator[None]:
        connection = self._open_connection()
        try:
            with self._turnstile:
                self._begin(connection)
                try:
                    self._forget_if_others_wrote()
                    self._rows.begun = self._now() if self._now else connection.execute(f"SELECT {NOW}").fetchone()[0]
                    yield
                    connection.execute("COMMIT")
                except BaseException:
                    self.kept.forget()
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
        except sqlite3.Error as error:
            if failure := self.failure(error):
                raise failure from error
            raise

    @contextmanager
    def part(self) -> Generator[None]:
        connection = self._open_connection()
        connection.execute("SAVEPOINT part")
        try:
            yield
        except BaseException:
            self.kept.forget()
            if connection.in_transaction:  # some errors (a full disk) undo all of it
                connection.execute("ROLLBACK TO part")
                connection.execute("RELEASE part")
            raise
        connection.execute("RELEASE part")

    def rows(self, *, first: bool) -> SqliteRows:
        return self._rows

    def flush(self, work: Work) -> None:
        connection = self._open_connection()
        if work.delivered:
            connection.execute(DELIVERED, (encode(delivered(work)),))
        for name, rows in deletes(work):
            connection.executemany(DELETE_SQL[name], rows)
            self._news = True
        for table, rows in inserts(work):
            insert_rows(connection, table, rows)
            self._news = True
        for table, rows in puts(work):
            connection.executemany(PUT_SQL[table], rows)
            self._news = self._news or table not in UNHEARD
        for name, rows in updates(work):
            self._news = True
            changed = connection.executemany(UPDATE_SQL[name], rows).rowcount
            if UPDATES[name].guard and changed != len(rows):
                raise AssertionError(f"{name}: {changed} of {len(rows)} rows were as they had been read")

    def failure(self, error: BaseException) -> StoreError | None:
        return sqlite_failure(self._path, error, self._busy)

    # --- the connection ----------------------------------------------------------------------------------------------

    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreUnavailable(f"{self._path} is not open")
        return self._connection

    def _data_version(self) -> int:
        return int(self._open_connection().execute("PRAGMA data_version").fetchone()[0])

    def _forget_if_others_wrote(self) -> None:
        """Nobody can write any more: the transaction holds the lock."""
        version = self._data_version()
        if version != self._kept_at:
            self._kept_at = version
            self.kept.forget()

    def _begin(self, connection: sqlite3.Connection) -> None:
        """Wait for a program that does not go through the turnstile, say so, but not for ever."""
        start = time.monotonic()
        warned = False
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() - start > self._busy:
                    raise
                if not warned:
                    log.warning("the database %s is locked by another program; waiting", self._path)
                    warned = True


def sqlite_failure(path: Path, error: BaseException, busy: float) -> StoreError | None:
    """The database's own trouble in Atlas's words; None for bad data and for what does not come from SQLite."""
    cause = getattr(error, "orig", None) or error
    data = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError, sqlite3.InterfaceError)
    if not isinstance(cause, sqlite3.DatabaseError) or isinstance(cause, data):
        return None
    match cause.sqlite_errorcode & 0xFF:
        case sqlite3.SQLITE_TOOBIG:
            return None
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreBusy(f"{path} stayed locked by another program for {busy:.0f} s", "Close that program.")
        case sqlite3.SQLITE_FULL:
            return StoreFull(f"no room left for {path}", "Free space on its disk; nothing that was committed is lost.")
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            return StoreUnavailable(
                f"{path} is not a readable SQLite database: {cause}", "Restore it, or move it away."
            )
        case _:
            return StoreUnavailable(f"{path}: {cause}", "Check the file, its directory and its disk.")
