"""The migration scripts make exactly the tables that the code describes, all or nothing, and know their order."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, text

from state.errors import StoreError, StoreTooNew, StoreUnavailable
from state.migrations import HEAD, configuration, upgrade, upgrade_sqlite
from state.sqlite import SqliteStore
from state.tables import Run
from tests.services.postgres import statement

ROOT = Path(__file__).resolve().parents[2]


def _sqlite(path: Path) -> dict[str, tuple[list[str], set[str]]]:
    """table -> (columns as they are declared, indexes)"""
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT type, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    connection.close()
    found: dict[str, tuple[list[str], set[str]]] = {}
    for kind, table, sql in sorted(rows, key=lambda row: row[0] != "table"):
        words = " ".join(sql.replace(" \n", "\n").split())
        if kind == "table":
            body = words.partition("(")[2].rpartition(")")
            found[table] = (sorted([*body[0].replace("( ", "(").split(", "), body[2]]), set())
        else:
            found[table][1].add(words)
    found.pop("alembic_version", None)
    return found


def test_sqlite_tables_are_those_of_the_code(tmp_path: Path) -> None:
    upgrade_sqlite(tmp_path / "migrated.db")
    engine = create_engine(f"sqlite:///{tmp_path / 'created.db'}")
    Run.metadata.create_all(engine)
    engine.dispose()
    migrated, created = _sqlite(tmp_path / "migrated.db"), _sqlite(tmp_path / "created.db")
    assert migrated.keys() == created.keys()
    for table, description in created.items():
        assert migrated[table] == description, table


def _postgres(engine: Engine) -> dict[str, list[tuple[object, ...]]]:
    queries = {
        "columns": "SELECT table_name, column_name, data_type, is_nullable, column_default"
        " FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'",
        "indexes": "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'",
        "constraints": "SELECT conrelid::regclass::text, contype::text, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version'",
    }
    with engine.connect() as connection:
        return {name: sorted(map(tuple, connection.execute(text(sql)))) for name, sql in queries.items()}


@pytest.mark.postgres
def test_postgresql_tables_are_those_of_the_code(postgres_database: str, postgres_empty: str) -> None:
    migrated, created = create_engine(postgres_database), create_engine(postgres_empty)
    Run.metadata.create_all(created)
    expected = _postgres(created)
    assert expected["columns"]
    assert _postgres(migrated) == expected
    for engine in (migrated, created):
        engine.dispose()


def test_the_program_knows_the_newest_revision() -> None:
    scripts = ScriptDirectory.from_config(configuration("sqlite://"))
    assert scripts.get_heads() == [HEAD]
    revisions = [script.revision for script in scripts.walk_revisions()]
    assert revisions == sorted(revisions, reverse=True), "versions are compared as text"


def test_sqlite_goes_down_and_up_again(tmp_path: Path) -> None:
    path = tmp_path / "atlas.db"
    upgrade_sqlite(path)
    before = _sqlite(path)
    command.downgrade(configuration(f"sqlite:///{path}"), "base")
    assert _sqlite(path) == {}
    upgrade_sqlite(path)
    assert _sqlite(path) == before


@pytest.mark.postgres
def test_postgresql_goes_down_and_up_again(postgres_database: str) -> None:
    engine = create_engine(postgres_database)
    before = _postgres(engine)
    command.downgrade(configuration(postgres_database), "base")
    assert _postgres(engine)["columns"] == []
    upgrade(postgres_database)
    assert _postgres(engine) == before
    engine.dispose()


# --- the version rule ------------------------------------------------------------------------------------------------


async def test_a_newer_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "atlas.db"
    upgrade_sqlite(path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreTooNew, match="9999"):
        SqliteStore(path)
    assert path.read_bytes() == before


async def test_a_file_of_some_other_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "music.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE song (id)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreUnavailable, match="other program"):
        SqliteStore(path)
    assert path.read_bytes() == before


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("revision", "kind", "words"),
    [("9999", StoreTooNew, "newer Atlas"), ("0000", StoreError, "atlas db upgrade")],
)
async def test_postgresql_is_never_upgraded_unasked(
    postgres_database: str, revision: str, kind: type[StoreError], words: str
) -> None:
    from state.postgres import PostgresStore

    statement(postgres_database, f"UPDATE alembic_version SET version_num = '{revision}'")  # noqa: S608
    with pytest.raises(kind, match=words):
        PostgresStore(postgres_database)


@pytest.mark.postgres
async def test_a_postgresql_database_of_some_other_program_is_left_alone(postgres_empty: str) -> None:
    from state.postgres import PostgresStore

    statement(postgres_empty, "CREATE TABLE song (id int)")
    with pytest.raises(StoreUnavailable, match="other program"):
        PostgresStore(postgres_empty)


@pytest.mark.postgres
@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
async def test_any_way_to_write_the_url(postgres_empty: str, scheme: str) -> None:
    from state.postgres import PostgresStore

    url = postgres_empty.replace("postgresql+psycopg", scheme)
    upgrade(url)
    await PostgresStore(url).close()


# --- starting at once, and dying half-way ----------------------------------------------------------------------------

OPEN_SQLITE = """
import asyncio, sys
from pathlib import Path
from state.sqlite import SqliteStore

asyncio.run(SqliteStore(Path(sys.argv[1])).close())
"""
OPEN_POSTGRES = """
import asyncio, sys
from state.postgres import PostgresStore

asyncio.run(PostgresStore(sys.argv[1]).close())
"""


def _at_once(program: str, database: str) -> None:
    argv = [sys.executable, "-P", "-c", program, database]
    processes = [subprocess.Popen(argv, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}) for _ in range(4)]
    assert [process.wait() for process in processes] == [0] * 4


def test_four_processes_may_make_a_file_at_once(tmp_path: Path) -> None:
    _at_once(OPEN_SQLITE, str(tmp_path / "atlas.db"))
    assert _sqlite(tmp_path / "atlas.db")


@pytest.mark.postgres
def test_four_processes_may_make_a_database_at_once(postgres_empty: str) -> None:
    _at_once(OPEN_POSTGRES, postgres_empty)


DIE = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import event
from sqlalchemy.engine import Engine
from state.migrations import upgrade_sqlite

@event.listens_for(Engine, "after_cursor_execute")
def after(_connection, _cursor, statement, *_others):
    if "CREATE TABLE question" in statement:
        os.kill(os.getpid(), signal.SIGKILL)

upgrade_sqlite(Path(sys.argv[1]))
"""


def test_a_crash_in_the_middle_leaves_no_half_of_a_schema(tmp_path: Path) -> None:
    path = tmp_path / "atlas.db"
    argv = [sys.executable, "-P", "-c", DIE, str(path)]
    assert subprocess.run(argv, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, check=False).returncode == -signal.SIGKILL
    shutil.copy(path, tmp_path / "evidence.db")
    upgrade_sqlite(path)
    upgrade_sqlite(tmp_path / "whole.db")
    assert _sqlite(path) == _sqlite(tmp_path / "whole.db")
