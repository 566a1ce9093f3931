"""Alembic's entry: online only, on the URL it is given."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine

from state.tables import Run

target_metadata = Run.metadata


def run() -> None:
    """Run what is asked in one transaction."""
    engine = create_engine(context.config.get_main_option("sqlalchemy.url") or "")
    try:
        with engine.begin() as connection:
            context.configure(connection=connection, target_metadata=target_metadata, render_as_batch=False)
            with context.begin_transaction():
                context.run_migrations()
    finally:
        engine.dispose()


run()
