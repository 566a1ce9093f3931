"""The server itself: connections, and its end."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import sys
import termios
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from mcp_servers.storage.threads import completed
from orchestrator.http.streams import ABORT

if TYPE_CHECKING:
    from starlette.types import ASGIApp

HEAD_SECONDS = 10.0
"""In which the head of a request must have arrived, once its first byte has, or the connection was made."""
STALLED_SECONDS = 30.0
"""For which nothing of what was sent has to be taken, for a connection to be cut off."""
MESSAGE_BYTES = 128 << 10
"""Of a WebSocket; who sends more is cut off (1009)."""
_END_SECONDS = 5
"""What answers under way have, once the server is to end."""
_IDLE_SECONDS = 20


class PatientOnlySoLong(H11Protocol):
    """A connection on which no request comes is closed, and so is one on which nothing that is sent is taken; one can
    be cut off by whoever answers on it."""

    def __init__(self, config: uvicorn.Config, server_state: Any, app_state: dict[str, Any], **more: Any) -> None:  # noqa: ANN401
        super().__init__(config, server_state, {**app_state, ABORT: self._abort}, **more)
        self._patience: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As asyncio has it."""
        super().connection_made(transport)
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """As asyncio has it."""
        super().data_received(data)
        if self._answering() or self.transport.get_protocol() is not self:  # it is a WebSocket now
            self._stop_waiting()
        elif self._patience is None:
            self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """As asyncio has it."""
        self._stop_waiting()
        self._moves()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """As asyncio has it."""
        super().pause_writing()
        self._watch_what_is_left(0)

    def resume_writing(self) -> None:
        """As asyncio has it."""
        self._moves()
        super().resume_writing()

    def _watch_what_is_left(self, before: int) -> None:
        left = self._left()
        if left == before:
            self.transport.abort()
        else:
            self._stalled = self.loop.call_later(STALLED_SECONDS, self._watch_what_is_left, left)

    def _left(self) -> int:
        """Bytes that the other end has not taken: ours, and the system's, which takes long before it asks for more."""
        here = self.transport.get_write_buffer_size()
        with suppress(OSError):
            asked = fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
            here += int.from_bytes(asked, sys.byteorder)
        return here

    def _moves(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete  # pyright: ignore[reportUnnecessaryComparison]

    def _wait_for_head(self) -> None:
        self._patience = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        self._patience = None
        if not self._answering():
            self.transport.abort()

    def _abort(self) -> None:
        self.transport.abort()


class _Server(uvicorn.Server):
    """Signals are the caller's."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@asynccontextmanager
async def serving(
    app: ASGIApp, listener: socket.socket, close: Callable[[], None], *, websockets: bool = False
) -> AsyncGenerator[asyncio.Task[None]]:
    """Answer while this lasts; yields the server, whose own end only a defect brings about. At the end of it `close`
    is called, which ends what else would not, and other answers have a few seconds. `websockets`: the package of this
    name is there, and clients may come by them."""
    config = uvicorn.Config(
        app, http=PatientOnlySoLong, ws="websockets-sansio" if websockets else "none", ws_max_size=MESSAGE_BYTES,
        ws_per_message_deflate=False, log_config=None, log_level="warning", access_log=False, lifespan="on",
        server_header=False, timeout_graceful_shutdown=_END_SECONDS, timeout_keep_alive=_IDLE_SECONDS,
    )  # fmt: skip
    server = _Server(config)
    running = asyncio.create_task(server.serve(sockets=[listener]), name="http")
    try:
        yield running
    finally:
        close()
        server.should_exit = True
        await completed(running)
