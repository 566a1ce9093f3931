"""What a container may be: exactly what `profile` makes. Pure data; `pins` sees to the paths."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from mcp_servers.container.profile import BOOT_LABEL, COMMAND_LABEL, HOME_LABEL, Profile, create_request
from state.errors import SandboxUnavailable
from state.limits import GB
from state.ports import Mount, Resources, SandboxCommand

IMAGE = re.compile(r"sha256:[0-9a-f]{64}")
_LABELS: frozenset[str] = frozenset((BOOT_LABEL, HOME_LABEL, COMMAND_LABEL))
_LONGEST = 4_096
_MOST_MOUNTS = 256


class Refused(Exception):
    """The answer is no, with this status."""

    def __init__(self, why: str, status: int = 403) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What the operator grants. `binds`: directories that containers may have parts of; `user`: who they are, as
    ``uid:gid``; `network`: what those with network join, None: there is none; `registries`: where images may be pulled
    from; `memory` (bytes), `cpus` and `pids` are one container's at most, `containers` how many there are."""

    binds: tuple[Path, ...]
    user: str = "10001:10001"
    network: str | None = None
    registries: tuple[str, ...] = ()
    memory: int = 4 * GB
    cpus: int = 2
    pids: int = 1024
    containers: int = 32

    def place(self, source: str) -> Path:
        """A path that lies, to judge by its letters, in an allowed directory."""
        path = Path(source)
        plain = source.isprintable() and os.path.normpath(source) == source and path.is_absolute()
        if not plain or not any(path.is_relative_to(base) and path != base for base in self.binds):
            raise Refused(f"{source[:200]!r} does not lie in a directory that containers may have")
        return path

    def pulls(self, name: str) -> bool:
        """Whether an image may be fetched."""
        first, slash, _ = name.partition("/")
        named = slash and ("." in first or ":" in first or first == "localhost")
        return (first if named else "docker.io") in self.registries


def remade(asked: object, allowed: Allowed, keeper: Path) -> tuple[dict[str, Any], list[str]]:
    """The request as we make it ourselves, with the sources of its mounts: the keeper's first. `Refused` if something
    else was asked for."""
    try:
        body = cast("dict[str, Any]", asked)
        host, labels = body["HostConfig"], cast("dict[str, object]", body["Labels"])
        mounts: list[dict[str, Any]] = host["Mounts"]
        sources = [_text(mount["Source"]) for mount in mounts]
        if frozenset(labels) != _LABELS or not IMAGE.fullmatch(_text(body["Image"])) or len(mounts) > _MOST_MOUNTS:
            raise Refused("its labels, image or number of mounts")
        command = SandboxCommand(
            argv=(), workdir=Path(sources[1]), timeout=0.0, image=body["Image"], label=_text(labels[COMMAND_LABEL]),
            mounts=tuple(Mount(Path(m["Source"]), _text(m["Target"]), writable=not m["ReadOnly"]) for m in mounts[2:]),
            resources=_resources(host, allowed),
        )  # fmt: skip
        profile = Profile(
            boot=_text(labels[BOOT_LABEL]), home=_text(labels[HOME_LABEL]), keeper=keeper, user=allowed.user,
            network=allowed.network or "none", cores=allowed.cpus,
        )  # fmt: skip
        made = cast("dict[str, Any]", create_request(command, body["Image"], profile))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise Refused("this is no request of a worker of ours") from error
    except SandboxUnavailable as error:
        raise Refused(error.message) from error
    mounts[0]["Source"] = str(keeper)  # theirs is a file of their own, and ours is here
    _same(made, body, "")
    return made, [str(keeper), *sources[1:]]


def _resources(host: dict[str, Any], allowed: Allowed) -> Resources:
    memory, nano, pids, network = host["Memory"], host["NanoCpus"], host["PidsLimit"], _text(host["NetworkMode"])
    if any(type(value) is not int or value <= 0 for value in (memory, nano, pids)):
        raise Refused("there is no container without limits here")
    if memory > allowed.memory or pids > allowed.pids or nano > allowed.cpus * 10**9:
        limits = f"{allowed.memory >> 20} MB, {allowed.cpus} cores, {allowed.pids} processes"
        raise Refused(f"no container has more than {limits} here")
    if network not in ("none", allowed.network):
        raise Refused(f"the network {network[:200]!r} is not for containers of workers")
    return Resources(memory=memory, cpus=nano / 10**9, pids=pids, network=network != "none")


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST or "\0" in value:
        raise TypeError
    return value


def _same(made: object, asked: object, place: str) -> None:
    """`Refused` names the first place where they differ."""
    ours, theirs = _parts(made), _parts(asked)
    if ours is None or theirs is None or type(made) is not type(asked):
        if made != asked:
            raise Refused(f"{place.rstrip('.')} is not as our profile has it")
        return
    for key in sorted({*ours, *theirs}):
        if key not in ours or key not in theirs:
            raise Refused(f"{place}{key[:200]} is not as our profile has it")
        _same(ours[key], theirs[key], f"{place}{key}.")


def _parts(value: object) -> dict[str, object] | None:
    if isinstance(value, list):
        return {str(number): each for number, each in enumerate(cast("list[object]", value))}
    return cast("dict[str, object]", value) if isinstance(value, dict) else None
