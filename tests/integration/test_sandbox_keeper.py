"""The keeper alone, as PID 1 of a namespace. The committed binaries behave as one built here from the source."""

from __future__ import annotations

import os
import platform
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcp_servers.container.supervision import unshare
from state.limits import PULSE_LIMIT_SECONDS

SOURCE = Path(__file__).resolve().parents[2] / "mcp_servers" / "container" / "keeper"
NONCE = "\x01nonce"
MACHINE = platform.machine()


@pytest.fixture(params=["committed", "rebuilt", "emulated aarch64"])
def keeper(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    if shutil.which("unshare") is None or subprocess.run([*unshare(network=True), "true"], check=False).returncode:
        pytest.skip("this system does not allow user namespaces")
    if request.param == "emulated aarch64":
        emulator = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
        if emulator is None or MACHINE == "aarch64":
            pytest.skip("no emulator for aarch64 (package qemu-user-static)")
        return [emulator, str(SOURCE / "keeper-aarch64")]
    name = f"keeper-{MACHINE}"
    if request.param == "committed":
        return [str(SOURCE / name)]
    compiler = shutil.which(f"{MACHINE}-linux-gnu-gcc")
    if compiler is None or shutil.which("make") is None:
        pytest.skip("no C compiler here")
    for file in ("keeper.c", "Makefile"):
        shutil.copy(SOURCE / file, tmp_path)
    subprocess.run(["make", "-s", name], cwd=tmp_path, check=True)
    return [str(tmp_path / name)]


class Kept:
    """A running keeper."""

    def __init__(self, keeper: list[str]) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([*unshare(network=True), *keeper], stdin=pipe, stdout=pipe, stderr=pipe)
        assert self.process.stdin is not None
        self.stdin = self.process.stdin.fileno()

    def order(self, *argv: str, timeout: int = 60_000, **environment: str) -> None:
        strings = [NONCE, *argv, *(f"{name}={value}" for name, value in environment.items())]
        text = b"".join(string.encode() + b"\0" for string in strings)
        os.write(self.stdin, b"R" + struct.pack("<IIII", len(text), len(argv), len(environment), timeout) + text)

    def read(self) -> tuple[bytes, list[bytes]]:
        """Output up to the last word, and the words of it."""
        assert self.process.stdout is not None
        received = b""
        while not (NONCE.encode() in received and received.endswith(b"\n")):
            data = os.read(self.process.stdout.fileno(), 4096)
            assert data, f"ended with {received!r}"
            received += data
        output, _, word = received.partition(NONCE.encode())
        return output, word.split()


@pytest.fixture
def kept(keeper: list[str]) -> Iterator[Kept]:
    kept = Kept(keeper)
    yield kept
    kept.process.kill()
    kept.process.communicate()


PATH = os.environ.get("PATH", os.defpath)


def test_it_runs_a_command_and_tells_how_it_ended(kept: Kept) -> None:
    kept.order("sh", "-c", 'sleep 1000 & echo "$A $*"; exit 3', "x", "y z", PATH=PATH, A="ü")
    output, (cause, code, kills, microseconds) = kept.read()
    assert output == "ü y z\n".encode()
    assert (cause, code, kills) == (b"exit", b"3", b"0")
    assert int(microseconds) < 60e6


def test_it_ends_a_command_in_time(kept: Kept) -> None:
    kept.order("sleep", "1000", timeout=100, PATH=PATH)
    assert kept.read()[1][:2] == [b"timeout", b"137"]


def test_it_says_why_a_program_does_not_start(kept: Kept) -> None:
    kept.order("no-such-program", PATH=PATH)
    assert kept.read()[1][:2] == [b"exit", b"127"]
    assert kept.process.stderr is not None
    assert os.read(kept.process.stderr.fileno(), 4096).startswith(b"atlas: no-such-program: not found\n")


def test_the_end_of_its_input_is_its_end(kept: Kept) -> None:
    kept.order("sleep", "1000", PATH=PATH)
    assert kept.process.stdin is not None
    kept.process.stdin.close()
    kept.process.stdin = None
    assert kept.process.wait(60) == 0


def test_without_pulses_it_ends(kept: Kept) -> None:
    kept.order("sleep", "1000", PATH=PATH)
    since = time.monotonic()
    assert kept.process.wait(60) == 0
    assert time.monotonic() - since > PULSE_LIMIT_SECONDS / 2


@pytest.mark.parametrize(
    "order",
    [
        struct.pack("<IIII", 0, 1, 0, 1),
        struct.pack("<IIII", 2, 0, 0, 1) + b"n\0",
        struct.pack("<IIII", 2, 5, 0, 1) + b"n\0",
        struct.pack("<IIII", 3, 1, 0, 1) + b"n\0a",
        struct.pack("<IIII", 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 1),
    ],
)
def test_a_malformed_order_ends_it(kept: Kept, order: bytes) -> None:
    os.write(kept.stdin, b"R" + order)
    assert kept.process.wait(60) == 2


def test_it_refuses_to_be_anything_but_pid_1(keeper: list[str]) -> None:
    """Elsewhere, "kill everything but me" would be everybody."""
    ended = subprocess.run(keeper, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (125, b"atlas: keeper: runs as PID 1 of a container only\n")
