"""What every sandbox keeps: the port `state.ports.Sandbox`, over host namespaces, host process trees and containers."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mcp_servers.container.docker import DockerSandbox
from mcp_servers.container.host import HostSandbox
from state.errors import SandboxUnavailable
from state.limits import MB, PULSE_LIMIT_SECONDS, PULSE_SECONDS
from state.ports import Exit, Mount, Resources, Sandbox, SandboxCommand, Stream

KINDS = ["namespace", "tree", pytest.param("docker", marks=pytest.mark.docker)]
DEADLINE = 60.0


@dataclass
class Bench:
    """A sandbox with a worker's heartbeat, a working directory, and a way to find processes by a number they carry."""

    kind: str
    sandbox: Sandbox
    workdir: Path
    image: str | None
    marker: str = field(default_factory=lambda: str(random.randrange(10**8, 10**9)))
    quiet: threading.Event = field(default_factory=threading.Event)

    def command(self, *argv: str, timeout: float = DEADLINE, **more: object) -> SandboxCommand:
        settings: dict[str, object] = {"workdir": self.workdir, "image": self.image, "label": "test"} | more
        return SandboxCommand(argv=argv, timeout=timeout, **settings)  # pyright: ignore[reportArgumentType]

    async def run(self, *argv: str, timeout: float = DEADLINE, **more: object) -> tuple[Exit, bytes, bytes]:
        said: dict[Stream, list[bytes]] = {"stdout": [], "stderr": []}

        async def write(stream: Stream, data: bytes) -> None:
            said[stream].append(data)

        ended = await self.sandbox.run(self.command(*argv, timeout=timeout, **more), write)
        return ended, b"".join(said["stdout"]), b"".join(said["stderr"])

    async def shell(self, script: str, timeout: float = DEADLINE, **more: object) -> tuple[Exit, bytes, bytes]:
        return await self.run("sh", "-c", script, timeout=timeout, **more)

    def alive(self) -> list[str]:
        """Processes of this machine, containers included, whose command line holds the marker."""
        found: list[str] = []
        for entry in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208
            try:
                line = Path("/proc", entry, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if self.marker in line:
                found.append(line)
        return found

    def pulse(self) -> None:
        while not self.quiet.wait(PULSE_SECONDS):
            self.sandbox.pulse()


async def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"never: {what}"
        await asyncio.sleep(0.01)


async def ignore(_stream: Stream, _data: bytes) -> None:
    return


@pytest.fixture(params=KINDS)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    workdir = tmp_path / "work"
    workdir.mkdir()
    if request.param == "docker":
        image = str(request.getfixturevalue("busybox_image"))
        url = str(request.getfixturevalue("docker_url"))
        sandbox = DockerSandbox(boot=f"test-{os.getpid()}", home=str(tmp_path), url=url, network="host")
    else:
        image = None
        sandbox = HostSandbox(form=request.param, scratch=tmp_path)
        if request.param == "namespace" and "namespaces" not in (await HostSandbox().probe()).detail.split(":")[0]:
            pytest.skip("this system does not allow user namespaces")
    bench = Bench(str(request.param), sandbox, workdir, image)
    pulses = threading.Thread(target=bench.pulse)
    pulses.start()
    yield bench
    bench.quiet.set()
    pulses.join()
    await sandbox.close()
    assert bench.alive() == []


# --- how commands end -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 1, 7, 255])
async def test_the_exit_code_is_the_commands(bench: Bench, code: int) -> None:
    ended, out, err = await bench.shell(f"exit {code}")
    assert (ended.code, ended.cause, out, err) == (code, "exit", b"", b"")
    assert 0 <= ended.seconds < DEADLINE


@pytest.mark.parametrize(("name", "number"), [("KILL", 9), ("TERM", 15), ("SEGV", 11)])
async def test_a_signal_is_128_and_its_number(bench: Bench, name: str, number: int) -> None:
    ended, _, _ = await bench.shell(f"kill -{name} $$")
    assert (ended.code, ended.cause) == (128 + number, "exit")


async def test_a_program_that_is_not_there_is_127(bench: Bench) -> None:
    for program in ("no-such-program", "./no-such-program", "/no/such/program", "", "/bin/sh/inside"):
        ended, out, err = await bench.run(program)
        assert (ended.code, ended.cause, out) == (127, "exit", b"")
        assert err == f"atlas: {program}: not found\n".encode()


async def test_a_program_that_cannot_start_is_126(bench: Bench) -> None:
    (bench.workdir / "data").write_text("not a program")
    (bench.workdir / "data").chmod(0o644)
    ended, _, err = await bench.run("./data")
    assert (ended.code, err) == (126, b"atlas: ./data: Permission denied\n")
    (bench.workdir / "data").chmod(0o755)
    ended, _, err = await bench.run("./data")
    assert (ended.code, err) == (126, b"atlas: ./data: Exec format error\n")
    ended, _, err = await bench.run("echo", "x" * 200_000)
    assert (ended.code, err) == (126, b"atlas: echo: Argument list too long\n")


async def test_what_no_program_can_be_given_is_126(bench: Bench) -> None:
    for argv, environment in ((("echo", "a\0b"), {}), (("echo", "\ud800"), {}), (("env",), {"A=B": "c"}), ((), {})):
        ended, out, err = await bench.run(*argv, environment=environment)
        assert (ended.code, out) == (126, b"")
        assert err.startswith(b"atlas: ")


async def test_it_is_ready_for_what_it_can_start(bench: Bench) -> None:
    for network in (None, False):
        resources = Resources(network=network)
        if bench.kind == "tree" and network is False:
            with pytest.raises(SandboxUnavailable, match="no network namespaces"):
                await bench.sandbox.ready(bench.image, resources)
            continue
        await bench.sandbox.ready(bench.image, resources)
        ended, _, _ = await bench.run("true", resources=resources)
        assert ended.code == 0


async def test_a_missing_working_directory_is_no_exit_code(bench: Bench) -> None:
    with pytest.raises(SandboxUnavailable, match="not there"):
        await bench.run("true", workdir=bench.workdir / "gone")


async def test_standard_input_is_empty(bench: Bench) -> None:
    ended, out, _ = await bench.run("cat")
    assert (ended.code, out) == (0, b"")


# --- output -----------------------------------------------------------------------------------------------------------


async def test_both_streams_arrive_complete_and_apart(bench: Bench) -> None:
    _, out, err = await bench.shell("i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo out $i; echo err $i >&2; done")
    assert out == b"".join(b"out %d\n" % i for i in range(1, 3001))
    assert err == b"".join(b"err %d\n" % i for i in range(1, 3001))


async def test_output_arrives_while_the_command_runs(bench: Bench) -> None:
    seen = asyncio.Event()

    async def write(_stream: Stream, _data: bytes) -> None:
        seen.set()

    script = "printf 'no newline'; while [ ! -e go ]; do sleep 0.05; done"
    running = asyncio.ensure_future(bench.sandbox.run(bench.command("sh", "-c", script), write))
    await asyncio.wait_for(seen.wait(), DEADLINE)
    assert not running.done()
    (bench.workdir / "go").touch()
    assert (await running).code == 0


async def test_200_megabytes_pass_through_without_being_kept(bench: Bench) -> None:
    size, most, start = 0, 0, resident()

    async def write(_stream: Stream, data: bytes) -> None:
        nonlocal size, most
        size += len(data)
        most = max(most, resident())

    ended = await bench.sandbox.run(bench.command("head", "-c", str(200 * MB), "/dev/zero"), write)
    assert (ended.code, size) == (0, 200 * MB)
    assert most - start < 50 * MB


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


async def test_a_slow_reader_holds_the_command_back(bench: Bench) -> None:
    total, size, reading = 64, 0, asyncio.Event()

    async def write(_stream: Stream, data: bytes) -> None:
        nonlocal size
        await reading.wait()
        size += len(data)

    script = f"i=0; while [ $i -lt {total} ]; do head -c {MB} /dev/zero; i=$((i+1)); echo . >> done; done"
    running = asyncio.ensure_future(bench.sandbox.run(bench.command("sh", "-c", script), write))
    progress = bench.workdir / "done"
    last, since = -1, time.monotonic()
    while time.monotonic() - since < 0.5:  # until nothing moves
        now = progress.stat().st_size if progress.exists() else 0
        if now != last:
            last, since = now, time.monotonic()
        await asyncio.sleep(0.02)
    assert last < 2 * total - 20  # of two bytes a line: the rest has not been written
    assert not running.done()
    reading.set()
    assert (await running).code == 0
    assert size == total * MB


async def test_an_error_of_the_reader_ends_the_command_and_comes_back(bench: Bench) -> None:
    async def write(_stream: Stream, _data: bytes) -> None:
        raise RuntimeError("the log is full")

    with pytest.raises(RuntimeError, match="the log is full"):
        await bench.sandbox.run(bench.command("sh", "-c", f"echo; sleep {bench.marker}"), write)
    assert bench.alive() == []


# --- nothing survives -------------------------------------------------------------------------------------------------


def hydra(bench: Bench) -> str:
    """A script whose processes try everything to stay: double forks, sessions, nohup, and one that re-daemonises for
    as long as it lives. It touches `started` when all of them run."""
    (bench.workdir / "again").write_text('#!/bin/sh\ntrap "" TERM HUP\nsetsid ./again "$1" &\n')
    (bench.workdir / "again").chmod(0o755)
    sleep = f"sleep {bench.marker}"
    return (
        f"{sleep} & setsid {sleep} & (setsid nohup sh -c '{sleep} & {sleep}' >/dev/null 2>&1 &) ; "
        f"setsid sh -c '(setsid ./again {bench.marker} &) & exit' ; touch started; "
    )


async def test_a_timeout_kills_the_whole_tree(bench: Bench) -> None:
    ended, _, _ = await bench.shell(hydra(bench) + "wait", timeout=1.0)
    assert (ended.code, ended.cause) == (137, "timeout")
    assert (bench.workdir / "started").exists()
    assert bench.alive() == []


async def test_what_a_command_leaves_behind_is_killed_after_it(bench: Bench) -> None:
    ended, _, _ = await bench.shell(hydra(bench) + "exit 3")
    assert (ended.code, ended.cause) == (3, "exit")
    assert bench.alive() == []


async def test_a_storm_of_forks_is_calmed_and_the_code_stays_the_commands(bench: Bench) -> None:
    """Process numbers are used up and come again meanwhile: nothing else may be hit, no status be mistaken."""
    storm = f"import os\nwhile True:\n    if os.fork(): os._exit(0)  # {bench.marker}"
    if bench.kind == "docker":
        pytest.skip("the test image has no program that forks this fast")
    script = '"$0" -ISc "$1" & "$0" -ISc "$1" & sleep 1; exit 3'
    ended, _, _ = await bench.run("sh", "-c", script, sys.executable, storm)
    assert (ended.code, ended.cause) == (3, "exit")
    assert bench.alive() == []


async def test_a_command_cannot_end_its_supervisor(bench: Bench) -> None:
    ended, _, _ = await bench.shell("kill $PPID; kill -INT $PPID; kill -HUP $PPID; exit 3")
    assert (ended.code, ended.cause) == (3, "exit")


async def test_a_cancelled_command_is_gone_before_the_cancellation_goes_on(bench: Bench) -> None:
    running = asyncio.ensure_future(bench.shell(hydra(bench) + "wait"))
    await until((bench.workdir / "started").exists, "the command started")
    since = time.monotonic()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert bench.alive() == []
    assert time.monotonic() - since < 2.0


@pytest.mark.parametrize("delay", [0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.3])
async def test_a_cancellation_at_any_moment_leaves_nothing(bench: Bench, delay: float) -> None:
    running = asyncio.ensure_future(bench.run("sleep", bench.marker))
    await asyncio.sleep(delay)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert bench.alive() == []
    await bench.sandbox.close()


async def test_kill_all_ends_commands_as_a_lost_lease(bench: Bench) -> None:
    started = bench.workdir / "started"
    both = [asyncio.ensure_future(bench.shell(hydra(bench) + "wait")) for _ in range(2)]
    await until(started.exists, "the commands started")
    await asyncio.to_thread(bench.sandbox.kill_all)
    assert {(ended.code, ended.cause) for ended, _, _ in await asyncio.gather(*both)} == {(137, "lease")}
    assert bench.alive() == []
    ended, _, _ = await bench.run("true")
    assert ended.code == 0


async def test_without_pulses_a_command_ends_as_a_lost_lease(bench: Bench) -> None:
    bench.quiet.set()
    since = time.monotonic()
    ended, _, _ = await bench.shell(hydra(bench) + "wait")
    assert (ended.code, ended.cause) == (137, "lease")
    assert time.monotonic() - since < PULSE_LIMIT_SECONDS * 10
    assert bench.alive() == []


async def test_fifty_at_once(bench: Bench) -> None:
    results = await asyncio.gather(*(bench.shell(f"echo {n}; exit {n}", timeout=110) for n in range(50)))
    assert [(ended.code, int(out)) for ended, out, _ in results] == [(n, n) for n in range(50)]


# --- what a command sees ----------------------------------------------------------------------------------------------


async def test_the_environment_is_what_was_promised(bench: Bench) -> None:
    _, out, _ = await bench.run("env", environment={"MODE": "full", "EMPTY": "", "LINES": "a\nB=c"})
    seen = dict(line.split("=", 1) for line in out.decode().replace("a\nB=c", "two lines").splitlines())
    assert seen.keys() - {"TMPDIR"} == {"PATH", "HOME", "LANG", "MODE", "EMPTY", "LINES"}
    assert (seen["MODE"], seen["EMPTY"], seen["LINES"], seen["LANG"]) == ("full", "", "two lines", "C.UTF-8")


async def test_home_and_temporary_files_are_scratch(bench: Bench) -> None:
    script = 'cd "$HOME" && mkdir -p a/b && echo x > a/b/c && chmod 000 a && : > "${TMPDIR:-/tmp}/t" && echo "$HOME"'
    ended, out, _ = await bench.shell(script)
    assert ended.code == 0
    if bench.kind != "docker":
        assert Path(out.decode().strip()).is_relative_to(bench.workdir.parent)
        assert os.listdir(bench.workdir.parent) == ["work"]  # noqa: PTH208


async def test_what_the_command_names_wins(bench: Bench) -> None:
    (bench.workdir / "tool").write_text("#!/bin/sh\necho mine $HOME")
    (bench.workdir / "tool").chmod(0o755)
    ended, out, _ = await bench.run("tool", environment={"PATH": "/nowhere:.", "HOME": "/x"})
    assert (ended.code, out) == (0, b"mine /x\n")


async def test_unicode_everywhere(bench: Bench) -> None:
    workdir = bench.workdir / "Grüße 世界 '\" $HOME, :ro"
    workdir.mkdir()
    _, out, _ = await bench.run(
        "sh",
        "-c",
        'printf %s "$1$ÄÖ" > "dätei 😀"; env | grep 🙂; pwd',
        "",
        "größe 😀\n",
        workdir=workdir,
        environment={"V": "🙂 ü"},
    )
    assert (workdir / "dätei 😀").read_text().startswith("größe 😀\n")
    assert "V=🙂 ü" in out.decode()


async def test_files_are_the_workers_to_read_and_remove(bench: Bench) -> None:
    (bench.workdir / "sub").mkdir()
    (bench.workdir / "sub" / "given").write_text("1")
    await bench.shell("echo 2 > sub/given; mkdir new; echo 3 > new/made; chmod 700 new; chmod 600 new/made")
    assert (bench.workdir / "sub" / "given").read_text() == "2\n"
    assert (bench.workdir / "new" / "made").read_text() == "3\n"
    (bench.workdir / "new" / "made").unlink()
    (bench.workdir / "new").rmdir()


# --- mounts and resources ---------------------------------------------------------------------------------------------


async def test_mounts_can_be_read_and_not_changed(bench: Bench, tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "deep").mkdir(parents=True)
    (data / "deep" / "file").write_text("original")
    (data / "link").symlink_to("deep/file")
    single = tmp_path / "single"
    single.write_text("alone")
    mounts = (Mount(data, "in/data"), Mount(single, "in/single.txt"))
    _, out, _ = await bench.shell("cat in/data/deep/file in/data/link in/single.txt", mounts=mounts)
    assert out == b"originaloriginalalone"
    ended, _, _ = await bench.shell("echo x > in/data/deep/file || echo x > in/single.txt", mounts=mounts)
    assert ended.code != 0
    assert (data / "deep" / "file").read_text() == "original"
    assert single.read_text() == "alone"


@pytest.mark.parametrize("target", ["../out", "a/../../out", "", ".", "link/out", "file/out", "/proc/x"])
async def test_a_mount_stays_below_the_working_directory(bench: Bench, tmp_path: Path, target: str) -> None:
    source = tmp_path / "source"
    source.write_text("x")
    (bench.workdir / "link").symlink_to(tmp_path)
    (bench.workdir / "file").touch()
    with pytest.raises(SandboxUnavailable):
        await bench.run("true", mounts=(Mount(source, target),))
    assert sorted(os.listdir(tmp_path)) == ["source", "work"]  # noqa: PTH208


async def test_a_mount_whose_source_is_missing_is_refused(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(SandboxUnavailable, match="not there"):
        await bench.run("true", mounts=(Mount(tmp_path / "gone", "x"),))


async def test_without_network_there_is_none(bench: Bench) -> None:
    if bench.kind == "tree":
        with pytest.raises(SandboxUnavailable, match="without network"):
            await bench.run("true", resources=Resources(network=False))
        return
    _, out, _ = await bench.run("cat", "/proc/net/dev", resources=Resources(network=False))
    assert [line.split(":")[0].strip() for line in out.decode().splitlines()[2:]] == ["lo"]


async def test_memory_is_bounded(bench: Bench) -> None:
    hog = f"head -c {256 * MB} /dev/zero | tail -c {200 * MB} | wc -c"
    ended, out, _ = await bench.shell(f"set -e; n=$({hog}); [ $n -eq {200 * MB} ]", resources=Resources(memory=32 * MB))
    assert ended.code != 0
    assert out == b""


async def test_programs_run_with_no_privilege(bench: Bench) -> None:
    _, out, _ = await bench.run("cat", "/proc/self/status")
    fields = dict(line.split(":\t", 1) for line in out.decode().splitlines() if ":\t" in line)
    assert {fields[name] for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")} == {"0" * 16}
    assert fields["NoNewPrivs"] == "1"
