"""One container for one command: started, told its command, listened to, gone."""

from __future__ import annotations

import asyncio
import secrets
import socket
from contextlib import suppress

from mcp_servers.container.completion import see_through
from mcp_servers.container.conversation import Conversation
from mcp_servers.container.engine import CHUNK, Engine
from mcp_servers.container.lifelines import Lifeline
from state.errors import EngineAway, SandboxUnavailable
from state.ports import Exit

END_SECONDS = 10.0
"""From letting go of a container to its end; then the engine is told to remove it by force."""


class OneShot:
    """Runs commands on `engine`; at most as many containers start at a time as `starts` lets in."""

    def __init__(self, engine: Engine, starts: asyncio.Semaphore) -> None:
        self._engine = engine
        self._starts = starts

    async def run(self, request: dict[str, object], text: bytes, conversation: Conversation, line: Lifeline) -> Exit:
        """The command in `text`, see `frames.order`. Nothing of it is left when this returns or is cancelled."""
        name = f"atlas-{secrets.token_hex(8)}"
        connection: socket.socket | None = None
        try:
            async with self._starts:
                if line.cut:
                    return Exit(137, "lease", 0.0)
                connection = await self._start(name, request, conversation)
                await asyncio.get_running_loop().sock_sendall(connection, text)
            line.connect(connection)
            word = await conversation.listen(connection)
        except OSError as error:
            raise EngineAway(f"The connection to the engine broke off: {error}.") from error
        finally:
            await see_through(self._end(name, connection, line))
        if word is None:  # the container ended, and not because its command did
            return Exit(137, "lease", 0.0)
        cause = "oom" if word.oom_kills else "timeout" if word.timed_out else "exit"
        return Exit(word.code, cause, word.seconds)

    async def _start(self, name: str, request: dict[str, object], conversation: Conversation) -> socket.socket:
        """A running container, its keeper waiting for the order. Attached before the start: it can't outlive us."""
        creation = self._engine.request("POST", "/containers/create", {"name": name}, body=request)
        reply = await see_through(creation)  # broken off, it could still make a container that nobody knows
        if reply.status != 201:
            raise SandboxUnavailable(f"The engine refuses this container: {reply.message}")
        streams = {"stream": "1", "stdin": "1", "stdout": "1", "stderr": "1"}
        connection, early = await self._engine.attach(f"/containers/{name}/attach", streams)
        try:
            conversation.early = early
            reply = await self._engine.request("POST", f"/containers/{name}/start")
            if reply.status != 204:
                raise SandboxUnavailable(f"The engine can't start this container: {reply.message}")
        except BaseException:
            connection.close()
            raise
        return connection

    async def _end(self, name: str, connection: socket.socket | None, line: Lifeline) -> None:
        """Let go of the container, and return when it has ended."""
        if connection is not None:
            with connection, suppress(OSError, TimeoutError):
                connection.shutdown(socket.SHUT_WR)
                async with asyncio.timeout(END_SECONDS):
                    while await asyncio.get_running_loop().sock_recv(connection, CHUNK):
                        pass
                return
        with suppress(SandboxUnavailable):
            await self._engine.request("DELETE", f"/containers/{name}", {"force": "1", "v": "1"}, timeout=END_SECONDS)
