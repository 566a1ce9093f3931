"""The only way out: a run's branch to a remote that a person named. The repository that the run was pinned from is only
read, for the remote's address and for history that the remote may not have; nothing that its configuration names is
run.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mcp_servers.git.bare import make_bare, object_format
from mcp_servers.git.local import Local, find
from mcp_servers.git.packs import declare_shallow
from mcp_servers.git.program import Git, GitError
from mcp_servers.git.remote import Remote, remote_of
from mcp_servers.git.transfers import other_end, reaching
from mcp_servers.git.workspace.repository import RunRepository
from mcp_servers.storage.threads import in_thread
from state.errors import InputError

HERE = "."
"""The repository that the run was pinned from."""
_SECONDS = 1800.0


@dataclass(frozen=True, slots=True)
class Sent:
    """`oid` is what the remote itself says its branch is at now."""

    to: str
    ref: str
    oid: str


async def push(
    repository: RunRepository, oid: str, *, pinned: str, source: str, remote: str, branch: str, scratch: Path
) -> Sent:
    """Send `oid`, a commit of the run that began at `pinned`, as `branch`. `source` is what the run was pinned from;
    `remote` is the name of one of its remotes, a URL, a path, or ``.``. Never forced. `InputError`, `GitError`."""
    local = await _local(source)
    address, protocol = await _address(local, source, remote)
    git = await _outbox(repository, local, pinned, scratch / "outbox.git")
    ref = f"refs/heads/{branch}"
    if branch.startswith("-") or (await git.answer("check-ref-format", ref, codes=(0, 1))).code:
        raise InputError(f"{branch!r} is no name for a branch", "Name another.")
    out = reaching(git, protocol)
    said = await out.answer(
        "push", "--porcelain", "--no-verify", "--no-follow-tags", "--no-signed", "--recurse-submodules=no",
        *other_end(protocol, "receive-pack"), "--", address, f"{oid}:{ref}", codes=(0, 1, 128),
    )  # fmt: skip
    if said.code:
        line = next((each for each in said.out.decode("utf-8", "replace").splitlines() if "\t" in each), "")
        raise GitError(f"the push to {remote} was refused: {line.rpartition(chr(9))[2] or said.reason}")
    listed = await out.run("ls-remote", *other_end(protocol, "upload-pack"), "--", address, ref)
    there = listed.decode("utf-8", "replace").partition("\t")[0]
    if there != oid:
        raise GitError(f"{remote} says that {branch} is at {there or 'nothing'}, not at {oid}")
    return Sent(remote if protocol == "file" else address, ref, there)


async def _local(source: str) -> Local | None:
    if remote_of(source) is not None:
        return None
    with suppress(InputError):
        return await find(Path(source.removeprefix("file://")))
    return None


async def _address(local: Local | None, source: str, remote: str) -> tuple[str, str]:
    """(what git is given, protocol)"""
    if remote == HERE:
        if local is None:
            raise InputError("the repository of this run is not on this worker", "Name a remote by its URL.")
        return str(local.git.directory), "file"
    if (given := _network(remote)) is not None:
        return given.url, given.scheme
    if remote.startswith("/") or remote.startswith("file://"):
        return remote.removeprefix("file://"), "file"
    if local is None:
        if remote == "origin" and (cloned := _network(source)) is not None:
            return cloned.url, cloned.scheme
        raise InputError(f"there is no remote {remote} to be found from here", "Name it by its URL.")
    for key in (f"remote.{remote}.pushurl", f"remote.{remote}.url"):
        said = await local.git.answer("config", "--get", key, codes=(0, 1))
        if said.code == 0:
            url = said.out.decode("utf-8", "replace").removesuffix("\n")
            if (found := remote_of(url if "://" in url or "@" in url else str(local.path / url))) is not None:
                return found.url, found.scheme
            return str(local.path / url.removeprefix("file://")), "file"
    raise InputError(f"{local.path} has no remote {remote}", "Name another, or a URL.")


def _network(text: str) -> Remote | None:
    return remote_of(text) if "://" in text or "@" in text.partition(":")[0] else None


async def _outbox(repository: RunRepository, local: Local | None, pinned: str, directory: Path) -> Git:
    """A repository of our own that has the run's commits and, if it is here, what came before them."""
    await in_thread(lambda stop: shutil.rmtree(directory, ignore_errors=True))
    borrow = [repository.cache.repository / "objects", *([local.objects] if local else [])]
    made = await make_bare(directory, object_format=object_format(pinned), borrow=borrow)
    git = Git(directory, cwd=directory, settings=made.settings, patience=2.0, timeout=_SECONDS)
    known = local and await local.git.answer("cat-file", "-e", f"{pinned}^{{commit}}", codes=(0, 1, 128))
    if not known or known.code:
        await in_thread(lambda stop: declare_shallow(directory, pinned))
    elif local:
        await in_thread(lambda stop: _as_shallow_as(local, directory))
    return git


def _as_shallow_as(local: Local, directory: Path) -> None:
    with suppress(OSError):
        shutil.copyfile(local.objects.parent / "shallow", directory / "shallow")
