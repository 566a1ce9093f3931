"""What the guard makes of a request: the profile's own container, or a refusal."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from mcp_servers.container.guard.policy import Allowed, Refused, remade
from mcp_servers.container.profile import Profile, create_request
from state.limits import GB
from state.ports import Mount, Resources, SandboxCommand

HOME = Path("/var/lib/atlas/home")
IMAGE = "sha256:" + "a" * 64
ALLOWED = Allowed(binds=(HOME,), network="sandboxes")
OWN_KEEPER = Path("/run/guard/keeper")


def asked(**more: Any) -> dict[str, Any]:
    """As a worker of ours asks."""
    settings: dict[str, Any] = {"resources": Resources(cpus=1.5, memory=1 * GB), "label": "run/todo"} | more
    mounts = (Mount(HOME / "cache/x", "data/x"), Mount(HOME / "work/b/t/outputs/0", "/out", writable=True))
    command = SandboxCommand(("true",), HOME / "work/b/t/work", 60.0, image="x", mounts=mounts, **settings)
    profile = Profile(
        boot="b", home=str(HOME), keeper=Path("/opt/atlas/keeper"), user="10001:10001", network="sandboxes"
    )
    return cast("dict[str, Any]", create_request(command, IMAGE, profile))


@pytest.mark.parametrize("resources", [Resources(), Resources(cpus=0.3, memory=1, pids=7), Resources(network=True)])
def test_what_workers_ask_for_is_made_as_it_is_but_for_the_keeper(resources: Resources) -> None:
    request = asked(resources=resources)
    made, sources = remade(copy.deepcopy(request), ALLOWED, OWN_KEEPER)
    request["HostConfig"]["Mounts"][0]["Source"] = str(OWN_KEEPER)
    assert made == request
    assert sources == [
        str(OWN_KEEPER),
        *(str(HOME / each) for each in ("work/b/t/work", "cache/x", "work/b/t/outputs/0")),
    ]


def host(**more: object) -> Callable[[dict[str, Any]], object]:
    return lambda body: body["HostConfig"].update(more)


def body(**more: object) -> Callable[[dict[str, Any]], object]:
    return lambda asked: asked.update(more)


def mount(number: int, **more: object) -> Callable[[dict[str, Any]], object]:
    return lambda asked: asked["HostConfig"]["Mounts"][number].update(more)


ATTACKS: dict[str, Callable[[dict[str, Any]], object]] = {
    "privileged": host(Privileged=True),
    "privileged, as a number": host(Privileged=1, CapDrop=[]),
    "in another case, which the engine takes too": host(privileged=True),
    "another part of the request in another case": body(hostconfig={"Privileged": True}),
    "old binds": host(Binds=["/:/host"]),
    "the volumes of others": host(VolumesFrom=["other"]),
    "a volume with the root directory behind it": lambda asked: asked["HostConfig"]["Mounts"].append(
        {
            "Type": "volume",
            "Target": "/x",
            "Source": "v",
            "ReadOnly": False,
            "VolumeOptions": {"DriverConfig": {"Name": "local", "Options": {"o": "bind", "device": "/"}}},
        }
    ),
    "a mount of another type": mount(2, Type="volume"),
    "shared propagation": mount(1, BindOptions={"Propagation": "rshared"}),
    "capabilities back": host(CapAdd=["SYS_ADMIN"]),
    "no capability dropped": host(CapDrop=[]),
    "seccomp off": host(SecurityOpt=["no-new-privileges:true", "seccomp=unconfined"]),
    "new privileges": host(SecurityOpt=[]),
    "masked paths": host(MaskedPaths=[]),
    "read-only paths": host(ReadonlyPaths=[]),
    "a root that can be written to": host(ReadonlyRootfs=False),
    "processes of the host": host(PidMode="host"),
    "the host's memory segments": host(IpcMode="host"),
    "the host's names": host(UTSMode="host"),
    "the host's users": host(UsernsMode="host"),
    "the host's cgroups": host(CgroupnsMode="host"),
    "a parent cgroup": host(CgroupParent="/"),
    "the host's network": host(NetworkMode="host"),
    "the network of another container": host(NetworkMode="container:postgres"),
    "a second network": body(NetworkingConfig={"EndpointsConfig": {"host": {}}}),
    "ports": host(PortBindings={"80/tcp": [{"HostPort": "80"}]}),
    "devices": host(Devices=[{"PathOnHost": "/dev/sda", "PathInContainer": "/dev/sda", "CgroupPermissions": "rwm"}]),
    "device rules": host(DeviceCgroupRules=["a *:* rwm"]),
    "device requests": host(DeviceRequests=[{"Count": -1}]),
    "another runtime": host(Runtime="other"),
    "kernel settings": host(Sysctls={"kernel.core_pattern": "|/x"}),
    "groups": host(GroupAdd=["docker"]),
    "root": body(User="0:0"),
    "another user": body(User="999:999"),
    "another program as PID 1": body(Entrypoint=["/bin/sh"]),
    "arguments for it": body(Cmd=["x"]),
    "an environment for it": body(Env=["LD_PRELOAD=/work/x"]),
    "a health check": body(Healthcheck={"Test": ["CMD-SHELL", "true"]}),
    "volumes": body(Volumes={"/x": {}}),
    "a terminal": body(Tty=True),
    "no line to its worker": body(OpenStdin=False),
    "a life after its worker's": body(StdinOnce=False),
    "a restart": host(RestartPolicy={"Name": "always"}),
    "staying": host(AutoRemove=False),
    "a log driver": host(LogConfig={"Type": "syslog", "Config": {"syslog-address": "tcp://x:1"}}),
    "no limit of memory": host(Memory=0, MemorySwap=0),
    "a negative limit": host(Memory=-1, MemorySwap=-1),
    "swap": host(MemorySwap=-1),
    "much memory": host(Memory=64 * GB, MemorySwap=64 * GB),
    "a limit in words": host(PidsLimit="many"),
    "true as a limit": host(PidsLimit=True),
    "no limit of processes": host(PidsLimit=None),
    "all cores": host(NanoCpus=64 * 10**9),
    "a killer kept away": host(OomKillDisable=True),
    "a place where the memory of others is": host(OomScoreAdj=-1000),
    "more locked memory": host(Ulimits=[{"Name": "memlock", "Soft": -1, "Hard": -1}]),
    "another scratch": host(Tmpfs={"/tmp": "rw,suid,dev,exec"}),
    "an image by name": body(Image="busybox"),
    "labels of others": body(Labels={"com.docker.compose.project": "x"}),
    "one label more": lambda asked: asked["Labels"].update({"atlas.guard": "x"}),
    "a label of another type": lambda asked: asked["Labels"].update({"atlas.boot": {"x": 1}}),
    "over the keeper": mount(2, Target="/.atlas-keeper"),
    "over the root": mount(2, Target="/"),
    "out of the working directory": mount(2, Target="/work/../proc/x"),
    "the keeper elsewhere": mount(0, Target="/x"),
    "a keeper that can be written to": mount(0, ReadOnly=False),
    "no keeper": lambda asked: asked["HostConfig"]["Mounts"].pop(0),
    "no mounts": host(Mounts=[]),
    "a great many mounts": lambda asked: asked["HostConfig"]["Mounts"].extend(asked["HostConfig"]["Mounts"] * 200),
    "no host configuration": lambda asked: asked.pop("HostConfig"),
    "no limits": lambda asked: asked["HostConfig"].pop("Memory"),
    "what nobody has thought of yet": host(SomethingNew=True),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_anything_else_is_refused(attack: Callable[[dict[str, Any]], object]) -> None:
    request = asked()
    attack(request)
    with pytest.raises(Refused):
        remade(request, ALLOWED, OWN_KEEPER)


@pytest.mark.parametrize("body", [None, 1, "x", [], {}, [[]], {"HostConfig": None}, {"HostConfig": [], "Labels": []}])
def test_what_is_no_request_at_all(body: object) -> None:
    with pytest.raises(Refused):
        remade(body, ALLOWED, OWN_KEEPER)


@pytest.mark.parametrize(
    "source",
    [
        "/", "/etc", "/var/lib/atlas/home", "/var/lib/atlas/home/", "/var/lib/atlas/home/..", "/var/lib/atlas/homely/x",
        "/var/lib/atlas/home/../../../../etc", "/var/lib/atlas/home/./x", "//var/lib/atlas/home/x", "home/x", "", ".",
        "/var/lib/atlas/home/x\n/etc", "/var/lib/atlas/run/guard.sock", "/proc/self/root", "/var/run/docker.sock",
    ],
)  # fmt: skip
def test_paths_that_no_container_may_have(source: str) -> None:
    with pytest.raises(Refused):
        ALLOWED.place(source)


def test_paths_that_they_may_have() -> None:
    path = "/var/lib/atlas/home/work/x y/ä"
    assert ALLOWED.place(path) == Path(path)


def test_where_images_come_from() -> None:
    some = Allowed(binds=(HOME,), registries=("docker.io", "registry.example:5000"))
    for name in ("python:3.12-slim", "library/python", "docker.io/library/python", "registry.example:5000/x"):
        assert some.pulls(name)
    for name in ("localhost/x", "127.0.0.1:5000/x", "registry.example/x", "10.0.0.1/x:latest", "quay.io/x/y"):
        assert not some.pulls(name)
    assert not ALLOWED.pulls("python")


def test_without_a_network_there_is_none() -> None:
    with pytest.raises(Refused):
        remade(asked(resources=Resources(network=True)), Allowed(binds=(HOME,)), OWN_KEEPER)
