"""Databases that can't be used, told in words."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import make_url

from orchestrator.cli.persistence import opened, upgrade_database
from state.errors import InputError, StoreError, StoreUnavailable
from tests.services.ports import free_port
from tests.services.postgres import statement


@pytest.mark.postgres
def test_a_database_without_an_encoding_is_refused_in_words(postgres_server: str) -> None:
    name = f"atlas_test_{uuid.uuid4().hex}"
    statement(postgres_server, f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    try:
        url = make_url(postgres_server).set(database=name).render_as_string(hide_password=False)
        for use in (opened, upgrade_database):
            with pytest.raises(InputError, match="the encoding of the database is SQL_ASCII, and has to be UTF8"):
                use(url)
    finally:
        statement(postgres_server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _newer(path: Path) -> str:
    upgrade_database(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    return "newer Atlas"


def _others(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE song (name TEXT)")
    return "some other program"


@pytest.mark.parametrize("make", [_newer, _others])
def test_no_upgrade_of_what_is_newer_or_somebody_elses(tmp_path: Path, make: Callable[[Path], str]) -> None:
    path = tmp_path / "a.db"
    words = make(path)

    def tables() -> list[tuple[str]]:
        with closing(sqlite3.connect(path)) as connection:
            return connection.execute("SELECT name FROM sqlite_master").fetchall()

    before = tables()
    with pytest.raises(StoreError, match=words):
        upgrade_database(f"sqlite:///{path}")
    assert tables() == before


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE alembic_version SET version_num = '9999'", "newer Atlas"),
        ("DROP TABLE alembic_version", "other program"),
    ],
)
def test_no_upgrade_of_a_server_that_is_newer_or_somebody_elses(
    postgres_database: str, change: str, words: str
) -> None:
    statement(postgres_database, change)
    with pytest.raises(StoreError, match=words):
        upgrade_database(postgres_database)


def test_an_upgrade_of_a_server_that_is_away_is_told_in_words() -> None:
    with pytest.raises(StoreUnavailable, match=r"atlas:\*\*\*@127.0.0.1"):
        upgrade_database(f"postgresql://atlas:secret@127.0.0.1:{free_port()}/atlas")
