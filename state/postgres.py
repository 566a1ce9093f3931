"""The store on PostgreSQL: one writing connection, pooled readers, a listener."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, create_engine

from state.commands import Command, Outcome
from state.commit_signal import CommitSignal
from state.errors import StoreError
from state.group_commit import GroupCommit
from state.migrations import HEAD, READ_VERSION, VERSION_TABLE, check_version, driver_url, upgrade
from state.postgres_listener import PostgresListener
from state.postgres_sql import TABLES, run_sql
from state.postgres_writer import SIGNS_OF_LIFE, PostgresWriter, connect, postgres_failure, unavailable
from state.readers import READERS, Readers
from state.records import new_id

T = TypeVar("T")


class PostgresStore:
    """`state.ports.Store` on a PostgreSQL database. An empty one is made on opening; an older one has to be upgraded by
    `atlas db upgrade`, as others may be using it.

    For tests: `now` replaces the database's clock, `ids` makes the ids. Errors: `StoreError` and its kinds.
    """

    def __init__(self, url: str, *, now: Callable[[], float] | None = None, ids: Callable[[], str] = new_id) -> None:
        name, conninfo = _named(url)
        _prepare(url, conninfo, name)
        sender = new_id()
        self._signal, self._queued = CommitSignal(), CommitSignal()
        self._writer = GroupCommit(PostgresWriter(conninfo, name, sender, self._signal.grow, now=now, new_id=ids))
        self._listener = PostgresListener(conninfo, name, sender, self._signal.grow, self._queued.grow)
        self._readers = Readers(_read_engine(url), lambda error: postgres_failure(name, error))
        self._closed = False

    async def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        return await self._writer.apply(commands)

    async def read(self, query: Callable[[Session], T]) -> T:
        return await self._readers.read(query)

    async def changed(self, after: int, timeout: float) -> int:
        await self._signal.wait(after, timeout)
        return self._signal.number

    async def queued(self, after: int, timeout: float) -> int:
        await self._queued.wait(after, timeout)
        return self._queued.number

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await asyncio.get_running_loop().run_in_executor(None, self._close)

    def _close(self) -> None:
        self._writer.close()
        self._listener.close()
        self._readers.close()


def upgrade_postgres(url: str) -> str:
    """Bring it to `HEAD`, unless it is newer or another program's; its name. `StoreError`."""
    name, conninfo = _named(url)
    with _told(name):
        _revision(conninfo, name)
        upgrade(url)
    return name


def _named(url: str) -> tuple[str, str]:
    """What it is called without its password, and what libpq is told."""
    parsed = driver_url(url)
    conninfo = parsed.set(drivername="postgresql").render_as_string(hide_password=False)
    return parsed.render_as_string(hide_password=True), conninfo


@contextmanager
def _told(name: str) -> Generator[None]:
    try:
        yield
    except (psycopg.Error, SQLAlchemyError) as error:
        raise unavailable(name, error) from error


def _revision(conninfo: str, name: str) -> str | None:
    with connect(conninfo, target_session_attrs="any") as connection:
        tables = {row[0] for row in run_sql(connection, TABLES)}
        found = run_sql(connection, READ_VERSION).fetchall() if VERSION_TABLE in tables else []
    return check_version(found[0][0] if found else None, tables, name)


def _prepare(url: str, conninfo: str, name: str) -> None:
    """The version rule."""
    with _told(name):
        revision = _revision(conninfo, name)
        if revision is None:
            upgrade(url)
    if revision not in (None, HEAD):
        raise StoreError(
            f"{name} is of an older Atlas (revision {revision}, this one needs {HEAD})",
            "Stop what uses it, then run `atlas db upgrade`.",
        )


def _hosts(url: str) -> int:
    conninfo = driver_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return len(str(conninfo_to_dict(conninfo).get("host", "")).split(","))


def _read_engine(url: str) -> Engine:
    """Read-only; a session's queries see one snapshot. Connections that a restart broke are replaced unnoticed."""
    return create_engine(
        driver_url(url),
        pool_size=READERS,
        max_overflow=0,
        pool_pre_ping=True,
        isolation_level="REPEATABLE READ",
        connect_args={
            "application_name": "atlas",
            "options": "-c default_transaction_read_only=on",
            # `read-write`, which a URL may say, these are not; of several servers, a standby lags behind
            "target_session_attrs": "primary" if _hosts(url) > 1 else "any",
            **SIGNS_OF_LIFE,
        },
    )
