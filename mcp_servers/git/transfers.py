"""Between repositories: clone, fetch, push. Over https and ssh, and from paths inside the roots; nothing else.

A remote's URL is read from the configuration, judged, and given to git itself: what else the configuration says of the
remote (programs, proxies, refspecs) has no say. Where the other end is on this host too, it runs with the same
settings: git forgets them on the way there, and the other repository's hooks would run.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from mcp_servers.git.confinement import Roots
from mcp_servers.git.naming import revision
from mcp_servers.git.program import SAFE, Git, GitError
from mcp_servers.git.remote import INHERITED, remote_of
from mcp_servers.git.telling import told
from mcp_servers.progress import Progress
from mcp_servers.storage.threads import completed, in_thread
from state.errors import InputError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,99}")


class Fetched(BaseModel):
    """What a fetch brought."""

    updated: list[str] = Field(description="Remote-tracking branches and tags that are new, moved or gone.")


class Pushed(BaseModel):
    """What a push did."""

    ref: str
    commit: str
    outcome: str = Field(description="In git's words, such as: [new branch], up to date, 1a2b..3c4d.")


class Transfers:
    """Transfers for repositories below `roots`. `credential_helper` is the operator's; a repository names none."""

    def __init__(self, roots: Roots, credential_helper: str | None = None) -> None:
        self._roots = roots
        self._helper = credential_helper

    async def clone(
        self, url: str, into: Path, *, branch: str | None, depth: int | None, timeout: float, progress: Progress
    ) -> None:
        """Make `into` (judged; must not exist) a clone. Cancelled or failed, nothing of it is left."""
        source, protocol = await self._source(url)
        flags = [*(["--branch", revision(branch)] if branch else []), *([f"--depth={depth}"] if depth else [])]
        await in_thread(lambda stop: _make(into))
        git = self._reaching(Git(cwd=into.parent, settings=SAFE, patience=2.0, timeout=timeout), protocol)
        shape = (
            "--progress", "--template=", "--no-local", "--no-recurse-submodules", "--no-shallow-submodules",
            *other_end(protocol, "upload-pack"),
        )  # fmt: skip
        try:
            async with told(git, progress) as heard:
                await heard.run("clone", *shape, *flags, "--", source, str(into))
        except BaseException:
            await completed(in_thread(lambda stop: shutil.rmtree(into, ignore_errors=True)))
            raise

    async def fetch(
        self, git: Git, remote: str, progress: Progress, *, tags: bool = False, prune: bool = False
    ) -> Fetched:
        """Bring a remote's branches up to date here."""
        source, protocol = await self._of(git, remote)
        before = await _refs(git)
        flags = [*(["--tags"] if tags else []), *(["--prune"] if prune else [])]
        async with told(self._reaching(git, protocol), progress) as heard:
            await heard.run(
                "fetch", "--progress", "--no-recurse-submodules", "--no-write-fetch-head", "--no-auto-maintenance",
                *flags, *other_end(protocol, "upload-pack"), "--", source, f"+refs/heads/*:refs/remotes/{remote}/*",
            )  # fmt: skip
        after = await _refs(git)
        return Fetched(updated=sorted(name for name in before | after if before.get(name) != after.get(name)))

    async def push(
        self,
        git: Git,
        remote: str,
        branch: str,
        progress: Progress,
        *,
        force: bool = False,
        set_upstream: bool = False,
    ) -> Pushed:
        """Send a branch under its own name. Forced, only over what the last fetch saw there."""
        source, protocol = await self._of(git, remote, push=True)
        ref, tracking = f"refs/heads/{revision(branch)}", f"refs/remotes/{remote}/{branch}"
        oid = await git.text("rev-parse", "--verify", f"{ref}^{{commit}}")
        lease: list[str] = []
        if force:
            known = await git.answer("rev-parse", "--verify", "--quiet", tracking, codes=(0, 1))
            lease = [f"--force-with-lease={ref}:{known.out.decode().strip()}"]
        async with told(self._reaching(git, protocol), progress) as heard:
            said = await heard.answer(
                "push", "--progress", "--porcelain", "--no-verify", "--no-follow-tags", "--no-signed",
                "--recurse-submodules=no", *lease, *other_end(protocol, "receive-pack"), "--", source, f"{oid}:{ref}",
                codes=(0, 1),
            )  # fmt: skip
        line = next((each for each in said.out.decode("utf-8", "replace").splitlines() if "\t" in each), "")
        if said.code:
            reason = line.rpartition("\t")[2] or said.reason
            raise GitError(f"the push was refused: {reason}", "Fetch, merge or rebase, and push again.")
        await git.run("update-ref", tracking, oid)
        if set_upstream:
            await git.run("branch", f"--set-upstream-to={remote}/{branch}", "--", branch)
        return Pushed(ref=ref, commit=oid, outcome=line.rpartition("\t")[2])

    async def _of(self, git: Git, remote: str, *, push: bool = False) -> tuple[str, str]:
        """(where it is, the protocol): of a remote of this repository."""
        if not _NAME.fullmatch(remote) or ".." in remote:
            raise InputError(f"{remote!r} is not the name of a remote", "Name one, such as origin.")
        for key in (f"remote.{remote}.pushurl", f"remote.{remote}.url") if push else (f"remote.{remote}.url",):
            said = await git.answer("config", "--get", key, codes=(0, 1))
            if said.code == 0:
                return await self._source(said.out.decode("utf-8", "replace").removesuffix("\n"))
        known = (await git.run("remote")).decode("utf-8", "replace").split()
        there = f"There are: {', '.join(known)}." if known else "The repository has none."
        raise InputError(f"there is no remote {remote}", there)

    async def _source(self, url: str) -> tuple[str, str]:
        if (found := remote_of(url)) is not None:
            return found.url, found.scheme
        path = url.removeprefix("file://")
        repository = await in_thread(lambda stop: self._roots.repository(path))
        return str(repository.common), "file"

    def _reaching(self, git: Git, protocol: str) -> Git:
        return reaching(git, protocol, self._helper)


def reaching(git: Git, protocol: str, helper: str | None = None) -> Git:
    """The same, with what it needs to reach others by this protocol alone."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    settings = (*git.settings, f"protocol.{protocol}.allow=always")
    if helper:
        settings = (*settings, f"credential.helper={helper}")
    reach = {"GIT_ALLOW_PROTOCOL": protocol, "GIT_SSH_COMMAND": "ssh -o BatchMode=yes"}
    environment = {**git.environment, **inherited, **reach}
    if protocol == "ssh":  # for known_hosts and keys
        environment["HOME"] = str(Path.home())
    return replace(git, environment=environment, settings=settings)


def _make(into: Path) -> None:
    """A directory that nobody else has made: if the clone fails, it is ours to remove."""
    try:
        into.mkdir()
    except FileExistsError as error:
        raise InputError(f"{into} exists already", "Name a new directory.") from error
    except OSError as error:
        raise InputError(f"{into} can't be made: {error.strerror}", "Name one whose parent is there.") from error


def other_end(protocol: str, program: Literal["upload-pack", "receive-pack"]) -> list[str]:
    """The option for how the program at the other end is started, where that is on this host."""
    if protocol != "file":
        return []
    settings = (*SAFE, "receive.denyCurrentBranch=refuse")  # else it could check out there, with filters
    return [f"--{program}={shlex.join(['git', *(part for each in settings for part in ('-c', each)), program])}"]


async def _refs(git: Git) -> dict[str, str]:
    out = await git.text(
        "for-each-ref", "--format=%(refname:short) %(objectname) %(symref)", "refs/remotes", "refs/tags"
    )
    rows = (line.split(" ") for line in out.splitlines())
    return {name: oid for name, oid, symbolic in rows if not symbolic}
