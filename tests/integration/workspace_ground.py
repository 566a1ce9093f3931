"""Where the workspace's git is tried: a pinned repository, an artifact store, and nothing else that is shared."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from mcp_servers.git.pinning import pin
from mcp_servers.git.program import ATTRIBUTES
from mcp_servers.git.workspace.repository import RunRepository
from mcp_servers.git.workspace.worktree import Worktree
from mcp_servers.storage import locations
from mcp_servers.storage.artifacts import Artifacts
from mcp_servers.storage.stores import ObjectStores
from tests.integration.git_repositories import plain

Listing = dict[bytes, tuple[str, bytes]]
"""Path to kind and content, of all files and links."""


@dataclass
class Ground:
    """One pinned commit of `source`."""

    path: Path
    artifacts: Artifacts
    oid: str = ""
    digest: str = ""

    @property
    def source(self) -> Path:
        return self.path / "source"

    async def pin(self, files: Mapping[str, str | bytes]) -> None:
        """A repository with these files, pinned; paths that end with ``*`` are executable."""
        self.source.mkdir()
        plain(self.source, "init", "--quiet", "--initial-branch=main")
        write(self.source, files)
        plain(self.source, "add", "--all", "--force")
        plain(self.source, "commit", "--quiet", "--allow-empty", "-m", "pinned")
        await self.pin_again()

    async def pin_again(self) -> None:
        """What `source` has now."""
        pinned = await pin(str(self.source), None, self.artifacts)
        self.oid, self.digest = pinned.oid, pinned.digest

    async def repository(self, name: str = "run") -> RunRepository:
        """Another name is another worker: only the artifacts are shared."""
        return await RunRepository.open(self.path / name, self.oid, self.digest, self.artifacts)

    async def worktree(self, repository: RunRepository | None = None, name: str = "tree") -> Worktree:
        return await Worktree.create(repository or await self.repository(), self.oid, self.path / name)


@asynccontextmanager
async def ground_at(path: Path) -> AsyncGenerator[Ground]:
    stores = ObjectStores()
    try:
        yield Ground(path, Artifacts(stores, locations.from_path(path / "artifacts", directory=True)))
    finally:
        await stores.close()


def write(directory: Path, files: Mapping[str, str | bytes]) -> None:
    """A path that ends with ``*`` becomes executable."""
    for name, content in files.items():
        path = directory / name.removesuffix("*")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        if name.endswith("*"):
            path.chmod(0o755)


def rewrite(path: Path, content: str) -> None:
    """As a hostile program does it: the same size, and the time set back."""
    before = path.stat()
    path.write_text(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


def listing(directory: Path) -> Listing:
    found: Listing = {}
    for top, directories, files in os.walk(os.fsencode(directory)):
        for name in directories + files:
            path = os.path.join(top, name)  # noqa: PTH118  any byte may be in it
            mode = os.lstat(path).st_mode
            relative = os.path.relpath(path, os.fsencode(directory))
            if stat.S_ISLNK(mode):
                found[relative] = ("link", os.readlink(path))  # noqa: PTH115
            elif stat.S_ISREG(mode):
                with open(path, "rb") as file:  # noqa: PTH123
                    found[relative] = ("program" if mode & stat.S_IXUSR else "file", file.read())
    return found


def truth(directory: Path) -> str:
    """The tree that ``git add -A -f`` makes of a directory, without attributes, in a repository of its own."""
    place = directory.with_name(f"{directory.name}.truth")
    if not place.exists():
        plain(directory.parent, "init", "--quiet", "--bare", "--template=", str(place))
        (place / "info").mkdir()
        (place / "info" / "attributes").write_text(ATTRIBUTES)
    (place / "index").unlink(missing_ok=True)
    git = (f"--git-dir={place}", f"--work-tree={directory}")
    plain(directory, *git, "add", "-A", "-f")
    return plain(directory, *git, "write-tree").strip()


def inside(repository: RunRepository, *arguments: str) -> str:
    """Plain git in a run's repository."""
    place = str(repository.cache.repository)
    done = subprocess.run(["git", f"--git-dir={place}", *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()
