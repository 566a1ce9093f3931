"""What every sandbox keeps: the port `state.ports.Sandbox`, over host namespaces, host process trees and containers."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest

from state.errors import SandboxUnavailable
from state.limits import MB, PULSE_LIMIT_SECONDS
from state.ports import Resources, Stream
from tests.contract.sandbox_bench import DEADLINE, Bench, until

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
    if bench.image is not None:
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
    assert time.monotonic() - since < 10.0


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
