"""What one keeper says over its connection."""

from __future__ import annotations

import asyncio
import socket
from signal import SIGKILL

from mcp_servers.container.engine import CHUNK
from mcp_servers.container.frames import Frames, LastWord, Output
from state.ports import Stream, WriteOutput


class Conversation:
    """What comes back from one keeper; at `until`, a time of the loop, nobody listens any more."""

    def __init__(self, nonce: str, write: WriteOutput, until: float | None = None) -> None:
        self.early = b""
        self._write = write
        self._until = until
        self._frames = Frames()
        self._outputs: dict[Stream, Output] = {"stdout": Output(nonce), "stderr": Output(nonce)}

    async def listen(self, connection: socket.socket) -> LastWord | None:
        """Pass output on until the keeper has said its last word on both streams, or the container has ended. When the
        time is up, the last word is ours, and whoever let the command run has to end it."""
        began = asyncio.get_running_loop().time()
        limit = asyncio.timeout_at(self._until)
        try:
            async with limit:
                return await self._listen(connection)
        except TimeoutError:
            if not limit.expired():
                raise
            return LastWord(True, 128 + SIGKILL, 0, asyncio.get_running_loop().time() - began)

    async def _listen(self, connection: socket.socket) -> LastWord | None:
        data = self.early or await asyncio.get_running_loop().sock_recv(connection, CHUNK)
        while data:
            for stream, payload in self._frames.feed(data):
                if output := self._outputs[stream].feed(payload):
                    await self._write(stream, output)
            words = [output.last for output in self._outputs.values()]
            if None not in words:
                return words[0]
            data = await asyncio.get_running_loop().sock_recv(connection, CHUNK)
        return None
