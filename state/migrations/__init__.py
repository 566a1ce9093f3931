"""Numbered migrations (Alembic) and the version rule: an older program refuses a newer database."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from state.errors import StoreTooNew, StoreUnavailable

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0001"
"""The newest revision this program knows; a test holds it against the scripts."""


def upgrade_sqlite(path: Path) -> None:
    """Make the file, or bring it to `HEAD`. Cheap when there is nothing to do: Alembic is not even imported."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA busy_timeout=60000")
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")}
        current = None
        if "alembic_version" in tables:
            current = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        elif tables:
            raise StoreUnavailable(f"{path} is a database of some other program", "Name another file.")
    finally:
        connection.close()
    check_version(current[0] if current else None, str(path))
    if current is None or current[0] != HEAD:
        upgrade(f"sqlite:///{path}")


def check_version(current: str | None, name: str) -> None:
    """`StoreTooNew` when the database is ahead of this program."""
    if current is not None and current > HEAD:
        raise StoreTooNew(
            f"{name} was made by a newer Atlas (revision {current}, this one knows {HEAD})", "Upgrade Atlas."
        )


def upgrade(url: str) -> None:
    """Bring the database at this SQLAlchemy URL to `HEAD`."""
    from alembic import command

    command.upgrade(configuration(url), "head")


def configuration(url: str) -> Config:
    """Alembic's configuration for our scripts."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config
