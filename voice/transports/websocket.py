"""A client that comes by a WebSocket: Pipecat's protobuf frames, both ways."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, cast

from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from orchestrator.http.streams import ABORT
from voice.outlet import Outlet
from voice.pipeline import Ends
from voice.transports.line import Farewell, sound
from voice.transports.protobuf import ClientFrames

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

log = logging.getLogger(__name__)

STALLED_SECONDS = 10.0
"""Who does not read for so long is cut off."""
_COME_AGAIN, _NOT_AGAIN = 1012, 1008
"""Codes of RFC 6455 and its registry: the service restarts; what you do is against our rules."""
_REASON_BYTES = 120


class PatientSocket(WebSocket):
    """One whose client may leave its buffers full only so long, and that may be closed again."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, stalled: float = STALLED_SECONDS) -> None:
        super().__init__(scope, receive, send)
        self._stalled = stalled

    async def send_bytes(self, data: bytes) -> None:
        """See `WebSocket`. `WebSocketDisconnect`: the client was cut off now."""
        try:
            async with asyncio.timeout(self._stalled):
                await super().send_bytes(data)
        except TimeoutError:
            log.info("a client that listens did not read for %g s and was cut off", self._stalled)
            self._abort()
            raise WebSocketDisconnect(1006) from None
        except WebSocketDisconnect:  # whoever reads is told as well
            return

    def _abort(self) -> None:
        if abort := cast("dict[str, Any]", self.scope.get("state", {})).get(ABORT):
            abort()

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        """See `WebSocket`; the first time, if the client is still there."""
        if self.application_state == WebSocketState.CONNECTED and self.client_state == WebSocketState.CONNECTED:
            short = (reason or "").encode()[:_REASON_BYTES].decode(errors="ignore")
            try:
                async with asyncio.timeout(self._stalled):
                    await super().close(code, short)
            except TimeoutError:
                self._abort()


class SocketLine:
    """See `voice.transports.line.Line`. `socket` was accepted."""

    def __init__(self, socket: PatientSocket) -> None:
        self._socket = socket
        self._gone = asyncio.Event()

    def ends(self, outlet: Outlet) -> Ends:
        """See `Line`."""
        params = FastAPIWebsocketParams(
            **sound(outlet), serializer=ClientFrames(self._refuse), allowed_origins=[],
            audio_out_write_timeout_secs=3 * STALLED_SECONDS,  # else Pipecat's own may come first, and makes it mute
        )  # fmt: skip
        transport = FastAPIWebsocketTransport(self._socket, params)

        @transport.event_handler("on_client_disconnected")
        async def gone(*_: object) -> None:
            self._gone.set()

        _ = gone
        return Ends(transport.input(), transport.output())

    async def gone(self) -> None:
        """See `Line`."""
        await self._gone.wait()

    async def bye(self, farewell: Farewell) -> None:
        """See `Line`."""
        await self._socket.close(_COME_AGAIN if farewell.again else _NOT_AGAIN, farewell.why)

    async def close(self) -> None:
        """See `Line`."""
        await self._socket.close()

    async def _refuse(self, code: int, why: str) -> None:
        await self._socket.close(code, why)
        self._gone.set()
