"""Who may use the HTTP API and the dashboard, and what was asked for there. No secret is stored, only its digest."""

from __future__ import annotations

# pyright: reportIncompatibleVariableOverride=false
# SQLModel declares `__tablename__` as a property of its metaclass; a plain string is its documented use.
from typing import ClassVar

from sqlalchemy import Column, Float, Index, Text
from sqlmodel import Field, SQLModel


class TokenRow(SQLModel, table=True):
    """A bearer token (`kind` ``token``), or a browser that has logged in with one (``session``, and `parent` is the
    name of that token). `digest` is the SHA-256 of the secret, in hex. `scope`: read, operate or admin. What a
    `trusted` one submits counts as a person's."""

    __tablename__: ClassVar[str] = "token"
    __table_args__ = (
        Index("token_by_digest", "digest", unique=True),
        Index("token_by_parent", "parent"),
        Index("token_by_end", "kind", "expires_at"),
    )

    name: str = Field(primary_key=True)
    kind: str
    digest: str
    scope: str
    trusted: bool
    parent: str | None = None
    made_at: float = Field(sa_type=Float)
    made_by: str
    expires_at: float | None = Field(default=None, sa_type=Float)
    revoked_at: float | None = Field(default=None, sa_type=Float)
    revoked_by: str | None = None


class AuditRow(SQLModel, table=True):
    """Who asked for what, whatever came of it: `outcome` is ``done``, or the code of the refusal. `subject` is the id
    of what it is about."""

    __tablename__: ClassVar[str] = "audit"

    id: str = Field(primary_key=True)
    at: float = Field(sa_type=Float)
    who: str
    act: str
    subject: str | None = None
    outcome: str
    detail: str = Field(sa_column=Column(Text, nullable=False))


__all__ = ["AuditRow", "TokenRow"]
