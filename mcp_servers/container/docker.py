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
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from typing import Literal

from mcp_servers.container.admission import Availability, refusal, require_workdir
from mcp_servers.container.completion import in_thread
from mcp_servers.container.conversation import Conversation
from mcp_servers.container.engine import Engine
from mcp_servers.container.facts import learn
from mcp_servers.container.frames import order
from mcp_servers.container.images import Image, Images
from mcp_servers.container.lifelines import Lifelines
from mcp_servers.container.oneshot import OneShot
from mcp_servers.container.ownership import prepare
from mcp_servers.container.profile import Profile, create_request, environment
from mcp_servers.container.reaping import Alive, reap
from state.errors import ImageMissing, SandboxError, SandboxUnavailable
from state.ports import Exit, Resources, SandboxCommand, WriteOutput


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
        self._one_shot = OneShot(self._engine, asyncio.Semaphore(starts or os.cpu_count() or 1))
        self._lifelines = Lifelines()
        self._profile: Profile | None = None

    @property
    def kind(self) -> Literal["docker"]:
        return "docker"

    async def probe(self) -> Availability:
        """The engine's version, or why there is none to use."""
        try:
            facts = await learn(self._engine, writing=True)
        except SandboxUnavailable as error:
            return Availability(False, error.message, error.hint)
        return Availability(True, f"Docker {facts.version} on {facts.machine}, {facts.cores} cores")

    async def ready(self, image: str | None, resources: Resources) -> None:
        """See `Sandbox.ready`. Whether the engine can give these resources shows when it makes a container."""
        with _or_on_the_host():
            await self._current_profile()
            await self._image(image)

    async def run(self, command: SandboxCommand, write: WriteOutput) -> Exit:
        """See `Sandbox.run`."""
        if (why := refusal(command)) is not None:
            await write("stderr", f"atlas: {why}\n".encode())
            return Exit(126, "exit", 0.0)
        require_workdir(command)
        with self._lifelines.hold() as line, _or_on_the_host():
            profile = await self._current_profile()
            image = await self._image(command.image)
            request = create_request(command, image.id, profile)
            await in_thread(partial(prepare, command, profile.user))
            nonce = f"\x01{secrets.token_hex(16)}"
            text = order(nonce, command.argv, environment(command, image.environment), command.timeout)
            return await self._one_shot.run(request, text, Conversation(nonce, write), line)

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

    async def reap(self, alive: Alive) -> int:
        """Remove the containers that workers of this installation left behind (`alive` is asked of their boot ids);
        returns how many. They hold nothing that runs for long, since their keeper ends without pulses; but one that
        was created and never started stays."""
        return await reap(self._engine, self._home, alive)

    async def _image(self, name: str | None) -> Image:
        if name is None:
            raise ImageMissing("The command names no image.", "Name one (`image:`).")
        return await self._images.find(name)

    async def _current_profile(self) -> Profile:
        if self._profile is None:
            facts = await learn(self._engine, writing=True)
            self._profile = Profile(
                boot=self._boot,
                home=self._home,
                keeper=facts.keeper,
                user=facts.user,
                network=self._network,
                cores=facts.cores,
            )
        return self._profile


@contextmanager
def _or_on_the_host() -> Generator[None]:
    """What a plan can do about an engine or an image that is not to be had."""
    try:
        yield
    except SandboxError as error:
        if error.hint:
            error.hint += " Or use `sandbox: host`."
        raise
