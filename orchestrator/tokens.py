"""Who may use the servers: bearer tokens with a scope, and browsers that have logged in with one.

The secrets are random, so that their plain SHA-256 is as good as a slow one, and is all that is stored.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass

from orchestrator.dispatch import Dispatch
from orchestrator.views import moment
from state import access_reading
from state.access_commands import Audited, IssueToken, RevokeToken
from state.access_tables import TokenRow
from state.errors import Conflict, InputError, NotFound
from state.limits import KEY_CHARACTERS
from state.records import Provenance, Scope

PREFIX = "atl_"
"""Of every secret, so that scanners for leaked secrets know one when they see it."""
FIRST = "first"
GIVEN = "ATLAS_TOKEN"
SESSION_SECONDS = 12 * 3600.0
RANK: dict[Scope, int] = {"read": 0, "operate": 1, "admin": 2}
_REMEMBERED_SECONDS = 1.0
"""How long a token that was revoked elsewhere may still count here."""
_REMEMBERED = 10_000
_BYTES = 32


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `session` is the name of the browser's session, if it is one; `trusted`: counts as a person."""

    name: str
    scope: Scope
    trusted: bool
    session: str | None = None

    @property
    def provenance(self) -> Provenance:
        """Who counts as having written what it hands in."""
        return "person" if self.trusted else "outside"

    def may(self, scope: Scope) -> bool:
        """Whether its scope includes that one."""
        return RANK[self.scope] >= RANK[scope]


@dataclass(frozen=True, slots=True)
class TokenView:
    """What may be known of a token."""

    name: str
    scope: str
    trusted: bool
    made_at: str | None
    made_by: str
    expires_at: str | None
    revoked_at: str | None
    revoked_by: str | None


class Tokens:
    """`given` is a token that the operator has set for this process: it is not in the database, and an admin's."""

    def __init__(self, dispatch: Dispatch, given: str | None = None) -> None:
        self._dispatch = dispatch
        self._read = dispatch.store.read
        self._given = _digest(given) if given else None
        self._remembered: dict[str, tuple[Caller, float]] = {}

    @property
    def given(self) -> bool:
        """Whether the operator has set one for this process."""
        return self._given is not None

    async def check(self, secret: str) -> Caller | None:
        """Whose secret it is; None: nobody's, or it does not count any more."""
        digest = _digest(secret)
        if self._given and hmac.compare_digest(digest, self._given):
            return Caller(GIVEN, "admin", trusted=True)
        known = self._remembered.get(digest)
        if known and known[1] > time.monotonic():
            return known[0]
        row = await self._read(lambda session: access_reading.valid_token(session, digest))
        if row is None or ((row.parent or "").startswith(GIVEN) and row.parent != self._given_name):
            self._remembered.pop(digest, None)
            return None
        if len(self._remembered) >= _REMEMBERED:
            self._remembered.clear()
        caller = _caller(row)
        self._remembered[digest] = caller, time.monotonic() + _REMEMBERED_SECONDS
        return caller

    def knows(self, secret: str) -> bool:
        """Whether it counted here lately."""
        digest = _digest(secret)
        return digest == self._given or digest in self._remembered

    async def issue(self, name: str, scope: Scope, by: str, *, trusted: bool, seconds: float | None = None) -> str:
        """A new token; its secret, which can't be had again. `Conflict`: there is, or was, one of this name."""
        _check_name(name)
        if await self._read(lambda session: access_reading.token(session, name)):
            raise _taken(name)
        secret = _secret()
        command = IssueToken(name, _digest(secret), scope, trusted, by, seconds=seconds)
        await self._dispatch.apply([Audited(command, by, "token.issue", name, scope)])
        row = await self._read(lambda session: access_reading.token(session, name))
        if row is None or row.digest != command.digest:
            raise _taken(name)
        return secret

    async def first(self, by: str) -> str | None:
        """The secret of the first token, which may do everything. None: there are tokens already."""
        if await self._read(access_reading.some_token):
            return None
        for name in (FIRST, f"{FIRST} {secrets.token_hex(4)}"):  # all may have been revoked
            try:
                return await self.issue(name, "admin", by, trusted=True)
            except Conflict:
                if await self._read(access_reading.some_token):  # another server was quicker
                    return None
        return None

    async def log_in(self, secret: str) -> tuple[str, Caller] | None:
        """A browser's session, for half a day; None: the secret is nobody's, or a session's."""
        caller = await self.check(secret)
        if caller is None or caller.session:
            return None
        session, name = _secret(), f"session {secrets.token_hex(8)}"
        parent = self._given_name if caller.name == GIVEN else caller.name
        command = IssueToken(
            name, _digest(session), caller.scope, caller.trusted, caller.name, parent, SESSION_SECONDS
        )  # fmt: skip
        await self._dispatch.apply([Audited(command, caller.name, "log_in", name)])
        return session, Caller(caller.name, caller.scope, caller.trusted, name)

    async def log_out(self, caller: Caller) -> None:
        """End its session."""
        if caller.session:
            await self._revoke(caller.session, caller.name, "log_out")

    async def revoke(self, name: str, by: str) -> None:
        """It, and the sessions that were begun with it, count no more: at once here, within a second elsewhere."""
        row = await self._read(lambda session: access_reading.token(session, name))
        if row is None or row.kind != "token":
            raise NotFound(f"no token named {name!r}", "`atlas token list` lists them.")
        if row.revoked_at is None:
            await self._revoke(name, by, "token.revoke")

    async def _revoke(self, name: str, by: str, act: str) -> None:
        await self._dispatch.apply([Audited(RevokeToken(name, by), by, act, name)])
        self._remembered = {digest: (caller, 0.0) for digest, (caller, _) in self._remembered.items()}

    async def all(self) -> list[TokenView]:
        """Oldest first, those that do not count any more too."""
        return [_view(row) for row in await self._read(access_reading.tokens)]

    @property
    def _given_name(self) -> str:
        """Another token that the operator sets is another one's parent."""
        return f"{GIVEN} {(self._given or '')[:16]}"


def _secret() -> str:
    return PREFIX + secrets.token_urlsafe(_BYTES)


def _taken(name: str) -> Conflict:
    return Conflict(f"there is, or was, a token named {name!r}", "Names are for ever: choose another.")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest()


def _caller(row: TokenRow) -> Caller:
    scope: Scope = next(each for each in RANK if each == row.scope)
    if row.kind == "session":
        return Caller(row.made_by, scope, row.trusted, row.name)
    return Caller(row.name, scope, row.trusted)


def _check_name(name: str) -> None:
    if not name.strip() or not name.isprintable() or len(name) > KEY_CHARACTERS or name.startswith((GIVEN, "session ")):
        raise InputError(
            f"{name!r} can't be a token's name",
            f"Take 1 to {KEY_CHARACTERS} printable characters that say whose it is.",
        )


def _view(row: TokenRow) -> TokenView:
    return TokenView(
        row.name, row.scope, row.trusted, moment(row.made_at), row.made_by, moment(row.expires_at),
        moment(row.revoked_at), row.revoked_by,
    )  # fmt: skip
