"""Who runs a service that hears or speaks, and what is told of its failures."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from pipecat.utils.errors import ErrorCategory, classify_http_exception, classify_http_status_code
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.frames import CloseCode

from state.errors import EngineUnavailable
from voice.engines.parts import Setup

NO_KEY = "none"
"""Sent where a server of one's own asks for none: without any, the makers' libraries look for one in the environment,
which would be sent there."""
_STATUS = re.compile(r"\b(?:HTTP|status|code:) (\d{3})\b")
_LONGEST = 160
"""Characters of what a server says that are passed on."""


@dataclass(frozen=True, slots=True)
class Maker:
    """`engine` as in the settings; `variable` holds the key."""

    engine: str
    variable: str

    def problem(
        self, error: Exception | None, said: str = "", category: ErrorCategory | None = None
    ) -> EngineUnavailable:
        """What somebody is told of it: never a key, little of what the server said, the same for the same cause."""
        if isinstance(error, EngineUnavailable):
            return error
        said = " ".join((said or str(error or "")).split())
        found = category_of(error, said, category)
        message, hint = self._told(found)
        if found in (ErrorCategory.UNKNOWN, ErrorCategory.INVALID_REQUEST) and said:
            message = f"{message}: {said[:_LONGEST]}"
        return EngineUnavailable(f"{self.engine} {message}", hint)

    def _told(self, category: ErrorCategory) -> tuple[str, str]:
        match category:
            case ErrorCategory.AUTHENTICATION:
                return "does not accept the key", f"Check {self.variable}."
            case ErrorCategory.AUTHORIZATION:
                return "does not allow this with the key", f"Check what the key in {self.variable} may do."
            case ErrorCategory.INVALID_REQUEST:
                return "refuses what it is asked", "Check the model and the voice in [voice] of atlas.toml."
            case ErrorCategory.RATE_LIMIT:
                return "is asked too often", "It is tried again."
            case ErrorCategory.QUOTA:
                return "has nothing left to spend", f"Check the account of the key in {self.variable}."
            case ErrorCategory.CONNECTIVITY:
                return "can't be reached", "Check the network, and [voice.urls] of atlas.toml. It is tried again."
            case ErrorCategory.SERVER:
                return "has trouble of its own", "It is tried again."
            case _:
                return "failed", "It is tried again."


def category_of(error: Exception | None, said: str = "", category: ErrorCategory | None = None) -> ErrorCategory:
    """Of an error: as Pipecat says, else by its kind, else by a status in its text, which is all that some of Pipecat's
    services pass on."""
    if category is not None and category != ErrorCategory.UNKNOWN:
        return category
    if is_refusal(error):
        return ErrorCategory.INVALID_REQUEST
    found = classify_http_exception(error) if error is not None else ErrorCategory.UNKNOWN
    if found == ErrorCategory.UNKNOWN and (status := _STATUS.search(said)):
        found = classify_http_status_code(int(status[1]))
    if found != ErrorCategory.UNKNOWN:
        return found
    named = [kind.__name__ for kind in type(error).__mro__]
    refused = isinstance(error, WebSocketException) and not isinstance(error, ConnectionClosed)
    lost = isinstance(error, OSError | TimeoutError | ConnectionClosed) or any(
        each in named for each in ("APIConnectionError", "TransportError", "ClientConnectionError")
    )
    return ErrorCategory.CONNECTIVITY if lost or refused else ErrorCategory.UNKNOWN


def is_refusal(error: Exception | None) -> bool:
    """Whether a connection was closed because of what was asked: it is no use to ask again."""
    return (
        isinstance(error, ConnectionClosed) and error.rcvd is not None and error.rcvd.code == CloseCode.POLICY_VIOLATION
    )


def key_of(setup: Setup, maker: Maker, *, asked_by_others: bool = True) -> str:
    """The key; `NO_KEY` for a server of one's own that needs none. `EngineUnavailable`."""
    try:
        return setup.key(maker.variable)
    except EngineUnavailable:
        if setup.url is None or asked_by_others:
            raise
        return NO_KEY


def address(setup: Setup, otherwise: str, *, web_socket: bool = False) -> str:
    """Where the server is: of the settings, or `otherwise`. Without a slash at its end. `EngineUnavailable`: it is no
    address of such a server."""
    if setup.url is None:
        return otherwise
    try:
        parts = urlsplit(setup.url)
        known = parts.scheme in ("http", "https", "ws", "wss") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
        parts = urlsplit("")
    if not known:
        raise EngineUnavailable(
            f"what [voice.urls] has for {setup.engine} is no address of a server",  # it may have a password in it
            f"Write it as http:// or https:// in [voice.urls] of atlas.toml, or leave {setup.engine} out there.",
        )
    safe = parts.scheme in ("https", "wss")
    scheme = ("wss" if safe else "ws") if web_socket else ("https" if safe else "http")
    return parts._replace(scheme=scheme).geturl().rstrip("/")
