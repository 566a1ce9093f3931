"""Numbered migrations (Alembic) and the version rule: an older program refuses a newer database.

A SQLite file is upgraded when it is opened; a PostgreSQL database, which others share, only by `atlas db upgrade`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL, make_url

from state.errors import StoreTooNew, StoreUnavailable

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0005"
"""The newest revision this program knows; a test holds it against the scripts."""
VERSION_TABLE = "alembic_version"
READ_VERSION = f"SELECT version_num FROM {VERSION_TABLE}"  # noqa: S608


def is_ready(path: Path) -> bool:
    """Whether the file is at `HEAD`, in WAL mode: then who opens it need not wait for who writes."""
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=0.0)
    except sqlite3.OperationalError:  # it is not there
        return False
    try:
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        return mode == "wal" and connection.execute(READ_VERSION).fetchone() == (HEAD,)
    except sqlite3.Error:
        return False
    finally:
        connection.close()


def upgrade_sqlite(path: Path) -> None:
    """Make the file, or bring it to `HEAD`, in WAL mode. Cheap when there is nothing to do: no Alembic is imported.

    One at a time (the caller holds the turnstile): SQLite refuses at once, whatever the busy timeout, to change
    the mode of a file while another connection does the same.
    """
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA busy_timeout=60000")
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")}
        row = connection.execute(READ_VERSION).fetchone() if VERSION_TABLE in tables else None
    finally:
        connection.close()
    if check_version(row[0] if row else None, tables, str(path)) != HEAD:
        upgrade(f"sqlite:///{path}")
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA busy_timeout=60000")
        connection.execute("PRAGMA journal_mode=WAL")
    finally:
        connection.close()


def check_version(revision: str | None, tables: Collection[str], name: str) -> str | None:
    """The revision of a database with these tables, None of an empty one. `StoreTooNew` when it is ahead of this
    program, `StoreUnavailable` when it is some other program's."""
    if revision is None and not {VERSION_TABLE}.issuperset(tables):
        raise StoreUnavailable(f"{name} is a database of some other program", "Name another one.")
    if revision is not None and revision > HEAD:
        raise StoreTooNew(
            f"{name} was made by a newer Atlas (revision {revision}, this one knows {HEAD})", "Upgrade Atlas."
        )
    return revision


def driver_url(url: str) -> URL:
    """The URL with the driver that we use, whatever it says: people write postgres:// and postgresql:// too."""
    parsed = make_url(url)
    backend = parsed.drivername.partition("+")[0]
    return parsed.set(drivername="postgresql+psycopg") if backend in ("postgres", "postgresql") else parsed


def upgrade(url: str) -> None:
    """Bring the database at this SQLAlchemy URL to `HEAD`, all or nothing."""
    from alembic import command

    command.upgrade(configuration(url), "head")


def configuration(url: str) -> Config:
    """Alembic's configuration for our scripts."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    text = driver_url(url).render_as_string(hide_password=False)
    config.set_main_option("sqlalchemy.url", text.replace("%", "%%"))
    return config
