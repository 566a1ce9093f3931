"""Reads about tokens and the record of what was asked: functions over a session, for `Store.read`."""

from __future__ import annotations

from collections.abc import Sequence

from sqlmodel import Session, col, or_, select

from state.access_tables import AuditRow, TokenRow
from state.limits import PAGE
from state.reading import now


def valid_token(session: Session, digest: str) -> TokenRow | None:
    """The token or session whose secret has this digest, if it counts now."""
    row = session.exec(select(TokenRow).where(TokenRow.digest == digest)).first()
    if row is None or row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= now(session)):
        return None
    return row


def token(session: Session, name: str) -> TokenRow | None:
    """Of this name, whether it counts or not."""
    return session.get(TokenRow, name)


def tokens(session: Session) -> Sequence[TokenRow]:
    """All that were ever made, oldest first; without sessions."""
    order = (col(TokenRow.made_at), col(TokenRow.name))
    return session.exec(select(TokenRow).where(TokenRow.kind == "token").order_by(*order)).all()


def some_token(session: Session) -> bool:
    """Whether there is one that counts."""
    ends = or_(col(TokenRow.expires_at).is_(None), col(TokenRow.expires_at) > now(session))
    query = select(TokenRow.name).where(TokenRow.kind == "token", col(TokenRow.revoked_at).is_(None), ends)
    return session.exec(query.limit(1)).first() is not None


def audits(session: Session, limit: int = PAGE, before: str | None = None) -> Sequence[AuditRow]:
    """Newest first; `before` is the last id of the page before."""
    query = select(AuditRow).order_by(col(AuditRow.id).desc()).limit(min(limit, PAGE + 1))
    return session.exec(query.where(col(AuditRow.id) < before) if before else query).all()
