"""Which sandbox a command gets (design §3)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from state.errors import SandboxUnavailable
from state.ports import Sandbox
from state.records import Provenance

Choice = Literal["auto", "docker", "host"]


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator's settings say: what ``auto`` means here, and whether commands that no person wrote may run on
    the host."""

    auto: Choice = "auto"
    allow_host: bool = False


def choose(
    asked: Choice, policy: Policy, *, engine: str | None, provenance: Provenance, owner_allows_host: bool
) -> Literal["docker", "host"]:
    """The sandbox for a command. `engine` is None when a container engine answers, else why none does.
    `owner_allows_host`: a person asked for ``host`` for this very run. Raises `SandboxUnavailable`. Pure."""
    wanted = policy.auto if asked == "auto" else asked
    if wanted != "host" and engine is None:
        return "docker"
    if wanted == "docker":
        raise SandboxUnavailable(f"this TODO wants a container, and no engine answers: {engine}", _START)
    if provenance == "person" or policy.allow_host or owner_allows_host:
        return "host"
    raise SandboxUnavailable(
        f"a command written by {_WRITER[provenance]} may not run on the host, and no engine answers: {engine}",
        f"{_START} Or allow it: `--sandbox host` for one run, `allow_host = true` in atlas.toml for all.",
    )


_START = "Start Docker (`atlas doctor` tells more)."
_WRITER: dict[Provenance, str] = {"model": "a model", "outside": "another program", "person": "a person"}


class Containers(Sandbox, Protocol):
    """The docker sandbox, which can leave something behind."""

    async def reap(self, alive: Callable[[str], bool]) -> int: ...


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

    async def sandbox(self, asked: Choice, provenance: Provenance, *, owner_allows_host: bool) -> Sandbox:
        """The sandbox for a command; `SandboxUnavailable` when there is none that it may use."""
        wanted = self._policy.auto if asked == "auto" else asked
        if wanted != "host":
            await self._look_for_docker()
        kind = choose(
            asked, self._policy, engine=self._trouble, provenance=provenance, owner_allows_host=owner_allows_host
        )
        return self._docker if kind == "docker" and self._docker else self._host

    async def _look_for_docker(self) -> None:
        if self._docker is None:
            try:
                self._docker = await self._connect()
                self._trouble = None
            except SandboxUnavailable as error:
                self._trouble = error.message

    # what the heartbeat needs, over all of them

    def pulse(self) -> None:
        """See `state.ports.Sandbox.pulse`."""
        for sandbox in self._all():
            sandbox.pulse()

    def kill_all(self) -> None:
        """See `state.ports.Sandbox.kill_all`."""
        for sandbox in self._all():
            sandbox.kill_all()

    async def reap(self, alive: Callable[[str], bool]) -> None:
        """Remove containers of workers (by boot id) that are not alive; docker is not looked for."""
        if self._docker:
            await self._docker.reap(alive)

    async def close(self) -> None:
        """End all of them."""
        for sandbox in self._all():
            await sandbox.close()

    def _all(self) -> list[Sandbox]:
        return [sandbox for sandbox in (self._host, self._docker) if sandbox]
