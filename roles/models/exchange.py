"""One request over HTTP: its limits of time, and its failures whatever part of the way they come from.

The SDKs hand through errors of the layers below them once an answer has begun (they are not retried there either), so
that all of those are known here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import urlsplit

from roles.models.failures import Complaint, Source, refusal, retry_after, unavailable
from roles.models.port import Request
from state.errors import ModelError, ModelRejected

if TYPE_CHECKING:
    import httpx2

_CONNECTING = 10.0
"""Seconds for a connection, within `Request.idle`."""
_LEAVING = 1.0
"""Seconds that a server is given to end an answer that is whole."""


class Events(Protocol):
    """An SDK's stream of events."""

    def __aiter__(self) -> AsyncIterator[Any]: ...

    async def close(self) -> None: ...


async def converse(
    source: Source, request: Request, opening: Callable[[], Awaitable[Events]], take: Callable[[object], bool]
) -> None:
    """Have `take` read every event until the reply is whole, which it returns. `ModelError` if that does not happen;
    cancelled or failed, the connection is closed."""
    whole = False
    try:
        async with asyncio.timeout(request.timeout) as deadline:
            events = await _opened(source, opening)
            try:
                async for event in events:
                    if take(event) and not whole:
                        whole = True
                        _advance(deadline, asyncio.get_running_loop().time() + _LEAVING)
            finally:
                await events.close()
    except TimeoutError as error:
        if not whole:
            raise unavailable(source, f"no whole reply within {request.timeout:g} s", _SLOW) from error
    except Exception as error:
        meant = _meant(source, request, error)
        if meant is error:
            raise
        if not whole:
            # What the SDKs' own errors quote is not to be seen in a traceback.
            raise meant from (None if hasattr(error, "body") else error)
    if not whole:
        raise unavailable(source, "its reply broke off, or was none")


async def _opened(source: Source, opening: Callable[[], Awaitable[Events]]) -> Events:
    try:
        return await opening()
    except (ValueError, TypeError, RecursionError) as error:
        happened = f"{source.name}: the request can't be written as JSON ({type(error).__name__})"
        raise ModelRejected(happened, "Look for numbers or nesting that JSON has not, in tools and calls.") from error


def patience(request: Request) -> httpx2.Timeout:
    """The SDK's limits for this request."""
    import httpx2

    return httpx2.Timeout(request.idle, connect=min(request.idle, _CONNECTING))


def server_of(url: object) -> str:
    """Host and port, for messages."""
    parts = urlsplit(str(url))
    with suppress(ValueError):
        return f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname or ""
    return ""


_UNBILLED = frozenset((500, 503, 529))
"""Statuses besides 400 to 499 that come instead of an answer, not after some of it was made."""
_SLOW = "It is tried again by itself; a smaller step or a faster model may help."
_REACH = "Check the network, and that the server is running."


def _advance(deadline: asyncio.Timeout, to: float) -> None:
    at = deadline.when()
    if at is not None and to < at and not deadline.expired():
        deadline.reschedule(to)


class _Answered(Protocol):
    """An SDK's error with an answer. Both makers' SDKs have them alike."""

    status_code: int
    body: object

    @property
    def response(self) -> httpx2.Response: ...


def _meant(source: Source, request: Request, error: Exception) -> Exception:
    """What an error means; itself if it is a defect of ours."""
    import httpx2

    causes = (error, error.__cause__)
    if isinstance(error, ModelError):
        return error
    if hasattr(error, "status_code") and hasattr(error, "response"):
        answered = cast(_Answered, error)
        broken = answered.status_code < 400
        status = None if broken else answered.status_code
        refused = refusal(source, request, Complaint.of(answered.body), status, retry_after(answered.response.headers))
        refused.billed = status is None or not (status in _UNBILLED or 400 <= status < 500)
        return refused
    if any(isinstance(each, (httpx2.ConnectError, httpx2.ConnectTimeout)) for each in causes):
        unreached = unavailable(source, f"{source.server} can't be reached ({_reason(error)})", _REACH)
        unreached.billed = False
        return unreached
    if any(isinstance(each, httpx2.TimeoutException) for each in causes):
        return unavailable(source, f"silent for {request.idle:g} s", _SLOW)
    if body := cast(object, getattr(error, "body", None)):
        return refusal(source, request, Complaint.of(body))
    if isinstance(error, (ValueError, RecursionError)):
        return unavailable(source, f"its answer makes no sense ({type(error).__name__})")
    if isinstance(error, _broken()) or type(error).__module__.partition(".")[0] in ("anthropic", "openai"):
        return unavailable(source, f"the connection broke off ({_reason(error)})")
    return error


def _broken() -> tuple[type[Exception], ...]:
    import anyio
    import httpx2

    return httpx2.RequestError, httpx2.StreamError, anyio.EndOfStream, anyio.BrokenResourceError, OSError


def _reason(error: Exception) -> str:
    return type(error.__cause__ or error).__name__
