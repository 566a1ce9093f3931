"""What a TODO asks of its worker, since when it waits for one, and what a worker has."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def _index_of_next(where: str) -> None:
    op.create_index(
        "todo_next", "todo", [sa.text("priority DESC"), "id"], sqlite_where=sa.text(where),
        postgresql_where=sa.text(where),
    )  # fmt: skip


def upgrade() -> None:
    op.add_column("todo", sa.Column("cpus", sa.Float(), nullable=True))
    op.add_column("todo", sa.Column("memory", sa.BigInteger(), nullable=True))
    op.add_column("todo", sa.Column("ready_at", sa.Float(), nullable=True))
    op.add_column("worker", sa.Column("cpus", sa.Float(), nullable=True))
    op.add_column("worker", sa.Column("memory", sa.BigInteger(), nullable=True))
    op.drop_index("todo_next", table_name="todo")
    _index_of_next("state = 'ready' AND fence >= 0")
    op.execute(
        "UPDATE todo SET ready_at = (SELECT run.updated_at FROM run WHERE run.id = todo.run_id) WHERE state = 'ready'"
    )


def downgrade() -> None:
    op.drop_index("todo_next", table_name="todo")
    _index_of_next("state = 'ready'")
    op.drop_column("worker", "memory")
    op.drop_column("worker", "cpus")
    op.drop_column("todo", "ready_at")
    op.drop_column("todo", "memory")
    op.drop_column("todo", "cpus")
