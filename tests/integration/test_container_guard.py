"""The guard before a real engine, and somebody who has taken over a worker behind it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import pytest

from mcp_servers.container.docker import DockerSandbox
from mcp_servers.container.engine import Engine
from mcp_servers.container.guard.pins import Pins
from mcp_servers.container.guard.policy import Refused
from mcp_servers.container.profile import Profile, create_request
from state.limits import PULSE_SECONDS
from state.ports import Mount, SandboxCommand, Stream
from tests.services.guarded_engine import guard

pytestmark = pytest.mark.docker
NAME = "atlas-0123456789abcdef"


@pytest.fixture
async def sandbox(guarded_url: str, busybox_image: str, tmp_path: Path) -> AsyncIterator[DockerSandbox]:
    sandbox = DockerSandbox(boot="alive", home=str(tmp_path), url=guarded_url)
    quiet = threading.Event()

    def pulse() -> None:
        while not quiet.wait(PULSE_SECONDS):
            sandbox.pulse()

    pulses = threading.Thread(target=pulse)
    pulses.start()
    yield sandbox
    quiet.set()
    pulses.join()
    await sandbox.close()


async def body(url: str, image: str, workdir: Path, *mounts: Mount) -> dict[str, Any]:
    """As a worker of ours asks."""
    found = await Engine(url).request("GET", f"/images/{quote(image, safe='')}/json")
    command = SandboxCommand(("true",), workdir, 60.0, image=image, mounts=mounts)
    profile = Profile(boot="b", home="h", keeper=Path("/any"), user="10001:10001")
    return cast("dict[str, Any]", create_request(command, str(found.fields()["Id"]), profile))


async def create(url: str, request: object, name: str = NAME) -> tuple[int, str]:
    reply = await Engine(url).request("POST", "/containers/create", {"name": name}, body=request)
    return reply.status, reply.message


async def gone(url: str) -> None:
    async with asyncio.timeout(30):
        while (await Engine(url).request("GET", f"/containers/{NAME}/json")).status != 404:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def mounts(pid: int | str) -> list[str]:
    return Path("/proc", str(pid), "mountinfo").read_text().splitlines()


def start_again(url: str, engine: str, own: Path, binds: Path) -> str:
    """What another guard on the same directory says first; it is ended then."""
    arguments = ["--listen", url, "--engine", engine, "--binds", str(binds), "--own", str(own)]
    program = [sys.executable, "-m", "mcp_servers.container.guard", *arguments]
    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        process.terminate()
    return said


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1.41/containers/create"), ("POST", "/containers/create/"), ("POST", "//containers/create"),
        ("POST", "/CONTAINERS/create"), ("POST", "/build"), ("POST", "/containers/prune"), ("POST", "/volumes/create"),
        ("GET", "/volumes"), ("POST", "/networks/create"), ("GET", "/events"), ("GET", "/containers/json/../../info"),
        ("POST", "/plugins/pull"), ("POST", "/swarm/init"), ("POST", "/images/load"), ("POST", "/commit"),
        ("GET", "/images/json"), ("DELETE", "/images/atlas-test%2Fbusybox:1"), ("GET", "/system/df"), ("GET", "/"),
        ("GET", f"/containers/{NAME}/json"), ("GET", f"/containers/{NAME}/archive"), ("GET", "/images/x/get"),
        ("POST", f"/containers/{NAME}/exec"), ("POST", f"/containers/{NAME}/update"), ("POST", "/exec/x/start"),
        ("POST", f"/containers/{NAME}/rename"), ("POST", f"/containers/{NAME}/restart"), ("GET", "/secrets"),
    ],
)  # fmt: skip
async def test_everything_that_workers_have_no_reason_for_is_refused(guarded_url: str, method: str, path: str) -> None:
    assert (await Engine(guarded_url).request(method, path)).status == 403


async def test_containers_of_others_do_not_exist(
    guarded_url: str, docker_url: str, busybox_image: str, tmp_path: Path
) -> None:
    engine = Engine(docker_url)
    foreign = await body(docker_url, busybox_image, tmp_path)
    foreign["HostConfig"]["Mounts"] = []
    foreign["Labels"]["atlas.guard"] = guarded_url.removeprefix("unix://")
    identity = str((await engine.request("POST", "/containers/create", {"name": NAME}, body=foreign)).fields()["Id"])
    try:
        listed = await Engine(guarded_url).request("GET", "/containers/json", {"all": "1"})
        assert listed.body == []
        for handle in (NAME, identity, identity[:12]):
            for method, path in (("DELETE", ""), ("POST", "/start"), ("POST", "/attach")):
                reply = await Engine(guarded_url).request(method, f"/containers/{handle}{path}")
                assert reply.status == 404, (method, path)
        status, _ = await create(guarded_url, await body(guarded_url, busybox_image, tmp_path))
        assert status == 409, "the name is taken"
        assert (await engine.request("GET", f"/containers/{identity}/json")).status == 200, (
            "and its owner is still there"
        )
    finally:
        await engine.request("DELETE", f"/containers/{identity}", {"force": "1"})


async def test_no_request_makes_more_than_the_profile(guarded_url: str, busybox_image: str, tmp_path: Path) -> None:
    request = await body(guarded_url, busybox_image, tmp_path)
    for part in ({"Privileged": True}, {"Binds": ["/:/host"]}, {"PidMode": "host"}, {"privileged": True}):
        status, why = await create(guarded_url, request | {"HostConfig": request["HostConfig"] | part})
        assert (status, "the guard before the engine" in why) == (403, True)
    for name in ("postgres", "atlas-1", NAME + "/../x", ""):
        assert (await create(guarded_url, request, name))[0] == 403
    for path in ("/", "/etc", str(tmp_path / ".." / ".." / ".."), "/var/run/docker.sock", "/proc/1/root"):
        stolen = json.loads(json.dumps(request))
        stolen["HostConfig"]["Mounts"][1]["Source"] = path
        status, why = await create(guarded_url, stolen)
        assert (status, "does not lie in" in why) == (403, True), path


async def test_links_lead_nowhere(guarded_url: str, busybox_image: str, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/")
    (tmp_path / "relative").symlink_to("../../../../../..")
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        for name in ("link", "link/etc", "relative", "fifo", "s", "none", "none/x"):
            status, why = await create(guarded_url, await body(guarded_url, busybox_image, tmp_path / name))
            assert status == 403, (name, why)
    assert (await Engine(guarded_url).request("GET", "/containers/json")).body == []


async def test_what_was_judged_is_what_is_mounted(
    guarded_url: str, docker_url: str, busybox_image: str, tmp_path: Path
) -> None:
    """The engine looks at a path when it starts the container: until then, somebody else may have come to be there."""
    ours = tmp_path / "ours"
    ours.mkdir()
    (ours / "file").write_text("of ours")
    request = await body(guarded_url, busybox_image, ours)
    assert (await create(guarded_url, request))[0] == 201
    connection, _ = await Engine(guarded_url).attach(f"/containers/{NAME}/attach")
    ours.rename(tmp_path / "elsewhere")
    ours.symlink_to("/etc")
    with connection:
        assert (await Engine(guarded_url).request("POST", f"/containers/{NAME}/start")).status == 204
        state = (await Engine(docker_url).request("GET", f"/containers/{NAME}/json")).fields()["State"]
        lines = mounts(cast("dict[str, int]", state)["Pid"])
        assert [line.split()[3] for line in lines if line.split()[4] == "/work"] == [str(tmp_path / "elsewhere")]
    await gone(docker_url)


async def test_a_container_ends_with_its_line_whatever_runs_in_it(
    guarded_url: str, docker_url: str, busybox_image: str, tmp_path: Path
) -> None:
    """Never started, too."""
    assert (await create(guarded_url, await body(guarded_url, busybox_image, tmp_path)))[0] == 201
    connection, _ = await Engine(guarded_url).attach(f"/containers/{NAME}/attach")
    connection.close()
    await gone(docker_url)


async def test_no_pins_are_left(sandbox: DockerSandbox, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("given")

    async def write(_stream: Stream, data: bytes) -> None:
        said.append(data)

    said: list[bytes] = []
    command = SandboxCommand(
        ("sh", "-c", "cat data; grep -c . /proc/self/mountinfo >made"), tmp_path, 60.0, image="atlas-test/busybox:1",
        mounts=(Mount(tmp_path / "data", "data"),),
    )  # fmt: skip
    assert (await sandbox.run(command, write)).code == 0
    assert (b"".join(said), (tmp_path / "made").exists()) == (b"given", True)
    assert not [line for line in mounts("self") if "/pins/" in line]


async def test_a_guard_removes_what_an_earlier_one_left(docker_url: str, busybox_image: str, tmp_path: Path) -> None:
    engine, work = Engine(docker_url), tmp_path / "work"
    work.mkdir()
    with guard(docker_url, tmp_path) as url:
        assert (await create(url, await body(url, busybox_image, work)))[0] == 201
        own = Path(url.removeprefix("unix://")).parent / "own"
        pins = own / "pins"
        assert [each.name for each in pins.iterdir()] == [NAME]
        said = await asyncio.to_thread(start_again, url, docker_url, own, tmp_path)
        assert said.startswith("listening")
        assert list(pins.iterdir()) == []
        assert (await engine.request("GET", f"/containers/{NAME}/json")).status == 404


async def test_images_come_from_allowed_places_only(guarded_url: str) -> None:
    engine = Engine(guarded_url)
    for query in (
        {"fromImage": "127.0.0.1:1/x"}, {"fromSrc": "http://127.0.0.1/x"}, {"fromImage": "x", "fromSrc": "-"},
        {"fromImage": "x", "repo": "y"}, {"fromImage": "../x"}, {},
    ):  # fmt: skip
        assert (await engine.request("POST", "/images/create", query)).status == 403, query
    assert (await engine.request("GET", "/images/..%2Fcontainers%2Fx/json")).status == 404


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /info HTTP/1.0\r\n\r\n",
        b"HEAD /info HTTP/1.1\r\n\r\n",
        b"GET http://x/info HTTP/1.1\r\n\r\n",
        b"GET  /info HTTP/1.1\r\n\r\n",
        b"GET /info HTTP/1.1\nHost: x\n\r\n\r\n",
        b"POST /containers/create HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 20\r\n\r\n{}",
        b"POST /containers/create HTTP/1.1\r\nContent-Length: 2\r\ncontent-length: 2\r\n\r\n{}",
        b"POST /containers/create HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"POST /containers/create HTTP/1.1\r\nContent-Length: 2, 3\r\n\r\n{}",
        b"POST /containers/create HTTP/1.1\r\nContent-Length: +2\r\n\r\n{}",
        b"POST /containers/create HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n",
        b"POST /containers/create HTTP/1.1\r\nContent-Length : 2\r\n\r\n{}",
        b"POST /containers/create HTTP/1.1\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /containers/create HTTP/1.1\r\nContent-Length: 3\r\n\r\n{'}",
        b"POST /containers/create?name=a&name=b HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /containers/create HTTP/1.1\r\nContent-Length: 100000\r\n\r\n" + b"[" * 100_000,
        b"\x16\x03\x01\x02\x00\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    ],
)
async def test_what_could_be_read_in_two_ways_is_not_read(guarded_url: str, request_: bytes) -> None:
    reader, writer = await asyncio.open_unix_connection(guarded_url.removeprefix("unix://"))
    writer.write(request_)
    writer.write_eof()
    assert (await reader.read()).split()[1] == b"400"
    writer.close()
    await writer.wait_closed()


async def test_a_second_request_on_the_same_line_is_nobodys(guarded_url: str) -> None:
    reader, writer = await asyncio.open_unix_connection(guarded_url.removeprefix("unix://"))
    writer.write(b"GET /info HTTP/1.1\r\n\r\nGET /events HTTP/1.1\r\n\r\n")
    answers = await reader.read()
    assert (answers.count(b"HTTP/1.1"), b"200 OK" in answers) == (1, True)
    told = json.loads(answers.partition(b"\r\n\r\n")[2])
    assert set(told) == {"OSType", "ServerVersion", "Architecture", "NCPU"}
    writer.close()
    await writer.wait_closed()


def test_a_pin_follows_nothing(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("this user may not mount")
    base, pins = tmp_path / "base", Pins(tmp_path / "pins")
    (base / "a").mkdir(parents=True)
    (base / "a" / "file").write_text("x")
    (base / "out").symlink_to(tmp_path)
    pinned = pins.pin("one", 1, base / "a")
    try:
        (base / "a").rename(base / "b")
        (base / "a").symlink_to("/")
        assert [each.name for each in pinned.iterdir()] == ["file"]
        for way in ("out", "out/base", "a", "a/etc"):
            with pytest.raises(Refused):
                pins.pin("two", 1, base / way)
    finally:
        for name in ("one", "two"):
            pins.release(name)
    assert list((tmp_path / "pins").iterdir()) == []
    assert (base / "b" / "file").read_text() == "x"
