"""Who may come in: everything needs a bearer token or a browser's session, but for what is open to all.

A session's cookie is sent by browsers on their own, so what changes anything must also come from a page of this very
server, and so must WebSockets, which nothing else keeps pages of others from opening. (Ports do not keep cookies apart:
pages of other servers on this host are told by their Origin.)
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from orchestrator.http.problems import of_error, problem
from orchestrator.tokens import Caller, Tokens
from state.errors import AtlasError

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

COOKIE = "atlas_session"
OPEN = frozenset(("/", "/voice", "/healthz", "/readyz", "/favicon.ico", "/openapi.json", "/api/session"))
"""Log-in among them, which looks at secrets itself."""
OPEN_BELOW = ("/static/", "/voice/static/")
METRICS = "/metrics"
MCP = "/mcp"
"""Its tools look at scopes themselves."""
VOICE = "/voice/"
"""Whoever may look may listen; what a conversation may change, it looks at itself."""
STILL = "still"
"""In a request's state: an asynchronous function that says whether its secret counts yet, for what takes long."""
_ADMIN = ("/api/tokens", "/api/audit")
_SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
_SOCKET = "WEBSOCKET"
_FAILURES, _WINDOW_SECONDS = 20, 60.0
_ADDRESSES = 10_000
_LOOPBACK = ("127.", "::1")


@dataclass(slots=True)
class Failures:
    """Wrong secrets by address: `_FAILURES` in `_WINDOW_SECONDS`, then none but known ones is looked at until those are
    over."""

    seen: dict[str, tuple[int, float]] = field(default_factory=dict[str, tuple[int, float]])

    def wait(self, address: str) -> int:
        """Seconds until this address may try again; 0: it may."""
        count, since = self.seen.get(address, (0, 0.0))
        left = since + _WINDOW_SECONDS - time.monotonic()
        return int(left) + 1 if count >= _FAILURES and left > 0 else 0

    def note(self, address: str) -> None:
        """One more."""
        count, since = self.seen.get(address, (0, 0.0))
        now = time.monotonic()
        if now - since >= _WINDOW_SECONDS:
            count, since = 0, now
            if len(self.seen) >= _ADDRESSES:
                self.seen.clear()
        self.seen[address] = count + 1, since


@dataclass(frozen=True, slots=True)
class Access:
    """Lets through to `app` who may come in, with the `Caller` in the request's state."""

    app: ASGIApp
    tokens: Tokens
    failures: Failures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] in ("http", "websocket"):
            headers = _headers(scope)
            try:
                caller = await self._caller(scope, headers)
            except AtlasError as error:
                await of_error(error)(scope, receive, send)
                return
            refused = self._refusal(scope, headers, caller)
            if refused is not None:
                await refused(scope, receive, send)
                return
            secret = _bearer(headers) or _cookie(headers)
            scope["state"] = {**scope.get("state", {}), "caller": caller, STILL: lambda: self._counts(secret)}
        await self.app(scope, receive, send)

    async def _counts(self, secret: str | None) -> bool:
        return secret is not None and await self.tokens.check(secret) is not None

    async def _caller(self, scope: Scope, headers: Mapping[str, str]) -> Caller | None:
        secret = _bearer(headers) or _cookie(headers)
        if not secret or (_is_open(scope["path"]) and scope["path"] != "/api/session"):
            return None
        address = address_of(scope)
        if self.failures.wait(address) and not self.tokens.knows(secret):
            return None  # others at the same address go on
        caller = await self.tokens.check(secret)
        if caller is None and _bearer(headers):
            self.failures.note(address)
        return caller

    def _refusal(self, scope: Scope, headers: Mapping[str, str], caller: Caller | None) -> Response | None:
        path, method = scope["path"], scope.get("method", _SOCKET)
        if method == _SOCKET and not path.startswith(VOICE):
            return problem(404, "not_found", "no WebSocket is spoken here")
        if caller and caller.session and method not in _SAFE and not _same_origin(headers):
            return problem(403, "forbidden", "a browser's session counts for pages of this server only")
        if _is_open(path) or (path == METRICS and address_of(scope).startswith(_LOOPBACK)):
            return None
        if caller is None:
            if seconds := self.failures.wait(address_of(scope)):
                return too_many(seconds)
            hint = "Send Authorization: Bearer TOKEN. `atlas token new NAME` makes one."
            detail = "this token does not count" if _bearer(headers) else "a token is needed"
            return problem(401, "unauthorized", detail, hint, {"WWW-Authenticate": 'Bearer realm="atlas"'})
        looks = method in _SAFE or path == MCP or path.startswith(VOICE)
        wanted = "admin" if path.startswith(_ADMIN) else "read" if looks else "operate"
        if not caller.may(wanted):
            detail = f"{caller.name} may {caller.scope}; this needs a token that may {wanted}"
            return problem(403, "forbidden", detail, f"`atlas token new NAME --scope {wanted}` makes one.")
        return None


def too_many(seconds: int) -> Response:
    """What an address hears that has sent too many wrong secrets."""
    return problem(
        429, "too_many_requests", "too many wrong tokens from this address", f"Try again in {seconds} s.",
        {"Retry-After": str(seconds)},
    )  # fmt: skip


def address_of(scope: Scope) -> str:
    """The client's, as far as the server knows."""
    client = scope.get("client")
    return client[0] if client else "127.0.0.1"  # a Unix socket


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _is_open(path: str) -> bool:
    return path in OPEN or path.startswith(OPEN_BELOW)


def _bearer(headers: Mapping[str, str]) -> str | None:
    scheme, _, secret = headers.get("authorization", "").partition(" ")
    return secret.strip() or None if scheme.lower() == "bearer" else None


def _cookie(headers: Mapping[str, str]) -> str | None:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return found.value if found else None


def _same_origin(headers: Mapping[str, str]) -> bool:
    origin = headers.get("origin")
    if origin is None:  # every browser sends it with what is not GET or HEAD
        return headers.get("sec-fetch-site") == "same-origin"
    return urlsplit(origin).netloc == headers.get("host")
