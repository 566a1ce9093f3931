"""The hardened container, as data: nothing a command says can widen it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_servers.container.profile import Profile, create_request, environment, mount_target
from state.errors import SandboxUnavailable
from state.limits import GB, MB
from state.ports import Mount, Resources, SandboxCommand

PROFILE = Profile(boot="b", home="h", keeper=Path("/lib/keeper"), user="10001:10001", cores=4)
WORKDIR = Path("/srv/work")
NASTY = st.one_of(
    st.sampled_from(
        ["a:/etc:rw", "/:/host", "x,dst=/etc,rw", "--privileged", "a\nb", "\0", "../..", "0:0", "root", "host"]
    ),
    st.text(max_size=20),
)


def host(request: dict[str, object]) -> dict[str, object]:
    return cast("dict[str, object]", request["HostConfig"])


def binds(request: dict[str, object]) -> list[tuple[object, object, object]]:
    mounts = cast("list[dict[str, object]]", host(request)["Mounts"])
    return [(mount["Source"], mount["Target"], mount["ReadOnly"]) for mount in mounts]


@given(image=NASTY, label=NASTY, name=NASTY, value=NASTY, argument=NASTY, source=NASTY)
def test_names_add_no_mount_user_or_privilege(
    image: str, label: str, name: str, value: str, argument: str, source: str
) -> None:
    plain = SandboxCommand(("true",), WORKDIR, 1.0, mounts=(Mount(Path("/x"), "data"),))
    nasty = SandboxCommand(
        (argument,),
        WORKDIR,
        1.0,
        environment={name: value},
        mounts=(Mount(Path(f"/{source}"), "data"),),
        image=image,
        label=label,
    )
    expected, got = create_request(plain, "sha256:1", PROFILE), create_request(nasty, "sha256:1", PROFILE)
    assert binds(got) == [*binds(expected)[:2], (str(Path(f"/{source}")), "/work/data", True)]
    assert {**host(got), "Mounts": None} == {**host(expected), "Mounts": None}
    assert {**got, "HostConfig": None, "Labels": None} == {**expected, "HostConfig": None, "Labels": None}
    assert got["Labels"] == {"atlas.boot": "b", "atlas.home": "h", "atlas.label": label}
    json.dumps(got)


@given(target=NASTY)
def test_a_target_is_one_place_or_refused(target: str) -> None:
    try:
        place = mount_target(Mount(Path("/x"), target))
    except SandboxUnavailable:
        return
    assert place.startswith("/")
    assert ".." not in place.split("/")
    assert place not in ("/", "/work")
    assert not place.startswith(("/proc/", "/sys/", "/dev/", "/.atlas-keeper/"))


@pytest.mark.parametrize(
    "target", ["/", "/work", "/proc", "/proc/1", "/sys/fs", "/dev/null", "/.atlas-keeper", "..", "", ".", "a/../../b"]
)
def test_places_that_hold_the_sandbox_are_refused(target: str) -> None:
    with pytest.raises(SandboxUnavailable, match="not a place"):
        mount_target(Mount(Path("/x"), target))


def test_the_profile_is_hardened() -> None:
    request = create_request(SandboxCommand(("true",), WORKDIR, 1.0), "sha256:1", PROFILE)
    settings = host(request)
    assert request["User"] == "10001:10001"
    assert settings["CapDrop"] == ["ALL"]
    assert settings["SecurityOpt"] == ["no-new-privileges:true"]
    assert settings["ReadonlyRootfs"] is True
    assert settings["NetworkMode"] == "none"
    assert settings["Privileged"] is False
    assert settings["PidsLimit"] == 1024
    assert settings["Memory"] == settings["MemorySwap"] == 4 * GB
    assert settings["NanoCpus"] == 4_000_000_000
    assert not {"Binds", "CapAdd", "Devices", "PidMode", "VolumesFrom", "UsernsMode"} & settings.keys()
    assert binds(request) == [("/lib/keeper", "/.atlas-keeper", True), ("/srv/work", "/work", False)]


def test_resources_bound_the_container_within_what_the_engine_takes() -> None:
    resources = Resources(cpus=16, memory=1 * MB, pids=5, network=True)
    settings = host(create_request(SandboxCommand(("true",), WORKDIR, 1.0, resources=resources), "i", PROFILE))
    assert settings["NanoCpus"] == 4_000_000_000
    assert settings["Memory"] == 6 * MB
    assert settings["PidsLimit"] == 5
    assert settings["NetworkMode"] == "bridge"


def test_secrets_are_not_in_what_the_engine_stores() -> None:
    command = SandboxCommand(("run", "s3cret-argument"), WORKDIR, 1.0, environment={"TOKEN": "s3cret"})
    assert "s3cret" not in json.dumps(create_request(command, "sha256:1", PROFILE))


def test_the_command_sees_the_image_then_ours_then_its_own() -> None:
    command = SandboxCommand(("true",), WORKDIR, 1.0, environment={"B": "mine"})
    assert environment(command, ["PATH=/opt/bin", "A=1", "B=2", "HOME=/root"]) == {
        "PATH": "/opt/bin",
        "A": "1",
        "B": "mine",
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
    }
    assert "/usr/bin" in environment(command, [])["PATH"]
