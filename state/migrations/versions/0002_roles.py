"""What roles need: conversations, calls, checkpoints, notes, budgets; the head of a run; lanes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "agent",
        sa.Column("todo_id", sa.String(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("continuations", sa.Integer(), nullable=False),
        sa.Column("fruitless", sa.Integer(), nullable=False),
        sa.Column("credit", sa.Integer(), nullable=False),
        sa.Column("consultations", sa.Integer(), nullable=False),
        sa.Column("errors", sa.Integer(), nullable=False),
        sa.Column("turns", sa.Integer(), nullable=False),
        sa.Column("tool_calls", sa.Integer(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("checklist", sa.Text(), nullable=True),
        sa.Column("base", sa.String(), nullable=True),
        sa.Column("snapshot", sa.String(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("todo_id", "epoch", "attempt"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "budget",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("tokens_limit", sa.BigInteger(), nullable=True),
        sa.Column("nano_limit", sa.BigInteger(), nullable=True),
        sa.Column("seconds_limit", sa.Float(), nullable=True),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("cached", sa.BigInteger(), nullable=False),
        sa.Column("nano", sa.BigInteger(), nullable=False),
        sa.Column("tokens_held", sa.BigInteger(), nullable=False),
        sa.Column("nano_held", sa.BigInteger(), nullable=False),
        sa.Column("tokens_withheld", sa.BigInteger(), nullable=False),
        sa.Column("nano_withheld", sa.BigInteger(), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("warned", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("run_id"),
    )
    op.create_table(
        "checkpoint",
        sa.Column("thread", sa.String(), nullable=False),
        sa.Column("ns", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("parent", sa.String(), nullable=True),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("meta", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("thread", "ns", "id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "checkpoint_write",
        sa.Column("thread", sa.String(), nullable=False),
        sa.Column("ns", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("task", sa.String(), nullable=False),
        sa.Column("idx", sa.Integer(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("thread", "ns", "id", "task", "idx"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "commit_pack",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("oid", sa.String(), nullable=False),
        sa.Column("base", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "oid", "base"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "message",
        sa.Column("todo_id", sa.String(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("talk", sa.Integer(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("speaker", sa.String(), nullable=False),
        sa.Column("blocks", sa.Text(), nullable=False),
        sa.Column("stop", sa.String(), nullable=True),
        sa.Column("call_id", sa.String(), nullable=True),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("todo_id", "epoch", "attempt", "talk", "seq"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "model_call",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("todo_id", sa.String(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reserved_tokens", sa.BigInteger(), nullable=False),
        sa.Column("reserved_nano", sa.BigInteger(), nullable=False),
        sa.Column("input", sa.BigInteger(), nullable=False),
        sa.Column("cached", sa.BigInteger(), nullable=False),
        sa.Column("written", sa.BigInteger(), nullable=False),
        sa.Column("output", sa.BigInteger(), nullable=False),
        sa.Column("nano", sa.BigInteger(), nullable=False),
        sa.Column("estimated", sa.Boolean(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("ended_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("model_call_of_run", "model_call", ["run_id"], unique=False)
    op.create_index(
        "model_call_open",
        "model_call",
        ["todo_id"],
        unique=False,
        sqlite_where=sa.text("state = 'reserved'"),
        postgresql_where=sa.text("state = 'reserved'"),
    )
    op.create_table(
        "note",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("todo_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("note_of_run", "note", ["run_id"], unique=False)
    op.create_table(
        "tool_call",
        sa.Column("todo_id", sa.String(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("talk", sa.Integer(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("call", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("arguments", sa.Text(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("digest", sa.String(), nullable=True),
        sa.Column("snapshot", sa.String(), nullable=True),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("todo_id", "epoch", "attempt", "talk", "seq", "number"),
        sqlite_with_rowid=False,
    )
    op.add_column("question", sa.Column("key", sa.String(), nullable=True))
    op.add_column("run", sa.Column("head", sa.String(), nullable=True))
    op.add_column("run", sa.Column("planning", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("run", sa.Column("worked", sa.Float(), nullable=False, server_default="0"))
    op.add_column("run", sa.Column("since", sa.Float(), nullable=True))
    op.execute("UPDATE run SET since = updated_at WHERE state = 'in_progress'")
    op.add_column("todo", sa.Column("lane", sa.String(), nullable=True))
    op.create_index(
        "todo_lane",
        "todo",
        ["run_id", "lane"],
        unique=False,
        sqlite_where=sa.text("lane IS NOT NULL AND owner IS NOT NULL"),
        postgresql_where=sa.text("lane IS NOT NULL AND owner IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("todo_lane", table_name="todo")
    for table, column in (
        ("todo", "lane"),
        ("run", "head"),
        ("run", "planning"),
        ("run", "worked"),
        ("run", "since"),
        ("question", "key"),
    ):
        op.drop_column(table, column)
    for table in (
        "tool_call", "note", "model_call", "message", "commit_pack", "checkpoint_write", "checkpoint", "budget", "agent",
    ):  # fmt: skip
        op.drop_table(table)
