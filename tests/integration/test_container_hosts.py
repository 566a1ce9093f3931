"""Hosts on which containers could not do their work say so at once."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from mcp_servers.container import facts
from mcp_servers.container.docker import DockerSandbox
from mcp_servers.container.engine import Engine
from mcp_servers.container.facts import Facts, learn
from state.errors import SandboxUnavailable
from state.ports import Resources

ENGINE = {"OSType": "linux", "ServerVersion": "20.10", "Architecture": "x86_64", "NCPU": 2}


@pytest.fixture
async def remapping(tmp_path: Path) -> AsyncGenerator[str]:
    """An engine with userns-remap, as it introduces itself."""
    body = json.dumps(ENGINE | {"SecurityOptions": ["name=seccomp,profile=default", "name=userns"]}).encode()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_unix_server(answer, path=str(tmp_path / "e.sock"))
    yield f"unix://{tmp_path}/e.sock"
    server.close()
    await server.wait_closed()


async def test_an_engine_whose_users_are_others_here(remapping: str) -> None:
    sandbox = DockerSandbox(boot="b", home="h", url=remapping)
    found = await sandbox.probe()
    assert (found.available, "userns-remap" in found.detail, "rootless" in found.hint) == (False, True, True)
    with pytest.raises(SandboxUnavailable, match="userns-remap"):
        await sandbox.ready("busybox", Resources())
    assert (await learn(Engine(remapping))).cores == 2, (
        "containers that have nothing of this host are made all the same"
    )
    await sandbox.close()


@pytest.mark.parametrize(("user", "mode", "fine"), [(0, 0o750, False), (0, 0o755, True), (1000, 0o700, True)])
async def test_a_keeper_that_was_installed_with_a_strict_umask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int, mode: int, fine: bool
) -> None:
    """A worker that is root has its commands carried out by another user."""
    (keeper := tmp_path / "keeper" / "keeper-x86_64").parent.mkdir()
    keeper.touch()
    keeper.chmod(mode)
    monkeypatch.setattr(facts, "__file__", str(tmp_path / "facts.py"))
    monkeypatch.setattr("os.geteuid", lambda: user)
    found = Facts("20.10", "x86_64", cores=2, rootless=False)
    if fine:
        assert found.keeper == keeper
        return
    with pytest.raises(SandboxUnavailable) as raised:
        assert found.keeper
    assert str(keeper) in raised.value.message
    assert raised.value.hint.endswith(f"chmod 755 {keeper}")


def test_root_that_may_not_change_owners(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("this user is not root")
    script = (
        "import sys, threading; from pathlib import Path\n"
        "from mcp_servers.container.ownership import prepare; from state.errors import SandboxUnavailable\n"
        "from state.ports import SandboxCommand\n"
        "try: prepare(SandboxCommand(('true',), Path(sys.argv[1]), 1.0), '10001:10001', threading.Event())\n"
        "except SandboxUnavailable as error: print(error.message, error.hint)"
    )
    command = ["setpriv", "--bounding-set=-chown", sys.executable, "-c", script, str(tmp_path)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"10001:10001, could not be made the owner of {tmp_path}: Operation not permitted" in told
    assert "CAP_CHOWN" in told
