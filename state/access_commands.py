"""What can be asked of the store about who may ask, and the record of what was asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from state.records import Scope

if TYPE_CHECKING:
    from state.commands import Command


@dataclass(slots=True)
class IssueToken:
    """A token with this name, unless there was ever one: whose it is, is seen by its `digest` afterwards (it can't be
    refused, since another server may do the same at this moment). With a `parent` (a token's name) it is a browser's
    session. It ends after `seconds`; None: when it is revoked."""

    name: str
    digest: str
    scope: Scope
    trusted: bool
    by: str
    parent: str | None = None
    seconds: float | None = None


@dataclass(slots=True)
class RevokeToken:
    """It, and the sessions that were begun with it, count no more: of those that were there before this batch. Done
    also when there is no such token."""

    name: str
    by: str


@dataclass(slots=True)
class Audited:
    """`command`, and a record of who asked for it and what came of it. `subject`: the id of what it is about."""

    command: Command
    who: str
    act: str
    subject: str | None
    detail: str = ""
