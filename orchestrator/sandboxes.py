"""Which sandbox a command gets (design §3)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from mcp_servers.container.admission import Availability
from mcp_servers.container.reaping import Alive
from state import tracing
from state.errors import ImageMissing, SandboxUnavailable
from state.ports import Exit, Sandbox, SandboxCommand, WriteOutput
from state.records import Provenance

Choice = Literal["auto", "docker", "host"]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator's settings say: what ``auto`` means here, whether commands that no person wrote may run on the
    host, and the image of TODOs that name none. `containers_only`: nothing runs on the host, whoever asks for it: a
    worker that is in a container itself has its secrets there."""

    auto: Choice = "auto"
    allow_host: bool = False
    image: str | None = None
    containers_only: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """What a command asks for. `owner_allows_host`: a person asked for ``host`` for this very run."""

    asked: Choice
    image: str | None
    provenance: Provenance
    owner_allows_host: bool = False


def choose(request: Request, policy: Policy, engine: str | None) -> Literal["docker", "host"]:
    """The sandbox for a command. `engine` is None when a container engine answers, else why none does. Pure.

    Under ``auto``, a command that a person wrote and gave no image runs on the host: no image is known to have what it
    needs. Raises `SandboxUnavailable` and `ImageMissing`.
    """
    wanted = policy.auto if request.asked == "auto" else request.asked
    image = request.image or policy.image
    may_host = request.provenance == "person" or policy.allow_host or request.owner_allows_host
    may_host = may_host and not policy.containers_only
    if wanted == "host" and may_host:
        return "host"
    if engine is None and image:
        return "docker"
    if wanted == "auto" and may_host:
        return "host"
    if engine is None:
        why = "" if may_host else f", since a command written by {_WRITER[request.provenance]} may not run on the host"
        raise ImageMissing(f"this TODO runs in a container and names no image{why}", _NAME_IMAGE)
    if wanted == "docker" or policy.containers_only:
        raise SandboxUnavailable(
            f"this TODO wants a container, and no engine answers: {engine}",
            _START_ONLY if policy.containers_only else _START,
        )
    raise SandboxUnavailable(
        f"a command written by {_WRITER[request.provenance]} may not run on the host, and no engine answers: {engine}",
        f"{_START_ONLY} Or allow this host: `allow_host = true` in atlas.toml, and then `atlas retry`; for one run "
        "only, begin it anew with `--sandbox host`.",
    )


_START = "Start Docker (`atlas doctor` tells more), or use `sandbox: host`."
_START_ONLY = "Start Docker (`atlas doctor` tells more)."
_NAME_IMAGE = "Add `image:` to the TODO or to the plan's defaults, or `[docker] image` to atlas.toml."
_WRITER: dict[Provenance, str] = {"model": "a model", "outside": "another program", "person": "a person"}


class Containers(Sandbox, Protocol):
    """The docker sandbox, which can leave something behind."""

    async def probe(self) -> Availability: ...
    async def reap(self, alive: Alive) -> int: ...


class Sandboxes:
    """The sandboxes of this worker; docker is looked for when it is first wanted."""

    def __init__(
        self, host: Sandbox, connect: Callable[[], Awaitable[Containers]], policy: Policy
    ) -> None:  # fmt: skip
        self._host = host
        self._connect = connect
        self._policy = policy
        self._docker: Containers | None = None
        self._trouble: str | None = "not looked for"
        self._warned = False
        self._looking = asyncio.Lock()
        self._looks = 0

    async def sandbox(self, request: Request) -> tuple[Sandbox, str | None]:
        """The sandbox for a command and the image to name; the errors of `choose` when there is none."""
        policy = self._policy
        by_itself = request.provenance == "person" and request.asked != "docker" and not policy.containers_only
        if request.image or policy.image or not by_itself:
            await self._look_for_docker()
        if choose(request, policy, self._trouble) == "docker" and self._docker:
            return self._docker, request.image or policy.image
        if request.image and request.asked != "host" and not self._warned:
            self._warned = True
            log.warning("no container engine answers (%s): commands run on this host", self._trouble)
        return self._host, request.image

    async def _look_for_docker(self) -> None:
        looks = self._looks
        async with self._looking:  # one for all: only that one is told that this worker lives
            if self._docker is not None or self._looks > looks:  # somebody has meanwhile
                return
            try:
                self._docker = await self._connect()
                self._trouble = None
            except SandboxUnavailable as error:
                self._trouble = error.message
            self._looks += 1

    # what the heartbeat needs, over all of them

    def pulse(self) -> None:
        """See `state.ports.Sandbox.pulse`."""
        for sandbox in self._all():
            sandbox.pulse()

    def kill_all(self) -> None:
        """See `state.ports.Sandbox.kill_all`."""
        for sandbox in self._all():
            sandbox.kill_all()

    async def reap(self, alive: Alive, *, look: bool) -> bool:
        """Remove containers of workers that are gone; whether an engine was there. Who has not used docker looks for it
        only if told to `look`."""
        if look:
            await self._look_for_docker()
        if self._docker:
            await self._docker.reap(alive)
        return self._docker is not None

    async def close(self) -> None:
        """End all of them."""
        for sandbox in self._all():
            await sandbox.close()

    def _all(self) -> list[Sandbox]:
        return [sandbox for sandbox in (self._host, self._docker) if sandbox]


async def traced_run(
    sandbox: Sandbox, command: SandboxCommand, write: WriteOutput, *, told: bool = False
) -> Exit:  # fmt: skip
    """`Sandbox.run` in a span of its own; `told` of it in TRACEPARENT, the command may go on from there."""
    if not tracing.on():
        return await sandbox.run(command, write)
    about = {"atlas.sandbox.kind": sandbox.kind, "atlas.sandbox.image": command.image, "atlas.label": command.label}
    with tracing.span("atlas.sandbox", about) as here:
        if told and (trace := tracing.traceparent()) and "TRACEPARENT" not in command.environment:
            command = replace(command, environment={**command.environment, "TRACEPARENT": trace})
        ended = await sandbox.run(command, write)
        here.say({"process.exit.code": ended.code, "atlas.sandbox.cause": ended.cause})
        if ended.code or ended.cause != "exit":
            here.failed(ended.cause)
        return ended
