"""Server-sent events: what happens, as it happens, to any number of readers.

A reader who does not read is cut off: the connection's buffer (64 KiB and one write) is all that it can hold up. It
comes again with ``Last-Event-ID``, and has missed nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Protocol

from starlette.responses import Response

from orchestrator.http.access import STILL
from orchestrator.tasks import ended
from state.errors import StoreError

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

log = logging.getLogger(__name__)

MEDIA_TYPE = "text/event-stream"
HEARTBEAT_SECONDS = 15.0
STALLED_SECONDS = 30.0
WRITE_BYTES = 64 << 10
ABORT = "abort"
"""In a request's state: what ends its connection at once, if the server has that."""
_AWAY_SECONDS = 1.0
_HEARTBEAT = b": still here\n\n"
_RETRY = b"retry: 1000\n\n"
"""Browsers come again after a second."""


class Source(Protocol):
    """Where events come from."""

    async def next(self) -> Sequence[bytes] | None:
        """The next events, once there are some; None: there will be no more. Nothing is lost when it is cancelled, or
        raises `StoreError`: it is asked again."""
        ...


class Streams:
    """All event streams of this server, which end when it does. `stalled`: seconds that a reader may leave its buffer
    full."""

    def __init__(self, stalled: float = STALLED_SECONDS) -> None:
        self.stalled = stalled
        self._sending: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def open(self) -> int:
        """How many there are."""
        return len(self._sending)

    def close(self) -> None:
        """End them all, in good order."""
        self._closed = True
        for task in self._sending:
            task.cancel()

    async def carry(self, sending: asyncio.Task[None], receive: Receive) -> bool:
        """Until it has ended, the reader is gone, or `close`. Whether the reader may still be there."""
        gone = asyncio.create_task(_gone(receive))
        self._sending.add(sending)
        try:
            if not self._closed:
                await asyncio.wait([sending, gone], return_when=asyncio.FIRST_COMPLETED)
            return not gone.done()
        finally:
            self._sending.discard(sending)
            await ended(gone, sending)


class EventStream(Response):
    """What `opening` gives, event by event."""

    media_type = MEDIA_TYPE

    def __init__(self, opening: AbstractAsyncContextManager[Source], streams: Streams) -> None:
        super().__init__()
        self._opening = opening
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        headers = [
            (b"content-type", MEDIA_TYPE.encode()), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no"),
        ]  # fmt: skip
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async with self._opening as source:
            still = scope.get("state", {}).get(STILL)
            sending = asyncio.create_task(_send_all(source, send, self._streams.stalled, still))
            there = await self._streams.carry(sending, receive)
        if not sending.cancelled() and (error := sending.exception()):
            if not isinstance(error, TimeoutError):
                raise error
            log.info("a reader of events did not read for %g s and was cut off", self._streams.stalled)
            if abort := scope.get("state", {}).get(ABORT):
                abort()
            await _gone(receive)
        elif there:
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _send_all(
    source: Source, send: Send, stalled: float, still: Callable[[], Awaitable[bool]] | None = None
) -> None:
    """Until there is no more, or the reader's secret does not count any more (`still`)."""
    await _sent(send, _RETRY, stalled)
    asked = time.monotonic()
    while True:
        try:
            async with asyncio.timeout(HEARTBEAT_SECONDS):
                if still and time.monotonic() - asked >= HEARTBEAT_SECONDS:
                    if not await still():
                        return
                    asked = time.monotonic()
                events = await source.next()
        except TimeoutError:
            await _sent(send, _HEARTBEAT, stalled)
        except StoreError:
            await asyncio.sleep(_AWAY_SECONDS)
        else:
            if events is None:
                return
            for part in _in_parts(events):
                await _sent(send, part, stalled)


def event(name: str, data: str, id: str | None = None) -> bytes:
    """One event; `data` is one line."""
    head = f"id: {id}\n" if id is not None else ""
    return f"{head}event: {name}\ndata: {data}\n\n".encode()


async def _sent(send: Send, data: bytes, stalled: float) -> None:
    async with asyncio.timeout(stalled):
        await send({"type": "http.response.body", "body": data, "more_body": True})


def _in_parts(events: Sequence[bytes]) -> Iterator[bytes]:
    """No more in one write than fits the buffer, unless one event is larger."""
    part: list[bytes] = []
    size = 0
    for each in events:
        if part and size + len(each) > WRITE_BYTES:
            yield b"".join(part)
            part, size = [], 0
        part.append(each)
        size += len(each)
    if part:
        yield b"".join(part)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
