"""HOME and TMPDIR of commands on this host: gone afterwards whatever is in them, made again if need be."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from mcp_servers.container.host import Form, HostSandbox
from orchestrator.cli.compose import private_directory
from state.ports import Exit, SandboxCommand

DEEP = "import os\nos.chdir(os.environ['TMPDIR'])\nfor _ in range(3_000): os.mkdir('d'); os.chdir('d')"


async def ran(sandbox: HostSandbox, workdir: Path, *argv: str) -> Exit:
    async def write(stream: str, data: bytes) -> None:
        pass

    return await sandbox.run(SandboxCommand(argv, workdir, 60.0), write)


@pytest.mark.parametrize("form", ["namespace", "tree"])
async def test_the_deepest_tree_is_no_failure(tmp_path: Path, form: Form) -> None:
    (scratch := tmp_path / "scratch").mkdir()
    (work := tmp_path / "work").mkdir()
    ended = await ran(HostSandbox(scratch=scratch, form=form), work, sys.executable, "-c", DEEP)
    assert (ended.code, ended.cause) == (0, "exit")
    assert not [*scratch.iterdir()]


async def test_it_is_made_again(tmp_path: Path) -> None:
    sandbox = HostSandbox(scratch=(scratch := private_directory(tmp_path / "scratch")))
    assert (await ran(sandbox, tmp_path, "true")).code == 0
    shutil.rmtree(scratch)
    assert (await ran(sandbox, tmp_path, "true")).code == 0
    assert scratch.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_what_is_private_is_so_from_its_top(tmp_path: Path, mask: int) -> None:
    """ATLAS_HOME has plans, transcripts and a database: nobody else's, whatever the umask says."""
    before = os.umask(mask)
    try:
        private_directory(tmp_path / "home" / "atlas" / "work")
        private_directory(tmp_path / "home" / "atlas" / "scratch")
    finally:
        os.umask(before)
    for each in ("home", "home/atlas", "home/atlas/work", "home/atlas/scratch"):
        assert (tmp_path / each).stat().st_mode & 0o777 == 0o700
