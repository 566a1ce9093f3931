"""The writing half of the store on PostgreSQL: one connection in one thread."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from state.commands import Command, Outcome
from state.errors import StoreBusy, StoreError, StoreFull, StoreUnavailable
from state.flushing import UNHEARD, deletes, delivered, inserts, puts, updates
from state.kept import Kept
from state.limits import BUSY_SECONDS, LEASE_SECONDS
from state.postgres_sql import (
    BEGUN,
    CHANNEL,
    DELETE_SQL,
    DELIVERED,
    FATE,
    INSERT_SQL,
    PUT_SQL,
    QUEUED,
    UPDATE_SQL,
    Connection,
    PostgresRows,
    bulk,
    run_sql,
)
from state.postgres_wire import Answer, Wire
from state.statements import UPDATES
from state.transaction import transact
from state.work import Work

log = logging.getLogger(__name__)

_AGAIN = 5
"""How often a batch is carried out before a deadlock with another program counts as busy."""
_FATE_SECONDS = 10.0
SIGNS_OF_LIFE = {
    "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 10_000,
}  # fmt: skip
"""A server that is gone without a word is noticed in about ten seconds; one that takes its time is not cut off."""
_DEFAULTS = make_conninfo("connect_timeout=10 application_name=atlas", **SIGNS_OF_LIFE)
WRITABLE = {"target_session_attrs": "read-write"}
"""No standby, nor what has become one: of several hosts in a URL, it is the one that may be written to."""
_PRIMARY = "Name the primary in ATLAS_DATABASE_URL; if it is the primary, see why it is read-only (a full disk?)."
SETTINGS = {
    "lock_timeout": f"{BUSY_SECONDS:.0f}s",
    # a process that is stopped in the middle of a transaction must not stop all others
    "idle_in_transaction_session_timeout": f"{2 * LEASE_SECONDS:.0f}s",
    # every statement is by key; a plan made while a table was small must not outlive that
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
}


class _Lost(StoreUnavailable):
    """The connection broke before COMMIT was sent, or leads where nothing may be written: nothing was written, and it
    may be carried out again."""


class _Collided(StoreBusy):
    """A deadlock, or a lost race for a key: nothing was written, and it may be carried out again."""


class PostgresWriter:
    """`group_commit.Writer` and `transaction.Engine`. `changed` is called when it has committed something; others hear
    of it by a notification that carries `sender`."""

    def __init__(
        self,
        conninfo: str,
        name: str,
        sender: str,
        changed: Callable[[], None],
        *,
        now: Callable[[], float] | None,
        new_id: Callable[[], str],
    ) -> None:
        self._conninfo = conninfo
        self._name = name
        self._sender = sender
        self._changed = changed
        self._now = now
        self._new_id = new_id
        self._wire: Wire | None = None
        self._begun: Answer | None = None
        """`BEGUN` of the open transaction; comes with the first thing that is asked in it"""
        self._news = False
        self._woke = False
        self.kept = Kept()

    # --- group_commit.Writer -----------------------------------------------------------------------------------------

    def open(self) -> None:
        """Whatever answers: what can't be written to can be looked at. The first thing to be written finds out."""
        self._connect({"target_session_attrs": "any"})

    def transact(self, commands: Sequence[Command]) -> list[Outcome]:
        lost = False
        for attempt in range(_AGAIN):
            self._news = self._woke = False
            try:
                outcomes = transact(self, commands, self._new_id)
            except _Lost:
                if lost:
                    raise
                lost = True
                log.warning("the connection to %s broke, or is for reading only; connecting again", self._name)
            except _Collided:
                if attempt == _AGAIN - 1:
                    raise
            else:
                if self._news:  # who waits for changes and finds none would ask again at once
                    self._changed()
                return outcomes
        raise StoreBusy(f"{self._name}: other programs kept getting in the way", "Try again.")

    def idle(self) -> None:
        return

    def close(self) -> None:
        if self._wire:
            self._wire.connection.close()

    # --- transaction.Engine ------------------------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Generator[None]:
        wire = self._connected()
        try:
            self.kept.forget()  # rows are locked, and so known, until the end of a transaction only
            wire.later("BEGIN")
            self._begun = wire.later(BEGUN)
            yield
            number = self._begun.rows()[0][1]
        except BaseException as error:
            self._undo(wire, error)
            if failure := self.failure(error):
                raise failure from error
            raise
        self._commit(wire, number)

    @contextmanager
    def part(self) -> Generator[None]:
        wire = self._connected()
        wire.rows("SAVEPOINT part")
        try:
            yield
            wire.rows("RELEASE part")  # and what it has to write
        except BaseException:
            self.kept.forget()
            if not wire.connection.closed:
                wire.forget()
                wire.later("ROLLBACK TO part")
                wire.rows("RELEASE part")
            raise

    def rows(self, *, first: bool) -> PostgresRows:
        wire, begun = self._connected(), self._begun
        if begun is None:
            raise AssertionError("no transaction has begun")
        return PostgresRows(wire, begun, self._now() if self._now else None, first=first)

    def flush(self, work: Work) -> None:
        """Nothing is sent yet: mostly it is the last of a transaction, and leaves with COMMIT. A guarded update that
        misses a row fails in the server, and what comes after it is not carried out."""
        wire = self._connected()
        self._woke = self._woke or bool(work.wakes)
        if work.delivered:
            wire.later(DELIVERED, (delivered(work),))
        written = ((DELETE_SQL, deletes(work)), (INSERT_SQL, inserts(work)), (PUT_SQL, puts(work)))
        for statements, writes in written:
            for name, rows in writes:
                wire.later(statements[name], (bulk(rows),))
                self._news = self._news or name not in UNHEARD
        for name, rows in updates(work):
            values = bulk(rows)
            wire.later(UPDATE_SQL[name], (values, len(rows)) if UPDATES[name].guard else (values,))
            self._news = True

    def failure(self, error: BaseException) -> StoreError | None:
        return postgres_failure(self._name, error)

    # --- the connection ----------------------------------------------------------------------------------------------

    def _connected(self) -> Wire:
        if self._wire is None or self._wire.connection.closed:
            return self._connect(WRITABLE)
        return self._wire

    def _connect(self, wanted: dict[str, str]) -> Wire:
        try:
            connection = connect(self._conninfo, **wanted)
            for name, value in SETTINGS.items():
                run_sql(connection, "SELECT set_config(%s, %s, false)", (name, value))
            self._wire = Wire(connection)
        except psycopg.Error as error:
            raise unavailable(self._name, error) from error
        return self._wire

    def _undo(self, wire: Wire, cause: BaseException) -> None:
        wire.forget()
        try:
            if isinstance(cause, errors.ReadOnlySqlTransaction):
                wire.connection.close()  # what can be written to is to be found by a new one
            elif not wire.connection.closed:
                wire.rows("ROLLBACK")
        except psycopg.Error:
            wire.connection.close()  # which undoes it as well

    def _commit(self, wire: Wire, number: str) -> None:
        try:
            if self._news:
                wire.later(f"NOTIFY {CHANNEL}, '{self._sender}{' ' + QUEUED if self._woke else ''}'")
            wire.rows("COMMIT")
        except psycopg.Error as error:
            self._undo(wire, error)
            if not wire.connection.closed or isinstance(error, errors.ReadOnlySqlTransaction):
                raise self.failure(error) or error from error
            if not self._was_committed(number, error):
                raise _Lost(f"the connection to {self._name} broke: {error}", "Try again.") from error

    def _was_committed(self, number: str, lost: Exception) -> bool:
        """The server's answer to COMMIT was lost: connect again and ask what became of the transaction."""
        end = time.monotonic() + _FATE_SECONDS
        while True:
            try:
                fate = self._connected().rows(FATE, (number,))[0][0]
                if fate != "in progress":
                    return fate == "committed"
            except (psycopg.Error, StoreUnavailable):
                log.warning("the connection to %s broke in a commit; asking what became of it", self._name)
            if time.monotonic() > end:
                raise StoreUnavailable(
                    f"the connection to {self._name} broke while it committed; it is not known whether it did",
                    "Look before you repeat it.",
                ) from lost
            time.sleep(0.1)


def connect(conninfo: str, **wanted: str) -> Connection:
    """A connection that begins no transactions of its own. `wanted` counts more than what `conninfo` says."""
    return psycopg.connect(
        make_conninfo(_DEFAULTS, **{**conninfo_to_dict(conninfo), **wanted}),
        autocommit=True,
        # At once, not at the fifth time: of those psycopg does not notice that an error in a pipeline left them
        # unprepared.
        prepare_threshold=0,
    )


def unavailable(name: str, error: BaseException) -> StoreUnavailable:
    """In Atlas's words."""
    said = " ".join(str(error).split())
    hint = "Check that the server runs, and ATLAS_DATABASE_URL."
    if "read-only" in said or "hot standby" in said:
        hint = _PRIMARY
    return StoreUnavailable(f"{name}: {said}", hint)


def postgres_failure(name: str, error: BaseException) -> StoreError | None:
    """The database's own trouble in Atlas's words; None for bad data and for what does not come from PostgreSQL."""
    cause = getattr(error, "orig", None) or error
    match cause:
        case errors.DeadlockDetected() | errors.SerializationFailure():
            return _Collided(f"{name}: {cause}", "Try again.")
        case errors.QueryCanceled():
            hint = "Take `statement_timeout` away from the role, or make it longer."
            return StoreBusy(f"{name} took longer than it may: {cause}", hint)
        case errors.LockNotAvailable():
            return StoreBusy(f"{name} stayed locked by another program: {cause}", "Close that program.")
        case errors.DiskFull():
            return StoreFull(f"no room left for {name}", "Free space on its disk; nothing that was committed is lost.")
        case errors.ProgramLimitExceeded() | errors.DataError() | errors.IntegrityError():
            return None
        case errors.ReadOnlySqlTransaction():
            return _Lost(f"{name}: {cause}", _PRIMARY)
        case psycopg.OperationalError() | psycopg.InterfaceError():
            return _Lost(f"{name}: {str(cause).strip()}", "Check that the server runs.")
        case psycopg.Error():
            return unavailable(name, cause)
        case _:
            return None
