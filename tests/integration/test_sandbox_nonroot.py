"""The host sandbox when the worker is not root: the contract suite again, in a namespace where it is somebody else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OTHER = "65534"
WITHOUT_LIMIT = "not fifty and not 200_megabytes and not docker"


@pytest.mark.skipif(os.geteuid() != 0, reason="the contract suite itself runs without root here")
def test_the_contract_holds_without_root(tmp_path: Path) -> None:
    prefix = ["unshare", "--user", f"--map-user={OTHER}", f"--map-group={OTHER}"]
    probe = subprocess.run([*prefix, "id", "-u"], capture_output=True, text=True, check=False)
    if probe.stdout.strip() != OTHER:
        pytest.skip(f"no user namespaces here: {probe.stderr}")
    suite = str(ROOT / "tests" / "contract" / "test_sandbox.py")
    arguments = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        f"--basetemp={tmp_path / 'base'}",
        "-k",
        WITHOUT_LIMIT,
    ]
    ended = subprocess.run(
        [*prefix, sys.executable, "-m", "pytest", *arguments, suite],
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-1000:]
    assert "passed" in ended.stdout
    assert "skipped" not in ended.stdout, ended.stdout[-3000:]


def test_process_counts_are_bounded_in_a_namespace_of_ones_own(tmp_path: Path) -> None:
    """RLIMIT_NPROC spares real root, so this needs another user."""
    script = (
        "import asyncio, sys; from pathlib import Path\n"
        "from mcp_servers.container.host import HostSandbox\n"
        "from state.ports import Resources, SandboxCommand\n"
        "async def main():\n"
        "    async def write(stream, data): print(stream, data)\n"
        "    loop = 'for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done; echo all'\n"
        "    command = SandboxCommand(('sh', '-c', loop), Path(sys.argv[1]), 60.0, resources=Resources(pids=5))\n"
        "    ended = await HostSandbox(form='namespace').run(command, write)\n"
        "    sys.exit(0 if ended.code else 1)\n"
        "asyncio.run(main())\n"
    )
    if os.geteuid() == 0:
        pytest.skip("the kernel exempts real root, also in a user namespace")
    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stdout
