"""What one keeper says over its connection."""

from __future__ import annotations

import asyncio
import socket

from mcp_servers.container.engine import CHUNK
from mcp_servers.container.frames import Frames, LastWord, Output
from state.ports import Stream, WriteOutput


class Conversation:
    """What comes back from one keeper."""

    def __init__(self, nonce: str, write: WriteOutput) -> None:
        self.early = b""
        self._write = write
        self._frames = Frames()
        self._outputs: dict[Stream, Output] = {"stdout": Output(nonce), "stderr": Output(nonce)}

    async def listen(self, connection: socket.socket) -> LastWord | None:
        """Pass output on until the keeper has said its last word on both streams, or the container has ended."""
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
