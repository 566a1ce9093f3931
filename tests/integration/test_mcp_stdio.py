"""The wire of a server over stdio: whatever a client connects and however it reads, whole lines arrive."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from mcp_servers.stdio import Lines, Writing, writing_to

ATLAS = Path(sys.executable).with_name("atlas")
PATIENCE = 60.0
LIST: dict[str, Any] = {
    "jsonrpc": "2.0", "id": 1, "method": "tools/list",
    "params": {"_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {},
    }},
}  # fmt: skip
WIRES = pytest.mark.parametrize("wire", ["pipe", "socket"])


def ends(wire: str) -> tuple[int, int]:
    """(to read from, to write to)"""
    if wire == "pipe":
        return os.pipe()
    one, other = socket.socketpair()
    return one.detach(), other.detach()


@pytest.fixture
def wire_ends(wire: str) -> Generator[tuple[int, int]]:
    found = ends(wire)
    yield found
    for end in found:
        with suppress(OSError):
            os.close(end)


@WIRES
async def test_lines_come_whole(wire_ends: tuple[int, int]) -> None:
    reading, writing = wire_ends
    lines = Lines(reading)
    expected = ["one\n", "zwölf\n", f"{'x' * 300_000}\n", "\n", "no UTF-8: \N{REPLACEMENT CHARACTER}\n", "the last"]
    data = b"".join(line.encode().replace("\N{REPLACEMENT CHARACTER}".encode(), b"\xff") for line in expected)

    def feed() -> None:
        for start in range(0, len(data), 7_001):
            os.write(writing, data[start : start + 7_001])
        os.close(writing)

    feeding = asyncio.create_task(asyncio.to_thread(feed))
    assert [line async for line in lines] == expected
    await feeding


@WIRES
async def test_a_wait_for_a_line_can_be_cancelled(wire_ends: tuple[int, int]) -> None:
    reading, writing = wire_ends
    lines = Lines(reading)
    waiting = asyncio.create_task(anext(lines))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    os.write(writing, b"after all\n")
    assert await anext(lines) == "after all\n"


@WIRES
async def test_who_reads_slowly_makes_only_the_writer_wait(wire_ends: tuple[int, int]) -> None:
    reading, writing = wire_ends
    wire = writing_to(writing)
    text = "ü" * 1_000_000
    await wire.write(text)
    flushing = asyncio.create_task(wire.flush())
    for _ in range(10):
        await asyncio.sleep(0.001)
    assert not flushing.done()
    assert os.get_blocking(writing), "others may share this descriptor"
    got = bytearray()
    while len(got) < 2_000_000:
        got += await asyncio.to_thread(os.read, reading, 1 << 16)
    await flushing
    wire.close()
    assert got.decode() == text


@WIRES
async def test_nobody_reads_any_more(wire_ends: tuple[int, int]) -> None:
    reading, writing = wire_ends
    wire: Writing = writing_to(writing)
    os.close(reading)
    await wire.write("x")
    await wire.flush()
    wire.close()


async def test_another_user_made_the_pipe() -> None:
    """As where a service of root's starts `runuser -u somebody -- atlas mcp git`."""
    if os.geteuid():
        pytest.skip("it takes two users")
    reading, writing = os.pipe()
    os.seteuid(65534)
    try:
        wire = writing_to(writing)
    finally:
        os.seteuid(0)
    await wire.write("told\n")
    await wire.flush()
    wire.close()
    assert os.read(reading, 100) == b"told\n"
    os.close(reading)
    os.close(writing)


@contextmanager
def server_on(wire: str, home: Path) -> Generator[tuple[int, int, subprocess.Popen[str]]]:
    """(to write to, to read from, the process), which must end by itself, with nothing to say on its standard error."""
    from_us, to_it = ends(wire)
    from_it, to_us = ends(wire)
    with subprocess.Popen(
        [ATLAS, "mcp", "git", "--root", home], stdin=from_us, stdout=to_us, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "ATLAS_HOME": str(home / "home")},
    ) as server:  # fmt: skip
        os.close(from_us)
        os.close(to_us)
        yield to_it, from_it, server
        assert server.wait(PATIENCE) == 0
        assert server.stderr
        assert server.stderr.read() == ""


@WIRES
def test_a_server_on_it(wire: str, tmp_path: Path) -> None:
    with server_on(wire, tmp_path) as (to_it, from_it, server):
        os.write(to_it, json.dumps(LIST).encode() + b"\n")
        with os.fdopen(from_it, "rb") as answers:
            assert len(json.loads(answers.readline())["result"]["tools"]) > 20
            os.close(to_it)
            assert server.wait(PATIENCE) == 0
            assert answers.read() == b""


def test_files_will_do_too(tmp_path: Path) -> None:
    (tmp_path / "asked").write_text(json.dumps(LIST) + "\n")
    with (tmp_path / "asked").open() as asked, (tmp_path / "said").open("w") as said:
        ended = subprocess.run(
            [ATLAS, "mcp", "git", "--root", tmp_path], stdin=asked, stdout=said, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "ATLAS_HOME": str(tmp_path / "home")}, timeout=PATIENCE, check=False,
        )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")
    said = (tmp_path / "said").read_text()
    assert not said or json.loads(said)["result"]["tools"], "what the end of the input overtakes is not answered"


@WIRES
def test_a_client_that_is_gone_leaves_no_complaint(wire: str, tmp_path: Path) -> None:
    with server_on(wire, tmp_path) as (to_it, from_it, _):
        os.write(to_it, b"".join(json.dumps(LIST | {"id": number}).encode() + b"\n" for number in range(30)))
        os.close(from_it)
        os.close(to_it)
