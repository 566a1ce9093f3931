"""What workers on several hosts need: leases beside PostgreSQL, and what other programs submit counts once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "lease",
        sa.Column("boot", sa.String(), nullable=False),
        sa.Column("lock", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.Float(), nullable=False),
        sa.Column("server", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("boot"),
    )
    op.create_table(
        "submission",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"]),
        sa.PrimaryKeyConstraint("key"),
    )


def downgrade() -> None:
    op.drop_table("submission")
    op.drop_table("lease")
