"""What workers on several hosts need: leases beside PostgreSQL."""

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


def downgrade() -> None:
    op.drop_table("lease")
