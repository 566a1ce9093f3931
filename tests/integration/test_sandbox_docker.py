"""What only containers have: the hardened profile seen from inside, images, out-of-memory, and what is left behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mcp_servers.container.docker import DockerSandbox
from mcp_servers.container.engine import Engine
from mcp_servers.container.profile import Profile, create_request
from state.errors import ImageMissing, SandboxUnavailable
from state.limits import MB, PULSE_SECONDS
from state.ports import Exit, Mount, Resources, SandboxCommand, Stream
from tests.integration.container_workshop import all_but

pytestmark = pytest.mark.docker


@pytest.fixture
async def sandbox(docker_url: str, busybox_image: str, tmp_path: Path) -> AsyncIterator[DockerSandbox]:
    sandbox = DockerSandbox(boot="alive", home=str(tmp_path), url=docker_url, network="host")
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


def command(workdir: Path, script: str, **more: object) -> SandboxCommand:
    settings: dict[str, object] = {"workdir": workdir, "timeout": 60.0, "image": "atlas-test/busybox:1"} | more
    return SandboxCommand(argv=("sh", "-c", script), **settings)  # pyright: ignore[reportArgumentType]


async def run(sandbox: DockerSandbox, asked: SandboxCommand) -> tuple[Exit, str]:
    said: list[bytes] = []

    async def write(_stream: Stream, data: bytes) -> None:
        said.append(data)

    return await sandbox.run(asked, write), b"".join(said).decode()


async def test_inside_there_is_nothing_to_gain(sandbox: DockerSandbox, tmp_path: Path) -> None:
    _, uid = await run(sandbox, command(tmp_path, "id -u; id -g"))
    assert "0" not in uid.split()
    for attempt in (
        "touch /x",
        "touch /bin/x",
        "mount -t tmpfs x /work",
        "mknod /tmp/x b 8 0",
        "chown 0 /work",
        "echo x > /proc/sys/kernel/hostname",
        "ls /proc/1/fd",
        "echo > /proc/1/fd/0",
        "ulimit -c unlimited",
        "/.atlas-keeper",
        "echo x > /.atlas-keeper",
    ):
        ended, _ = await run(sandbox, command(tmp_path, f"{attempt} 2>/dev/null"))
        assert ended.code != 0, attempt


async def test_pid_1_shrugs_off_signals(sandbox: DockerSandbox, tmp_path: Path) -> None:
    ended, _ = await run(
        sandbox, command(tmp_path, "for s in KILL STOP TERM INT CHLD PIPE; do kill -$s 1; done; exit 4")
    )
    assert (ended.code, ended.cause) == (4, "exit")


async def test_a_kill_by_the_kernel_shows_whatever_the_exit_code(sandbox: DockerSandbox, tmp_path: Path) -> None:
    hog = f"head -c {100 * MB} /dev/zero | tail -c {90 * MB} > /dev/null"
    small = Resources(memory=24 * MB)
    ended, _ = await run(sandbox, command(tmp_path, f"{hog}; exit 0", resources=small))
    assert ended.cause == "oom"
    assert ended.code in (0, 137), "the kernel may take the shell as well: which, is its own choice"
    ended, _ = await run(sandbox, command(tmp_path, f"({hog}) & wait; exit 5", resources=small))
    assert ended.cause == "oom"
    assert ended.code in (5, 137)
    ended, _ = await run(sandbox, command(tmp_path, "exit 137", resources=small))
    assert (ended.code, ended.cause) == (137, "exit")


async def test_processes_are_bounded(sandbox: DockerSandbox, tmp_path: Path) -> None:
    script = "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 60 & done; echo all"
    ended, out = await run(sandbox, command(tmp_path, script, resources=Resources(pids=5)))
    assert ended.code != 0
    assert "all" not in out


async def test_filling_scratch_is_an_error_not_an_out_of_memory_kill(sandbox: DockerSandbox, tmp_path: Path) -> None:
    script = "dd if=/dev/zero of=/tmp/x bs=1M count=100 2>/dev/null || exit 9"
    ended, _ = await run(sandbox, command(tmp_path, script, resources=Resources(memory=64 * MB)))
    assert (ended.code, ended.cause) == (9, "exit")


async def test_mounts_at_absolute_places_and_for_writing(sandbox: DockerSandbox, tmp_path: Path) -> None:
    work, data, out = tmp_path / "work", tmp_path / "data", tmp_path / "out"
    for directory in (work, data, out):
        directory.mkdir()
    (data / "x").write_text("given")
    mounts = (
        Mount(data, "/data"), Mount(out, "/out", writable=True), Mount(out, "results", writable=True),
        Mount(out, "/work/build/deep", writable=True),
    )  # fmt: skip
    script = "cat /data/x; echo 1 > /out/a; echo 2 > results/b; ! touch /data/y; echo 3 > build/x"
    ended, said = await run(sandbox, command(work, script, mounts=mounts))
    assert ended.code == 0, said
    assert "given" in said
    assert (out / "a").read_text() + (out / "b").read_text() == "1\n2\n"
    made = [path.stat().st_uid for path in (work / "build", work / "build" / "deep", work / "build" / "x")]
    assert len(set(made)) == 1, "whoever may remove one of them may remove all"


async def test_a_missing_image_says_what_to_do(sandbox: DockerSandbox, tmp_path: Path) -> None:
    with pytest.raises(ImageMissing, match=r"127.0.0.1:1/none.*\n.*docker pull 127.0.0.1:1/none") as caught:
        await run(sandbox, command(tmp_path, "true", image="127.0.0.1:1/none"))
    assert "sandbox: host" in caught.value.hint
    for name in ("Not A Name", "../../containers/x", "x?y=z", "x//y", "-x", "x#", ""):
        with pytest.raises(ImageMissing, match="not the name of an image"):
            await run(sandbox, command(tmp_path, "true", image=name))
    with pytest.raises(ImageMissing):
        await run(sandbox, command(tmp_path, "true", image=None))
    for name in ("127.0.0.1:1/none", "x//y", None):
        with pytest.raises(ImageMissing, match="sandbox: host"):
            await sandbox.ready(name, Resources())


async def test_without_an_engine_it_says_what_to_do(tmp_path: Path) -> None:
    for url in (f"unix://{tmp_path}/none.sock", "tcp://127.0.0.1:1", "ssh://somewhere"):
        sandbox = DockerSandbox(boot="b", home="h", url=url)
        probe = await sandbox.probe()
        assert not probe.available
        assert "\n" not in probe.detail
        assert "sandbox: host" not in probe.hint
        with pytest.raises(SandboxUnavailable) as caught:
            await run(sandbox, command(tmp_path, "true"))
        with pytest.raises(SandboxUnavailable, match="sandbox: host"):
            await sandbox.ready("atlas-test/busybox:1", Resources())
        assert caught.value.hint.endswith(". Or use `sandbox: host`.")
        await sandbox.close()


async def test_the_engine_introduces_itself(sandbox: DockerSandbox) -> None:
    probe = await sandbox.probe()
    assert probe.available
    assert probe.detail.startswith("Docker ")


async def test_leftovers_of_dead_workers_are_removed_and_no_others(
    sandbox: DockerSandbox, docker_url: str, tmp_path: Path
) -> None:
    engine = Engine(docker_url)

    async def leave(boot: str, home: str) -> str:
        profile = Profile(boot=boot, home=home, keeper=Path("/bin/true"), user="1:1")
        body = create_request(command(tmp_path, "true"), "atlas-test/busybox:1", profile)
        reply = await engine.request("POST", "/containers/create", body=body)
        assert reply.status == 201, reply.message
        return str(reply.fields()["Id"])

    mine, dead, foreign = (
        await leave("alive", str(tmp_path)),
        await leave("dead", str(tmp_path)),
        await leave("dead", "another installation"),
    )
    running = asyncio.ensure_future(run(sandbox, command(tmp_path, "touch on; while [ ! -e go ]; do sleep 0.05; done")))
    try:
        while not (tmp_path / "on").exists():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert await sandbox.reap(all_but("dead")) == 1
        assert await sandbox.reap(all_but("dead")) == 0
        states = [(await engine.request("GET", f"/containers/{name}/json")).status for name in (mine, dead, foreign)]
        assert states == [200, 404, 200]
        (tmp_path / "go").touch()
        ended, _ = await running
        assert ended.code == 0
    finally:
        for name in (mine, dead, foreign):
            await engine.request("DELETE", f"/containers/{name}", {"force": "1"})
