"""A repository to pin, with all that one may have in it; and another process that checks it out."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from mcp_servers.git.checkouts import Checkouts
from mcp_servers.git.pinning import Pinned
from mcp_servers.storage import locations
from mcp_servers.storage.artifacts import Artifacts
from mcp_servers.storage.stores import ObjectStores
from mcp_servers.storage.trees import digest_tree

ODD_NAMES = [b"a\nb", b"\xff\xfe", b"-rf", b"with space", b'"quoted"', "ünï".encode(), b"tab\t", b"*", b":(top)x"]


def git(repository: Path, *arguments: str) -> str:
    """The user's git, as the user would call it."""
    identity = {f"GIT_{who}_{what}": "x@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {**os.environ, **identity, "GIT_CONFIG_GLOBAL": os.devnull}
    done = subprocess.run(["git", *arguments], cwd=repository, env=environment, check=True, capture_output=True)
    return done.stdout.decode(errors="replace").strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One commit on main, in it an executable, links, and names of all kinds."""
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "--quiet", "--initial-branch=main")
    (root / "src" / "deep").mkdir(parents=True)
    (root / "src" / "deep" / "x.py").write_text("print('x')\n")
    (root / "crlf.txt").write_bytes(b"one\r\ntwo\r\n$Id$\r\n")
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / "link").symlink_to("src/deep")
    (root / "outside").symlink_to("/etc/passwd")
    for name in ODD_NAMES:
        (root / os.fsdecode(name)).write_bytes(name)
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message=first")
    return root


@pytest.fixture
async def artifacts(tmp_path: Path) -> AsyncGenerator[Artifacts]:
    stores = ObjectStores()
    yield Artifacts(stores, locations.from_path(tmp_path / "artifacts", directory=True))
    await stores.close()


@pytest.fixture
def checkouts(tmp_path: Path, artifacts: Artifacts) -> Checkouts:
    return Checkouts(tmp_path / "checkouts", artifacts)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while True:
            if true():
                return
            await asyncio.sleep(0.01)


def dead(process: int) -> bool:
    """Gone, or a zombie that nobody has buried."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


async def content(directory: Path) -> str:
    """The digest of a working tree without its ``.git``."""
    hidden = directory / ".git"
    away = directory.with_name(directory.name + ".git")
    if hidden.exists():
        hidden.rename(away)
    try:
        return await digest_tree(directory)
    finally:
        if away.exists():
            away.rename(hidden)


async def child(tmp_path: Path, pinned: Pinned, into: str, program: str = "") -> asyncio.subprocess.Process:
    """Another process that checks out; with `program`, a directory that comes first on its PATH."""
    path = f"{program}:{os.environ['PATH']}" if program else os.environ["PATH"]
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", __name__, str(tmp_path), pinned.oid, pinned.digest, into),
        env={**os.environ, "PATH": path},
    )


async def check_out(directory: Path, oid: str, digest: str, into: str) -> None:
    stores = ObjectStores()
    artifacts = Artifacts(stores, locations.from_path(directory / "artifacts", directory=True))
    await Checkouts(directory / "checkouts", artifacts).fresh(oid, digest, directory / into)
    await stores.close()


if __name__ == "__main__":
    asyncio.run(check_out(Path(sys.argv[1]), *sys.argv[2:]))
