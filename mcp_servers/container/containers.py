"""Containers to work in: made, stopped and removed. They live at most as long as the server that made them.

PID 1 of each is our keeper, whose stdin is a lifeline to here: when this process ends, however it does, so does all
that runs in them. What is left of a container then is its name; `reap` removes that at the next start, here or by a
worker of the same installation, since each is labelled with its maker's boot id.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import cast

from mcp_servers.container.attendance import Attendance, Inside
from mcp_servers.container.completion import see_through
from mcp_servers.container.conversation import Conversation
from mcp_servers.container.engine import Engine
from mcp_servers.container.facts import learn
from mcp_servers.container.images import Image, Images
from mcp_servers.container.lifelines import Lifelines
from mcp_servers.container.oneshot import OneShot
from mcp_servers.container.profile import COMMAND_LABEL, IMAGE_LABEL, Profile, labels, workshop_request
from mcp_servers.container.reaping import Alive, reap
from mcp_servers.container.registry import KIND, KIND_LABEL, NAME, Found, Registry
from state.errors import Conflict, InputError, LimitExceeded, SandboxUnavailable
from state.limits import GB, MB, PULSE_SECONDS
from state.ports import Exit, Resources, WriteOutput

_REMOVAL = {"force": "1", "v": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the operator grants; no argument of a call goes beyond it.

    `network`: the engine's network that containers with network join; None: there is none to be had. `writable_root`:
    images can be changed from inside, on the engine's disk, which nothing bounds. `foreign`: containers that are not
    ours can be looked at (listed, logs, stats), never touched. `builds`: images can be built, whose RUN steps the
    engine confines in its own, weaker way. `memory` (bytes), `cpus` and `pids` are what a container has unless it asks
    for less. At most `containers` run at a time; a copy or build context holds `copy_bytes`; a pull takes
    `pull_seconds`.
    """

    network: str | None = "bridge"
    writable_root: bool = False
    foreign: bool = False
    memory: int = 2 * GB
    cpus: float | None = None
    pids: int = 512
    containers: int = 16
    copy_bytes: int = 256 * MB
    pull_seconds: float = 600.0
    builds: bool = True


class Containers:
    """All containers of one server; an asynchronous context. `boot` and `home`: as in `DockerSandbox`. `alive` is asked
    of the boot ids of others before what they left is removed; without it, nothing is."""

    def __init__(
        self,
        *,
        boot: str,
        home: str,
        url: str | None = None,
        options: Options | None = None,
        alive: Alive | None = None,
    ) -> None:
        self.options = options or Options()
        self.engine = Engine(url)
        self.images = Images(self.engine, self.options.pull_seconds)
        self.registry = Registry(self.engine, home, foreign=self.options.foreign)
        self._boot = boot
        self._home = home
        self._alive = alive
        self._lifelines = Lifelines()
        self._held: dict[str, ExitStack] = {}
        self._made: set[str] = set()
        self._starts = asyncio.Semaphore(os.cpu_count() or 1)
        self._one_shot = OneShot(self.engine, self._starts)
        self.attendance = Attendance(self.engine, self._lifelines)
        self._over = threading.Event()
        self._pulses = threading.Thread(target=self._pulse, name="atlas-pulses", daemon=True)

    async def __aenter__(self) -> Containers:
        self._pulses.start()
        if self._alive is not None:
            with suppress(SandboxUnavailable):  # whoever calls a tool will hear of it
                await reap(self.engine, self._home, self._alive)
        return self

    async def __aexit__(self, *_: object) -> None:
        await see_through(self._close())

    async def run(
        self, image: str, command: Inside, resources: Resources, label: str, write: WriteOutput, until: float
    ) -> Exit:
        """A command in a container of its own, gone when this returns or is cancelled. `until`: see `Conversation`."""
        found, request = await self._request(image, resources, label)
        request["WorkingDir"] = command.workdir
        nonce = f"\x01{secrets.token_hex(16)}"
        text = replace(command, image=found.environment).order(nonce)
        with self._lifelines.hold() as line:
            return await self._one_shot.run(request, text, Conversation(nonce, write, until), line)

    async def create(self, image: str, command: Inside | None, resources: Resources, label: str) -> str:
        """The id of a new container that runs `command`, or waits for others."""
        if len(self._held) >= self.options.containers:
            raise LimitExceeded(
                f"{len(self._held)} containers run already, and no more are allowed", "Stop one with container_stop."
            )
        found, request = await self._request(image, resources, label)
        host = cast("dict[str, object]", request["HostConfig"])
        host["AutoRemove"] = False
        host["LogConfig"] = {"Type": "json-file", "Config": {"max-size": "8m", "max-file": "2"}}
        nonce = f"\x01{secrets.token_hex(16)}"
        text = replace(command, image=found.environment).order(nonce) if command else b""
        request["WorkingDir"] = command.workdir if command else request["WorkingDir"]
        name = f"{NAME}{secrets.token_hex(8)}"
        held = ExitStack()
        try:
            async with self._starts:
                identity = await self._start(name, request, text, held)
            self._held[identity] = held
            self._made.add(identity)
            return identity
        except BaseException:
            held.close()
            await see_through(self._discard(name))
            raise

    async def stop(self, found: Found) -> None:
        """Kill all that runs in it. Nothing in it could clean up: its files were in memory."""
        reply = await see_through(self.engine.request("POST", f"/containers/{found.id}/kill"))
        if reply.status not in (204, 404, 409):
            raise SandboxUnavailable(f"The engine can't stop this container: {reply.message}")
        await self.engine.request("POST", f"/containers/{found.id}/wait")
        self._let_go(found.id)

    async def remove(self, found: Found) -> None:
        """It and all it holds."""
        await see_through(self._discard(found.id))
        self._let_go(found.id)
        self._made.discard(found.id)

    async def _request(self, name: str, resources: Resources, label: str) -> tuple[Image, dict[str, object]]:
        options = self.options
        if resources.network and options.network is None:
            raise InputError("this server gives no container a network", "Leave `network` out, or ask its operator.")
        image = await self.images.find(name)
        facts = await learn(self.engine)
        profile = Profile(
            boot=self._boot,
            home=self._home,
            keeper=facts.keeper,
            user=facts.user,
            network=options.network or "none",
            cores=facts.cores,
            memory=options.memory,
            cpus=options.cpus,
            pids=options.pids,
            writable_root=options.writable_root,
        )
        asked = Resources(
            cpus=min(resources.cpus or facts.cores, options.cpus or facts.cores),
            memory=min(resources.memory or options.memory, options.memory),
            pids=min(resources.pids or options.pids, options.pids),
            network=resources.network,
        )
        request = workshop_request(image.id, image.volumes, asked, profile)
        request["Labels"] = labels(profile) | {KIND_LABEL: KIND, COMMAND_LABEL: label, IMAGE_LABEL: name}
        return image, request

    async def _start(self, name: str, request: dict[str, object], text: bytes, held: ExitStack) -> str:
        creation = self.engine.request("POST", "/containers/create", {"name": name}, body=request)
        reply = await see_through(creation)
        if reply.status != 201:
            raise SandboxUnavailable(f"The engine refuses this container: {reply.message}")
        identity = str(reply.fields()["Id"])
        connection, _ = await self.engine.attach(f"/containers/{name}/attach", {"stream": "1", "stdin": "1"})
        held.enter_context(connection)
        started = await self.engine.request("POST", f"/containers/{name}/start")
        if started.status != 204:
            raise SandboxUnavailable(f"The engine can't start this container: {started.message}")
        await _send(connection, text)
        held.enter_context(self._lifelines.hold()).connect(connection)
        return identity

    async def _discard(self, container: str) -> None:
        reply = await self.engine.request("DELETE", f"/containers/{container}", _REMOVAL)
        if reply.status not in (204, 404, 409):
            raise SandboxUnavailable(f"The engine can't remove this container: {reply.message}")

    def _let_go(self, identity: str) -> None:
        if held := self._held.pop(identity, None):
            held.close()

    async def _close(self) -> None:
        self._lifelines.cut()
        for identity in list(self._held):
            self._let_go(identity)
        await asyncio.gather(*map(self._discard, self._made), return_exceptions=True)
        await self._lifelines.idle()
        self._over.set()
        await asyncio.to_thread(self._pulses.join)

    def _pulse(self) -> None:
        while not self._over.wait(PULSE_SECONDS):
            self._lifelines.pulse()


async def _send(connection: socket.socket, text: bytes) -> None:
    if not text:
        return
    try:
        await asyncio.get_running_loop().sock_sendall(connection, text)
    except OSError as error:
        raise Conflict("the container ended as soon as it had started") from error
