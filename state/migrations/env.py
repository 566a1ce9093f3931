"""Alembic's entry: online only, on the URL it is given, in one transaction on both engines."""

from __future__ import annotations

import sqlite3

from alembic import context
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text

import state.access_tables  # pyright: ignore[reportUnusedImport]  its tables join the same metadata
import state.agent_tables  # noqa: F401  # pyright: ignore[reportUnusedImport]  its tables join the same metadata
from state.tables import Run

target_metadata = Run.metadata
_LOCK = 4_207_849_484
"""Of PostgreSQL's advisory locks, the one that upgrades take: two programs may start at once on an empty database."""


def _driver_begins_nothing(connection: sqlite3.Connection, _record: object) -> None:
    """Python's driver would commit before every CREATE TABLE, and a crash leave half of a schema."""
    connection.isolation_level = None


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _engine() -> Engine:
    url = make_url(context.config.get_main_option("sqlalchemy.url") or "")
    wanted = {"target_session_attrs": "read-write"} if url.get_backend_name() == "postgresql" else {}
    engine = create_engine(url, connect_args=wanted)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _driver_begins_nothing)
        event.listen(engine, "begin", _begin)
    return engine


def run() -> None:
    """Run what is asked."""
    engine = _engine()
    try:
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            context.configure(connection=connection, target_metadata=target_metadata, transactional_ddl=True)
            with context.begin_transaction():
                context.run_migrations()
    finally:
        engine.dispose()


run()
