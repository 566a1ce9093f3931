"""Commands in containers of the hardened `profile`, one container each, which die with this worker.

PID 1 is our keeper (keeper.c). Its stdin is the lifeline: the worker's pulses, whose absence or end ends the container
and all in it. It takes the command over the same line, starts it, and when it has ended kills what it left behind and
reports exit code and out-of-memory kills. So a command costs one container and no further request, its end is seen at
once, and nothing in the container can reach what watches over it.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, cast

from mcp_servers.container.admission import Availability, refusal, require_workdir
from mcp_servers.container.completion import in_thread, see_through
from mcp_servers.container.engine import CHUNK, Engine
from mcp_servers.container.frames import Frames, LastWord, Output, order
from mcp_servers.container.images import Images
from mcp_servers.container.lifelines import Lifeline, Lifelines
from mcp_servers.container.ownership import prepare
from mcp_servers.container.profile import BOOT_LABEL, HOME_LABEL, Profile, create_request, environment
from state.errors import ImageMissing, SandboxUnavailable
from state.ports import Exit, SandboxCommand, Stream, WriteOutput

PROBE_SECONDS = 5.0
END_SECONDS = 10.0
"""From letting go of a container to its end; then the engine is told to remove it by force."""
WORKER_UID = 10_001
"""Who commands are when the worker is root."""
MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}


@dataclass(frozen=True, slots=True)
class _Facts:
    version: str
    machine: str
    cores: int
    rootless: bool


class DockerSandbox:
    """The `Sandbox` port on a container engine.

    `boot` is this worker's boot id and `home` the installation it belongs to: both label its containers, see `reap`.
    `network` is the engine's network that commands with network get. `url` is DOCKER_HOST unless given. At most
    `starts` containers start at a time (default: this machine's cores). A missing image is pulled for `pull_seconds`.
    """

    def __init__(
        self,
        *,
        boot: str,
        home: str,
        url: str | None = None,
        network: str = "bridge",
        starts: int | None = None,
        pull_seconds: float = 600.0,
    ) -> None:
        self._boot = boot
        self._home = home
        self._network = network
        self._engine = Engine(url)
        self._images = Images(self._engine, pull_seconds)
        self._starts = asyncio.Semaphore(starts or os.cpu_count() or 1)
        self._lifelines = Lifelines()
        self._profile: Profile | None = None

    @property
    def kind(self) -> Literal["docker"]:
        return "docker"

    async def probe(self) -> Availability:
        """The engine's version, or why there is none to use."""
        try:
            facts = await self._ask()
        except SandboxUnavailable as error:
            return Availability(False, str(error))
        return Availability(True, f"Docker {facts.version} on {facts.machine}, {facts.cores} cores")

    async def run(self, command: SandboxCommand, write: WriteOutput) -> Exit:
        """See `Sandbox.run`."""
        if (why := refusal(command)) is not None:
            await write("stderr", f"atlas: {why}\n".encode())
            return Exit(126, "exit", 0.0)
        require_workdir(command)
        if command.image is None:
            raise ImageMissing("The command names no image.", "Name one (`image:`), or use `sandbox: host`.")
        with self._lifelines.hold() as line:
            profile = await self._current_profile()
            image = await self._images.find(command.image)
            request = create_request(command, image.id, profile)
            await in_thread(partial(prepare, command, profile.user))
            nonce = f"\x01{secrets.token_hex(16)}"
            text = order(nonce, command.argv, environment(command, image.environment), command.timeout)
            return await self._run(request, text, _Conversation(nonce, write), line)

    async def _run(self, request: dict[str, object], text: bytes, conversation: _Conversation, line: Lifeline) -> Exit:
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
            raise SandboxUnavailable(f"The connection to the engine broke off: {error}.") from error
        finally:
            await see_through(self._end(name, connection, line))
        if word is None:  # the container ended, and not because its command did
            return Exit(137, "lease", 0.0)
        cause = "oom" if word.oom_kills else "timeout" if word.timed_out else "exit"
        return Exit(word.code, cause, word.seconds)

    async def _start(self, name: str, request: dict[str, object], conversation: _Conversation) -> socket.socket:
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

    def pulse(self) -> None:
        """See `Sandbox.pulse`."""
        self._lifelines.pulse()

    def kill_all(self) -> None:
        """See `Sandbox.kill_all`."""
        self._lifelines.cut()

    async def close(self) -> None:
        """Kill everything, and return when it is gone."""
        self._lifelines.cut()
        await self._lifelines.idle()

    async def reap(self, alive: Callable[[str], bool]) -> int:
        """Remove the containers that workers of this installation left behind (`alive` is asked of their boot ids);
        returns how many. They hold nothing that runs for long, since their keeper ends without pulses; but one that
        was created and never started stays."""
        filters = f'{{"label": ["{HOME_LABEL}={self._home}"]}}'
        reply = await self._engine.request("GET", "/containers/json", {"all": "1", "filters": filters})
        removed = 0
        for container in cast("list[dict[str, object]]", reply.body if reply.status == 200 else []):
            labels = cast("dict[str, str]", container["Labels"])
            if not alive(labels.get(BOOT_LABEL, "")):
                path = f"/containers/{container['Id']}"
                removed += (await self._engine.request("DELETE", path, {"force": "1", "v": "1"})).status == 204
        return removed

    async def _current_profile(self) -> Profile:
        if self._profile is None:
            facts = await self._ask()
            keeper = Path(__file__).parent / "keeper" / f"keeper-{MACHINES.get(facts.machine, facts.machine)}"
            if not os.access(keeper, os.X_OK):
                raise SandboxUnavailable(f"There is no keeper for containers on {facts.machine} ({keeper}).")
            self._profile = Profile(
                boot=self._boot,
                home=self._home,
                keeper=keeper,
                user=_user(facts),
                network=self._network,
                cores=facts.cores,
            )
        return self._profile

    async def _ask(self) -> _Facts:
        reply = await self._engine.request("GET", "/info", timeout=PROBE_SECONDS)
        fields = reply.fields()
        if reply.status != 200 or fields.get("OSType") != "linux":
            raise SandboxUnavailable(f"The engine at {self._engine.url} does not run Linux containers: {reply.message}")
        options = cast("list[str]", fields.get("SecurityOptions") or [])
        return _Facts(
            version=str(fields.get("ServerVersion")),
            machine=str(fields.get("Architecture")),
            cores=int(cast("int", fields.get("NCPU"))),
            rootless=any("rootless" in option for option in options),
        )


def _user(facts: _Facts) -> str:
    """The worker itself, so that files are its own; never root, whom a rootless engine alone makes the worker."""
    if facts.rootless:
        return "0:0"
    uid, gid = os.geteuid(), os.getegid()
    return f"{uid}:{gid}" if uid else f"{WORKER_UID}:{WORKER_UID}"


class _Conversation:
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
