"""Tokens, and the record of who asked for what. None of it depends on what is there."""

from __future__ import annotations

from state.access_commands import Audited, IssueToken, RevokeToken
from state.commands import Done, Outcome, Refused
from state.work import Work


def issue(work: Work, command: IssueToken) -> Done:
    """What has its name already, stays. With a new session, those that have ended are forgotten."""
    kind = "session" if command.parent else "token"
    ends = work.now + command.seconds if command.seconds is not None else None
    if command.parent:
        work.delete("ended_sessions", (kind, work.now))
    work.insert(
        "token",
        (
            command.name, kind, command.digest, command.scope, command.trusted, command.parent, work.now, command.by,
            ends,
        ),
    )  # fmt: skip
    return Done()


def revoke(work: Work, command: RevokeToken) -> Done:
    """For good: the name stays taken, so that the record means one and the same."""
    work.update("token_revoked", (work.now, command.by, command.name))
    work.update("sessions_revoked", (work.now, command.by, command.name))
    return Done()


def audit(work: Work, command: Audited, outcome: Outcome) -> None:
    """Note who asked for it, and what came of it."""
    what = outcome.code if isinstance(outcome, Refused) else "done"
    row = (work.new_id(), work.now, command.who, command.act, command.subject, what, command.detail)
    work.insert("audit", row)
