"""Nothing that a call, an image or a name says widens what a container may do, or reaches what is not ours."""

from __future__ import annotations

import asyncio
import io
import os
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mcp_servers.container.containers import Containers
from mcp_servers.container.engine import Engine
from mcp_servers.container.profile import KEEPER
from tests.integration.container_workshop import Workshop, alive, all_but, eventually, running, within, workshop

pytestmark = pytest.mark.docker
HOSTILE = """
FROM atlas-test/busybox:1
LABEL atlas.home=/ atlas.kind=mcp mounts="/:/host" volumes='["/:/host"]' privileged=true run="docker run --privileged"
ENV LD_PRELOAD=/evil.so DOCKER_HOST=x
VOLUME ["/data", "/work", "/tmp", "/etc/deep"]
USER 0
WORKDIR /etc
ENTRYPOINT ["sh", "-c", "touch /tmp/entrypoint"]
CMD ["sh", "-c", "touch /tmp/command"]
HEALTHCHECK CMD touch /tmp/health
STOPSIGNAL SIGCONT
EXPOSE 80
"""


@pytest.fixture
async def shop(docker_url: str, busybox_image: str, tmp_path: Path) -> AsyncIterator[Workshop]:
    (tmp_path / "root").mkdir()
    async with workshop(docker_url, tmp_path, roots=[tmp_path / "root"], network="host") as found:
        yield found


def confinement(inspected: dict[str, Any]) -> dict[str, Any]:
    """What the engine confines a container by, without what may differ between two."""
    host = {name: value for name, value in inspected["HostConfig"].items() if name not in ("Mounts", "Tmpfs")}
    mounts = [(each["Type"], each["Destination"], each["RW"]) for each in inspected["Mounts"]]
    return {"host": host, "mounts": sorted(mounts), "user": inspected["Config"]["User"], "path": inspected["Path"]}


async def test_an_image_widens_nothing(shop: Workshop) -> None:
    built = await shop.call("container_build", name="hostile:1", dockerfile=HOSTILE)
    assert built["image"] == "atlas-mcp/hostile:1"
    plain, hostile = await shop.create(), await shop.create(built["image"])
    expected, got = confinement(await shop.inspect(plain)), confinement(await shop.inspect(hostile))
    assert got["host"] == expected["host"]
    assert [each for each in got["mounts"] if each[0] != "tmpfs"] == [("bind", KEEPER, False)] == expected["mounts"]
    assert got["user"] == expected["user"] != "0"
    assert got["path"] == KEEPER
    host = expected["host"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["ReadonlyRootfs"]
    assert host["NetworkMode"] == "none"
    assert not any(host[name] for name in ("Privileged", "CapAdd", "Devices", "Binds", "PortBindings"))
    assert 0 < host["PidsLimit"] <= 512
    assert host["Memory"] == host["MemorySwap"] > 0
    script = "id -u; pwd; ls /tmp /work /data; touch /data/x /work/x && echo written; touch /etc/x /x"
    ended = await shop.sh(hostile, script)
    assert ended["stdout"].split("\n")[0] != "0"
    assert "entrypoint" not in ended["stdout"]
    assert "command" not in ended["stdout"]
    assert "health" not in ended["stdout"]
    assert "written" in ended["stdout"]
    assert ended["stderr"].count("Read-only") == 2
    ran = await shop.call("container_run", image=built["image"], argv=["sh", "-c", "id -u; grep Cap /proc/self/status"])
    assert not ran["stdout"].startswith("0\n")
    assert "CapEff:\t0000000000000000" in ran["stdout"]
    volumes = (await shop.engine.request("GET", "/volumes")).fields()["Volumes"]
    assert not volumes, "no volume of the image was made on the engine's disk"


async def test_an_argument_asks_for_no_more(shop: Workshop, busybox_image: str) -> None:
    for extra in ("privileged", "volumes", "user", "mounts", "cap_add", "devices", "network_mode", "pid_mode"):
        said = await shop.refusal("container_create", image=busybox_image, **{extra: "host"})
        assert "no argument" in said
        assert "no argument" in await shop.refusal("container_exec", container="x", argv=["true"], **{extra: "0"})
    big = await shop.create(memory_mb=1 << 20, pids=100_000, cpus=1000, label="x,y=z --privileged")
    limits = (await shop.inspect(big))["HostConfig"]
    assert (limits["Memory"], limits["PidsLimit"]) == (2 << 30, 512)
    assert limits["NanoCpus"] <= (os.cpu_count() or 1) * 10**9
    assert (await shop.inspect(await shop.create(network=True)))["HostConfig"]["NetworkMode"] == "host"
    for network in ("host", "container:x"):
        assert "network" in await shop.refusal("container_create", image=busybox_image, network=network)


async def test_an_operator_may_close_and_open(docker_url: str, busybox_image: str, tmp_path: Path) -> None:
    async with workshop(docker_url, tmp_path, network=None, writable_root=True) as shop:
        for tool, more in (
            ("container_run", {"image": busybox_image, "argv": ["true"]}),
            ("container_build", {"name": "x", "dockerfile": "FROM scratch"}),
        ):
            assert "gives no" in await shop.refusal(tool, network=True, **more)
        assert not (await shop.inspect(await shop.create()))["HostConfig"]["ReadonlyRootfs"]


async def test_what_is_not_ours_does_not_exist(shop: Workshop, docker_url: str, tmp_path: Path) -> None:
    engine = Engine(docker_url)
    labels = {"atlas.home": str(tmp_path), "atlas.kind": "mcp"}
    body: dict[str, Any] = {"Image": "atlas-test/busybox:1", "Cmd": ["sleep", "600"], "Labels": {}}
    names: dict[str, Any] = {"foreign": {}, "forged": {"Labels": labels}, "atlas-mcp-forged": {"Labels": labels}}
    made: list[str] = []
    try:
        for name, more in names.items():
            reply = await engine.request("POST", "/containers/create", {"name": name}, body=body | more)
            made.append(str(reply.fields()["Id"]))
            assert (await engine.request("POST", f"/containers/{name}/start")).status == 204
        handles = [*names, *made, *(each[:12] for each in made), *(each[:4] for each in made)]
        absent = await shop.refusal("container_logs", container="nobody")
        for handle in handles:
            for tool, more in {
                "container_exec": {"argv": ["true"]},
                "container_logs": {},
                "container_stats": {},
                "container_stop": {},
                "container_remove": {},
                "container_read_file": {"path": "/etc/passwd"},
                "container_write_file": {"path": "/x", "content": "x"},
                "container_edit_file": {"path": "/x", "old": "x", "new": "y"},
                "container_list_files": {},
                "container_search_files": {"pattern": "x"},
                "container_copy_in": {"local": "x", "path": "x"},
                "container_copy_out": {"local": "x", "path": "x"},
            }.items():
                assert await shop.refusal(tool, container=handle, **more) == absent.replace("nobody", handle)
        assert (await shop.call("container_list"))["containers"] == []
        for each in made:
            assert (await shop.inspect(each))["State"]["Running"]
        async with workshop(docker_url, tmp_path, foreign=True) as seeing:
            listed = {each["container"] for each in (await seeing.call("container_list"))["containers"]}
            assert {each[:12] for each in made} <= listed
            await seeing.call("container_logs", container="foreign")
            assert "no such" in await seeing.refusal("container_stop", container="foreign")
            assert "no such" in await seeing.refusal("container_exec", container="foreign", argv=["true"])
            assert "no such" in await seeing.refusal("container_read_file", container="foreign", path="/etc/passwd")
    finally:
        for each in made:
            await engine.request("DELETE", f"/containers/{each}", {"force": "1"})


async def test_a_handle_is_only_a_handle(shop: Workshop) -> None:
    box = await shop.create()
    for handle in (
        f"{box}/../{box}", "../info", "..", ".", f"{box}?force=1", f"{box}%2f..", f"{box} ", f" {box}", f"{box}\n",
        f"{box}#x", f"{box}\r\nX: y", "-x", "ü", f"{box}/json?x=", "a" * 128,
    ):  # fmt: skip
        for tool in ("container_stop", "container_remove", "container_logs"):
            assert "no such container" in await shop.refusal(tool, container=handle), handle
    assert "at least 1" in await shop.refusal("container_stop", container="")
    assert (await shop.sh(box, "echo here"))["stdout"] == "here\n"
    name = (await shop.inspect(box))["Name"].removeprefix("/")
    for handle in (name, box[:6], (await shop.inspect(box))["Id"]):
        assert (await shop.sh(handle, "echo here"))["stdout"] == "here\n"


async def test_builds(shop: Workshop, tmp_path: Path) -> None:
    context = tmp_path / "root" / "context"
    context.mkdir()
    (context / "ünï").write_text("hello")
    (context / "Dockerfile").write_text("FROM atlas-test/busybox:1\nARG A=b\nCOPY * /data/\nRUN echo $A > /data/a")
    heard: list[str] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append(message or "")

    arguments = {"name": "mine", "context": str(context), "arguments": {"A": "c d"}}
    result = await shop.client.call_tool("container_build", arguments, progress_callback=hear)
    assert not result.is_error, result.content
    assert "RUN echo" in "".join(heard)
    ran = await shop.call("container_run", image="atlas-mcp/mine", argv=["sh", "-c", "cat /data/ünï /data/a"])
    assert ran["stdout"] == "helloc d\n"
    listed = (await shop.call("container_images", name="atlas-mcp/mine"))["images"]
    assert listed[0]["names"] == ["atlas-mcp/mine:latest"]
    said = await shop.refusal("container_build", name="x", dockerfile="FROM atlas-test/busybox:1\nRUN echo no; exit 7")
    assert "no\n" in said
    assert "returned a non-zero code: 7" in said
    said = await shop.refusal(
        "container_build", name="x", dockerfile="FROM atlas-test/busybox:1\nRUN ip link | grep eth"
    )
    assert "failed" in said, "no network"
    (context / "link").symlink_to("/etc/passwd")
    assert "symbolic link" in await shop.refusal("container_build", name="x", context=str(context))
    for name in ("../x", "X", "a b", "x?y=z", "registry:5000/x", "a/b", ""):
        assert "not a name" in await shop.refusal("container_build", name=name, dockerfile="FROM scratch")
    assert "allowed" in await shop.refusal("container_build", name="x", context="/etc")


async def test_a_cancelled_build_leaves_nothing(shop: Workshop) -> None:
    mark = f"8{os.getpid():08d}"
    before = {each["Id"] for each in await shop.all()}
    script = f"FROM atlas-test/busybox:1\nRUN sleep {mark} & setsid sleep {mark} & sleep {mark}"
    call = asyncio.ensure_future(shop.call("container_build", name="never", dockerfile=script))
    await running(mark, 3)
    with within(1):
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

        async def gone() -> bool:
            return not alive(mark)

        await eventually(gone)

    async def removed() -> bool:
        return not [each for each in await shop.all() if mark in each["Command"] and each["Id"] not in before]

    await eventually(removed)
    assert await shop.call("container_images", name="never") == {"images": []}


async def test_a_pull_that_fails_says_why(shop: Workshop) -> None:
    said = await shop.refusal("container_pull", image="127.0.0.1:1/none")
    assert "is not on the engine, and could not be pulled" in said
    assert "sandbox:" not in said
    name = {"repo": "127.0.0.1:1/there", "tag": "1"}
    assert (await shop.engine.request("POST", "/images/atlas-test/busybox:1/tag", name)).status == 201
    said = await shop.refusal("container_pull", image="127.0.0.1:1/there:1")
    assert "The image 127.0.0.1:1/there:1 could not be pulled" in said
    assert "The one on the engine stays as it was" in said
    for name in ("../../containers/x", "x?fromSrc=-", "a b", "-x"):
        assert "not the name of an image" in await shop.refusal("container_pull", image=name)


async def test_an_archive_from_a_hostile_container_stays_inside(shop: Workshop, tmp_path: Path) -> None:
    """The image's own shell says what it likes."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("./d"))
        member = tarfile.TarInfo("./../../../x")
        member.size = 4
        tar.addfile(member, io.BytesIO(b"evil"))
    context = tmp_path / "root" / "image"
    context.mkdir()
    (context / "evil").write_bytes(content.getvalue())
    (context / "sh").write_text("#!/bin/busybox sh\ncat /evil\n")
    (context / "sh").chmod(0o755)
    script = "FROM atlas-test/busybox:1\nCOPY evil /evil\nCOPY sh /usr/local/sbin/sh"
    built = await shop.call("container_build", name="lying", dockerfile=script, context=str(context))
    box = await shop.create(built["image"])
    said = await shop.refusal("container_copy_out", container=box, path="d", local="target")
    assert "leads elsewhere" in said
    assert [each.name for each in (tmp_path / "root").iterdir()] == ["image"]


async def test_what_a_dead_server_left_is_removed(docker_url: str, busybox_image: str, tmp_path: Path) -> None:
    async with workshop(docker_url, tmp_path) as shop:
        await shop.create()
        async with Containers(boot="other", home=str(tmp_path), url=docker_url, alive=all_but("other")):
            assert len(await shop.made()) == 1
        async with Containers(boot="other", home="elsewhere", url=docker_url, alive=all_but("boot")):
            assert len(await shop.made()) == 1
        async with Containers(boot="other", home=str(tmp_path), url=docker_url, alive=all_but("boot")):
            assert await shop.made() == []
