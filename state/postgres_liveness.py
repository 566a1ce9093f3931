"""Who is alive, for workers on any number of hosts: a session of their own with the database server (design §4).

The session holds an advisory lock, which the server frees as soon as the connection is gone: that is how a death is
seen within milliseconds. What it can't see (a host that lost its power or its network, a process that is stopped) ends
with the lease, a row. A server that was restarted, or recovered from the death of one of its processes, has freed
everybody's lock: a lock that was taken before that tells nothing, and the lease alone counts until it is taken again.
All times are the server's.

The session must be a real one: no pooler in between that shares connections between transactions.
"""

from __future__ import annotations

import secrets
import select
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import cast

import psycopg
from psycopg.conninfo import make_conninfo
from sqlalchemy import text
from sqlmodel import Session

from state.errors import StoreUnavailable
from state.failpoints import failpoint
from state.limits import LEASE_SECONDS
from state.migrations import driver_url
from state.ports import Store, Verdict
from state.postgres_sql import Connection, run_sql
from state.postgres_writer import WRITABLE, connect
from state.records import new_id

_FORGOTTEN_SECONDS = 24 * 3600.0
_SETTINGS = {
    "application_name": "atlas liveness", "connect_timeout": 4, "keepalives_idle": 5, "keepalives_interval": 2,
    "keepalives_count": 3, "tcp_user_timeout": 6_000,
}  # fmt: skip
"""What gets no answer ends before a lease does."""
_SINCE = """
extract(epoch from greatest(pg_postmaster_start_time(), (SELECT stats_reset FROM pg_stat_bgwriter)))::float8
"""
"""When sessions were last ended all at once: at the server's start, or at a recovery without one, after a process of
the server had been killed. Such a recovery throws away the server's statistics, which is all that tells of it."""
_TAKE = f"""
INSERT INTO lease (boot, lock, until, server)
VALUES (%(boot)s, %(lock)s, extract(epoch from clock_timestamp()) + %(lease)s, {_SINCE})
ON CONFLICT (boot) DO UPDATE SET lock = excluded.lock, until = excluded.until, server = excluded.server
RETURNING pg_backend_pid()
"""  # noqa: S608 - our own text
_TIDY = "DELETE FROM lease WHERE until < extract(epoch from clock_timestamp()) - %s"
_LOOK = f"""
SELECT lease.boot,
       lease.until > extract(epoch from clock_timestamp()) AS lasting,
       lease.server = {_SINCE} AS same,
       EXISTS (
         SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
         AND (classid::bigint << 32 | objid::bigint) = lease.lock
       ) AS held
FROM lease WHERE lease.boot = ANY(:boots)
"""  # noqa: S608


class PostgresLiveness:
    """`state.ports.Liveness` on a PostgreSQL database, whose tables are there. Making one is being alive.

    `StoreUnavailable` when it can't be.
    """

    def __init__(self, url: str, *, lease: float = LEASE_SECONDS) -> None:
        parsed = driver_url(url)
        self._name = parsed.render_as_string(hide_password=True)
        self._conninfo = make_conninfo(
            parsed.set(drivername="postgresql").render_as_string(hide_password=False), **_SETTINGS
        )
        self._lease = lease
        self._boot = new_id()
        self._until = 0.0
        self._lock = self._session = 0
        self._connection: Connection | None = None
        self.renew()

    @property
    def boot(self) -> str:
        return self._boot

    def renew(self) -> bool:
        now = time.monotonic()
        try:
            self._renew()
        except psycopg.Error as first:
            self._hang_up()
            try:
                self._renew()
            except psycopg.Error as error:
                self._hang_up()
                said = " ".join(str(error).split())
                raise StoreUnavailable(f"{self._name} does not renew the lease: {said}", "Try again.") from first
        held = now < self._until or self._until == 0.0
        self._until = now + self._lease
        return held

    def intact(self) -> bool:
        if self._connection is None or self._connection.closed:
            return False
        with suppress(OSError, ValueError):
            # It is asked nothing now, so that the server has nothing to say but that it is over.
            asking = select.poll()  # `select` takes no descriptor over 1,023
            asking.register(self._connection.fileno(), select.POLLIN)
            return not asking.poll(0)
        return False

    def close(self) -> None:
        with suppress(psycopg.Error):
            if self._connection and not self._connection.closed:
                run_sql(self._connection, "DELETE FROM lease WHERE boot = %s", (self._boot,))
        self._hang_up()

    def _renew(self) -> None:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._conninfo, **WRITABLE)
            # Another one each time: the server may not know yet that the connection before is gone. It is taken before
            # the lease says so.
            self._lock = secrets.randbits(63)
            ((_, self._session),) = run_sql(
                self._connection, "SELECT pg_advisory_lock(%s), pg_backend_pid()", (self._lock,)
            )
            failpoint("liveness.locked")
            run_sql(self._connection, _TIDY, (_FORGOTTEN_SECONDS,))
        taken = {"boot": self._boot, "lock": self._lock, "lease": self._lease}
        ((session,),) = run_sql(self._connection, _TAKE, taken)
        if session != self._session:  # the lock may be gone any time, and others would take us for dead
            self._hang_up()
            raise StoreUnavailable(
                f"{self._name}: something in between shares the server's sessions between transactions (PgBouncer?)",
                "Name the server itself in ATLAS_DATABASE_URL, or a pooler in session mode.",
            )

    def _hang_up(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None


class PostgresCensus:
    """`state.ports.Census` on the same database, through the store's readers."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def verdicts(self, boots: Collection[str]) -> Mapping[str, Verdict]:
        if not boots:
            return {}
        found = await self._store.read(lambda session: _looked(session, boots))
        return {boot: found.get(boot, "dead") for boot in boots}

    async def forget(self, boots: Collection[str]) -> None:
        """Their rows go when they are a day old: until then they do no harm."""


def _looked(session: Session, boots: Collection[str]) -> dict[str, Verdict]:
    rows = session.connection().execute(text(_LOOK), {"boots": list(boots)}).all()
    return {cast(str, row.boot): _verdict(lasting=row.lasting, same=row.same, held=row.held) for row in rows}


def _verdict(*, lasting: bool, same: bool, held: bool) -> Verdict:
    if not held and same:
        return "dead"
    return "alive" if lasting else "expired"
