"""Pinning: at submit, one commit of a repository is packed into the artifact store, and the run never needs the
repository again. It is only read. Nothing that its configuration or attributes name is run.

In the repository itself git is asked three things: where it is, what a name means, and where its index is. All else
happens in a temporary bare repository that borrows its objects.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from mcp_servers.git.bare import make_bare, object_format
from mcp_servers.git.local import count_changes, find
from mcp_servers.git.program import Git, GitError
from mcp_servers.git.remote import Remote, fetch, remote_of
from mcp_servers.storage.threads import in_thread
from state.errors import InputError, LimitExceeded
from state.limits import TREE_FILES
from state.ports import ArtifactStore

_WINDOW = "--window=0"
"""Reuse deltas, search for none: four times as fast, and within one commit there is little to find."""


@dataclass(frozen=True, slots=True)
class Pinned:
    """A commit, whole, in the artifact store.

    `base` is the short name of the branch or tag it was reached by, empty for a commit named by its id. `dirty` counts
    uncommitted changes and untracked files in a local checkout, which the run will not have; `submodules` are the paths
    of those, which it will not have either.
    """

    oid: str
    tree: str
    base: str
    digest: str
    dirty: int
    submodules: tuple[str, ...]


async def pin(repo: str, ref: str | None, artifacts: ArtifactStore, *, scratch: Path | None = None) -> Pinned:
    """Pin `ref` (None: what is checked out, or the remote's default branch) of `repo`: a directory in or of a local
    repository, or a URL (https, ssh, file). `InputError` and `GitError` say what is wrong."""
    if ref is not None and (not ref or ref.startswith("-") or not ref.isprintable()):
        raise InputError(f"{ref[:100]!r} is not a name of a commit", "Name a branch, a tag or a commit.")
    with tempfile.TemporaryDirectory(prefix="atlas-pin-", dir=scratch) as temporary:
        directory = Path(temporary)
        remote = remote_of(repo)
        if remote is None:
            return await _pin_local(Path(repo.removeprefix("file://")), ref, artifacts, directory)
        return await _pin_remote(remote, ref, artifacts, directory)


async def _pin_local(path: Path, ref: str | None, artifacts: ArtifactStore, temporary: Path) -> Pinned:
    source = await find(path)
    oid, base = await source.resolve(ref)
    git = await make_bare(temporary / "borrowing", object_format=object_format(oid), borrow=source.objects)
    return await _pack(git, oid, base, await count_changes(source, git), artifacts, temporary)


async def _pin_remote(url: Remote, ref: str | None, artifacts: ArtifactStore, temporary: Path) -> Pinned:
    git, oid, base = await fetch(url, ref, temporary / "fetched")
    return await _pack(git, oid, base, 0, artifacts, temporary)


async def _pack(git: Git, oid: str, base: str, dirty: int, artifacts: ArtifactStore, temporary: Path) -> Pinned:
    tree = await git.text("rev-parse", "--verify", f"{oid}^{{tree}}")
    listing, objects, pack = temporary / "listing", temporary / "objects", temporary / "pack"
    try:
        await git.run("ls-tree", "-r", "-z", "--full-tree", oid, stdout=listing)
        submodules = await in_thread(lambda stop: _submodules(listing))
        await git.run("rev-list", "--objects", "--no-walk", oid, stdout=objects)
        await git.run("pack-objects", "--quiet", "--stdout", "--delta-base-offset", _WINDOW, stdin=objects, stdout=pack)
    except GitError as error:
        error.hint = error.hint or "Look with git fsck. A partial clone needs all its objects: git fetch --refetch."
        raise
    artifact = await artifacts.put(pack)
    return Pinned(oid, tree, base, artifact.digest, dirty, submodules)


def _submodules(listing: Path) -> tuple[str, ...]:
    """The paths of commits in a ``ls-tree -r -z`` listing; also checks how many files it has."""
    found: list[str] = []
    for number, entry in enumerate(listing.read_bytes().split(b"\0")):
        if number > TREE_FILES:
            raise LimitExceeded(
                f"the commit has more than {TREE_FILES:,} files (TREE_FILES)", "Pin a smaller repository."
            )
        if entry.startswith(b"160000 "):
            found.append(entry.partition(b"\t")[2].decode("utf-8", "backslashreplace"))
    return tuple(found)
