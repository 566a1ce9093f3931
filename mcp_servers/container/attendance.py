"""Commands put into a container that runs already, each under a keeper of its own.

The engine can start such a command but not stop it. So what it starts is our keeper as an attendant: its stdin is the
lifeline, and at its end, or the command's, it kills all that descends from the command, sessions and daemons included.
A hostile command can kill its attendant, which has the same user; then all of the container but PID 1 is killed.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from mcp_servers.container.admission import refusal
from mcp_servers.container.completion import see_through
from mcp_servers.container.conversation import Conversation
from mcp_servers.container.engine import CHUNK, Engine, send_file
from mcp_servers.container.frames import Frames, order
from mcp_servers.container.lifelines import Lifelines
from mcp_servers.container.profile import KEEPER, WORK, environment
from state.errors import Conflict, InputError, SandboxUnavailable
from state.ports import Exit, SandboxCommand, WriteOutput

END_SECONDS = 5.0
"""From the end of the lifeline to the end of all that hung on it; then the container is swept."""
_FED_SECONDS = 0.3
"""From the end of its stdin to that of a program which reads it; then it is killed."""
LONGEST_SECONDS = 86_400.0
_POLL_SECONDS = 0.02
_ERROR_BYTES = 4_000


@dataclass(frozen=True, slots=True)
class Inside:
    """A command for a container: `workdir` and names are those inside; `image` is its image's environment."""

    argv: Sequence[str]
    workdir: str = WORK
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    image: Sequence[str] = ()

    def order(self, nonce: str) -> bytes:
        """For the keeper. `InputError`: no system could start this."""
        command = SandboxCommand(tuple(self.argv), Path(self.workdir), LONGEST_SECONDS, environment=self.environment)
        if (why := refusal(command)) is not None:
            raise InputError(f"this can't be a command: {why}")
        return order(nonce, command.argv, environment(command, list(self.image)), command.timeout)


class Attendance:
    """Runs commands in containers of `engine`. `lifelines` must be pulsed."""

    def __init__(self, engine: Engine, lifelines: Lifelines) -> None:
        self._engine = engine
        self._lifelines = lifelines

    async def run(self, container: str, command: Inside, write: WriteOutput, until: float | None = None) -> Exit:
        """Until it has ended; nothing of it is left then, nor when this is cancelled. `until`: see `Conversation`."""
        nonce = f"\x01{secrets.token_hex(16)}"
        text = command.order(nonce)
        conversation = Conversation(nonce, write, until)
        with self._lifelines.hold() as line:
            execution = await self._create(container, [KEEPER, "attend"], command.workdir)
            connection, conversation.early = await self._start(execution)
            word = None
            try:
                await asyncio.get_running_loop().sock_sendall(connection, text)
                line.connect(connection)
                word = await conversation.listen(connection)
            except OSError as error:
                raise SandboxUnavailable(f"The connection to the engine broke off: {error}.") from error
            finally:
                well = word is not None and not word.timed_out
                await see_through(self._end(container, execution, connection, well=well))
        if word is None:
            return await self._explained(container, execution)
        cause = "oom" if word.oom_kills else "timeout" if word.timed_out else "exit"
        return Exit(word.code, cause, word.seconds)

    async def feed(self, container: str, argv: Sequence[str], content: Path | bytes) -> tuple[int, str]:
        """Run a program that reads `content` as its stdin, to the end, and does no more; its exit code and what it
        said. The end of its stdin is its end, so it needs no attendant; one that does not keep to that is known by its
        environment."""
        mark = f"ATLAS_FED={secrets.token_hex(16)}"
        execution = await self._create(container, argv, "/", [mark])
        connection, early = await self._start(execution)
        said = bytearray()
        sending = asyncio.ensure_future(_sent(connection, content))
        try:
            await _received(connection, early, said)
        except OSError as error:
            raise SandboxUnavailable(f"The connection to the engine broke off: {error}.") from error
        finally:
            sending.cancel()
            await asyncio.wait([sending])
            await see_through(self._end_fed(container, execution, connection, mark))
        return await self._code(execution), said.decode(errors="replace").strip()

    async def _create(self, container: str, argv: Sequence[str], workdir: str, environment: Sequence[str] = ()) -> str:
        body = {
            "AttachStdin": True,
            "AttachStdout": True,
            "AttachStderr": True,
            "Cmd": list(argv),
            "Env": list(environment),
            "Privileged": False,
            "Tty": False,
            "WorkingDir": workdir,
        }
        reply = await self._engine.request("POST", f"/containers/{container}/exec", body=body)
        if reply.status in (404, 409):
            raise Conflict(f"the container does not run: {reply.message}", "Make a new one with container_create.")
        if reply.status != 201:
            raise SandboxUnavailable(f"The engine refuses this command: {reply.message}")
        return str(reply.fields()["Id"])

    async def _start(self, execution: str) -> tuple[socket.socket, bytes]:
        try:
            return await self._engine.attach(f"/exec/{execution}/start", body={"Detach": False, "Tty": False})
        except SandboxUnavailable as error:
            if isinstance(error.__cause__, ConnectionError):  # an answer, but a refusal
                raise InputError(f"the command could not be started: {error.__cause__}", "Does `workdir` exist?") from (
                    error
                )
            raise

    async def _end(self, container: str, execution: str, connection: socket.socket, *, well: bool) -> None:
        """Let go, and return when nothing is left."""
        with connection, suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
            over = await self._over(execution, connection, END_SECONDS, well=well)
            if over and (well or await self._code(execution) != 128 + 9):  # nobody killed it
                return
        await self._keep(container, "sweep")

    async def _end_fed(self, container: str, execution: str, connection: socket.socket, mark: str) -> None:
        """The same, without an attendant."""
        with connection, suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
            over = await self._over(execution, connection, _FED_SECONDS)
            if over and await self._code(execution) != 128 + 9:
                return
            await self._keep(container, "end", mark)
            if await self._over(execution, connection, END_SECONDS):
                return
        await self._keep(container, "sweep")

    async def _over(self, execution: str, connection: socket.socket, seconds: float, *, well: bool = False) -> bool:
        """Whether it ends within so many seconds; `well`: what it has said is known to be all."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while await asyncio.get_running_loop().sock_recv(connection, CHUNK):
                    pass
                while not well and await self._runs(execution):  # noqa: ASYNC110  only the engine knows
                    await asyncio.sleep(_POLL_SECONDS)
                return True
        return False

    async def _keep(self, container: str, *order: str) -> None:
        """Have the keeper do something in the container at once."""
        with suppress(SandboxUnavailable, Conflict, InputError):
            execution = await self._create(container, [KEEPER, *order], "/")
            connection, _ = await self._start(execution)
            with connection, suppress(OSError):
                await self._over(execution, connection, END_SECONDS, well=True)

    async def _explained(self, container: str, execution: str) -> Exit:
        """Without a last word: never started, killed with its attendant, or ended with its container."""
        reply = await self._engine.request("GET", f"/containers/{container}/json")
        state = reply.fields().get("State")
        if reply.status != 200 or not (isinstance(state, dict) and state.get("Running")):  # pyright: ignore[reportUnknownMemberType]
            raise Conflict("the container ended while the command ran", "Make a new one with container_create.")
        code = await self._code(execution)
        if code in (126, 127):
            raise InputError("the command could not be started", "Does `workdir` exist, and may it be entered?")
        return Exit(128 + 9, "exit", 0.0)

    async def _runs(self, execution: str) -> bool:
        reply = await self._engine.request("GET", f"/exec/{execution}/json")
        return reply.fields().get("Running") is True

    async def _code(self, execution: str) -> int:
        reply = await self._engine.request("GET", f"/exec/{execution}/json")
        code = reply.fields().get("ExitCode")
        return code if isinstance(code, int) else 128 + 9


async def _sent(connection: socket.socket, content: Path | bytes) -> None:
    with suppress(OSError):  # it has read enough: its exit code tells
        if isinstance(content, bytes):
            await asyncio.get_running_loop().sock_sendall(connection, content)
        else:
            await send_file(connection, content)
        connection.shutdown(socket.SHUT_WR)


async def _received(connection: socket.socket, early: bytes, said: bytearray) -> None:
    frames = Frames()
    data = early or await asyncio.get_running_loop().sock_recv(connection, CHUNK)
    while data:
        for _, payload in frames.feed(data):
            said += payload[: _ERROR_BYTES - len(said)]
        data = await asyncio.get_running_loop().sock_recv(connection, CHUNK)
