"""A search that takes for ever ends with who asked for it, however that ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.acceptance.command_line import wait_until

ASKS = """
import asyncio, sys
from pathlib import Path
from mcp_servers.manners import Policy
from mcp_servers.workspace.server import workspace_server
from roles.toolbox import Toolbox

async def main():
    async with Toolbox({"w": workspace_server(Path(sys.argv[1]), Policy(read_only=True))}) as box:
        await box.call("workspace_search", {"pattern": "(a|a)*b", "timeout": 300})

asyncio.run(main())
"""


def searches(of: int) -> list[int]:
    """Programs that search for this process, by the id that they are told."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b'"pattern"' in words and f'"parent": {of}'.encode() in words:
                found.append(int(entry.name))
    return found


def test_a_killed_worker_leaves_no_search_behind(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a" * 40)
    asking = subprocess.Popen([sys.executable, "-c", ASKS, str(tmp_path)], cwd=Path(__file__).parents[2])
    try:
        (search,) = wait_until(lambda: searches(asking.pid), "a search")
        wait_until(lambda: _seconds(search) > 0.5, "it is lost in the expression")
        os.kill(asking.pid, signal.SIGKILL)
        asking.wait()
        wait_until(lambda: not searches(asking.pid), "the search has ended", 10)
    finally:
        asking.kill()
        asking.wait()
        for left in searches(asking.pid):
            os.kill(left, signal.SIGKILL)


def _seconds(process: int) -> float:
    """Of CPU time."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
