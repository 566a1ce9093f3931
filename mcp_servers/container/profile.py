"""The hardened container: what a command asks for, as the engine's create request. Pure data, nothing is looked up.

Whatever the names and values in a command say, the result has one user, no capabilities, no new privileges, the
engine's default seccomp filter, a read-only root, and only the mounts listed here: they travel as separate fields,
never inside a string that the engine would split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from state.errors import SandboxUnavailable
from state.limits import GB, MB
from state.ports import Mount, Resources, SandboxCommand

WORK = "/work"
KEEPER = "/.atlas-keeper"
BOOT_LABEL, HOME_LABEL, COMMAND_LABEL = "atlas.boot", "atlas.home", "atlas.label"
IMAGE_LABEL = "atlas.image"
"""The name by which an image was asked for: the engine itself is told its digest only."""
SMALLEST_MEMORY = 6 * MB
"""The engine takes no less."""
OPEN_FILES = 4_096
"""Per process; an engine that is limited itself can't start a container with more than it has."""
SHARED_MEMORY = 64 * MB
NOT_MOUNTABLE = ("/proc", "/sys", "/dev", KEEPER)


@dataclass(frozen=True, slots=True)
class Profile:
    """What does not depend on the command. `user` is ``uid:gid``; `network` is what a command with network gets;
    `cores` are the engine's; `memory` (bytes), `cpus` and `pids` hold for commands that don't say. `writable_root`:
    whatever the user may write in the image, it can."""

    boot: str
    home: str
    keeper: Path
    user: str
    network: str = "bridge"
    cores: int = 1
    memory: int = 4 * GB
    cpus: float | None = None
    pids: int = 1024
    writable_root: bool = False


def create_request(command: SandboxCommand, image: str, profile: Profile) -> dict[str, object]:
    """The body of ``POST /containers/create``. The command itself goes to the keeper, later and over its stdin:
    its environment may hold secrets, and the engine writes this request to its disk."""
    host = _host(command.resources, profile)
    host["Mounts"] = [
        _bind(str(profile.keeper), KEEPER, writable=False),
        _bind(str(command.workdir), WORK, writable=True),
        *(_bind(str(mount.source), mount_target(mount), writable=mount.writable) for mount in command.mounts),
    ]
    return _request(image, profile, host) | {"Labels": labels(profile) | {COMMAND_LABEL: command.label}}


def workshop_request(image: str, volumes: Sequence[str], resources: Resources, profile: Profile) -> dict[str, object]:
    """A container that has nothing of this host: its working directory is in memory, and so is every volume that its
    image asks for, since the engine would put those on its disk, where nothing bounds them."""
    host = _host(resources, profile)
    memory = max(resources.memory or profile.memory, SMALLEST_MEMORY)
    places = sorted({str(PurePosixPath("/") / volume) for volume in volumes} - set(NOT_MOUNTABLE) - {"/"})
    host["Mounts"] = [_bind(str(profile.keeper), KEEPER, writable=False)]
    host["Tmpfs"] = {place: _scratch(profile.user, memory // 2) for place in ("/tmp", WORK, *places)}  # noqa: S108
    return _request(image, profile, host)


def labels(profile: Profile) -> dict[str, str]:
    """What says whose container it is."""
    return {BOOT_LABEL: profile.boot, HOME_LABEL: profile.home}


def _host(resources: Resources, profile: Profile) -> dict[str, object]:
    """The part that confines, the same for every container."""
    memory = max(resources.memory or profile.memory, SMALLEST_MEMORY)
    cpus = min(resources.cpus or profile.cpus or profile.cores, profile.cores)
    return {
        "AutoRemove": True,
        "CapDrop": ["ALL"],
        "IpcMode": "private",
        "LogConfig": {"Type": "none", "Config": {}},
        "Memory": memory,
        "MemorySwap": memory,
        "NanoCpus": max(1, round(cpus * 100)) * 10_000_000,
        "NetworkMode": profile.network if resources.network else "none",
        "PidsLimit": resources.pids or profile.pids,
        "Privileged": False,
        "ReadonlyRootfs": not profile.writable_root,
        "SecurityOpt": ["no-new-privileges:true"],
        "ShmSize": min(SHARED_MEMORY, memory // 2),
        "Tmpfs": {"/tmp": _scratch(profile.user, memory // 2)},  # noqa: S108
        "Ulimits": [
            {"Name": "core", "Soft": 0, "Hard": 0},
            {"Name": "nofile", "Soft": OPEN_FILES, "Hard": OPEN_FILES},
        ],
    }


def _request(image: str, profile: Profile, host: dict[str, object]) -> dict[str, object]:
    return {
        "Image": image,
        "Entrypoint": [KEEPER],
        "Cmd": [],
        "User": profile.user,
        "WorkingDir": WORK,
        "Hostname": "sandbox",
        "Labels": labels(profile),
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": False,
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": host,
    }


def environment(command: SandboxCommand, image: list[str]) -> dict[str, str]:
    """What the command sees: the image's own variables (PATH among them), HOME and LANG, and what it names."""
    own = {name: value for name, _, value in (variable.partition("=") for variable in image)}
    path = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    return path | own | {"HOME": "/tmp", "LANG": "C.UTF-8"} | dict(command.environment)  # noqa: S108


def mount_target(mount: Mount) -> str:
    """Where a mount appears: absolute, or below the working directory. `SandboxUnavailable` for places that hold the
    sandbox itself."""
    path = PurePosixPath(WORK) / mount.target
    reserved = any(path.is_relative_to(place) for place in NOT_MOUNTABLE) or PurePosixPath(WORK).is_relative_to(path)
    if ".." in path.parts or reserved or "\0" in mount.target or not mount.target:
        raise SandboxUnavailable(f"The mount target {mount.target!r} is not a place where a container takes a mount.")
    return str(path)


def _scratch(user: str, size: int) -> str:
    """Executable like /work, or compilers and installers break; half of the memory, or filling it would be an OOM; and
    the user's own, since older runtimes give it the mode that the image's directory has."""
    uid, gid = user.split(":")
    return f"rw,exec,nosuid,nodev,size={size},mode=1777,uid={uid},gid={gid}"


def _bind(source: str, target: str, *, writable: bool) -> dict[str, object]:
    options = {"Propagation": "rprivate"}
    return {"Type": "bind", "Source": source, "Target": target, "ReadOnly": not writable, "BindOptions": options}
