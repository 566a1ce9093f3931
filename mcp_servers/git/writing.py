"""Changing a repository. No hook runs, no editor opens, nothing is signed; no command shows, at its end, what has
changed in the work tree, for which it would enter submodules.

What can stop half-way is taken back: a merge or rebase that meets conflicts is aborted, and the conflicts are the
answer. Calls that change one repository take turns; other repositories know nothing of it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from mcp_servers.git.naming import inside, revision
from mcp_servers.git.porcelain import parsed_worktrees
from mcp_servers.git.program import Git, GitError
from mcp_servers.git.reading import unfinished
from mcp_servers.storage.threads import completed, in_thread
from state.errors import InputError

_JOIN = 'Pass strategy="merge" for a merge commit, or git_rebase first.'
Strategy = Literal["ff-only", "merge", "squash"]
ResetMode = Literal["soft", "mixed", "hard"]


class Moved(BaseModel):
    """Where HEAD is now."""

    branch: str | None = Field(description="Absent when HEAD is detached.")
    commit: str | None = Field(description="Absent before the first commit.")
    said: str = Field(default="", description="What git said.")


class Joined(BaseModel):
    """What became of a merge or rebase."""

    outcome: Literal["up to date", "fast-forward", "merged", "squashed", "rebased", "conflicts"]
    commit: str | None
    conflicts: list[str] = Field(default=[], description="Paths in conflict. Everything is as it was before.")


class Turns:
    """One at a time for each repository, in the order in which they came."""

    def __init__(self) -> None:
        self._locks: dict[Path, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def of(self, common: Path) -> AsyncGenerator[None]:
        """Wait for this repository's turn."""
        lock, waiting = self._locks.get(common, (asyncio.Lock(), 0))
        self._locks[common] = (lock, waiting + 1)
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._locks.pop(common)
            if waiting > 1:
                self._locks[common] = (lock, waiting - 1)


async def head(git: Git, said: str = "") -> Moved:
    """The branch and commit that are checked out."""
    branch = await git.answer("symbolic-ref", "--quiet", "--short", "HEAD", codes=(0, 1))
    commit = await git.answer("rev-parse", "--verify", "--quiet", "HEAD", codes=(0, 1, 128))
    name = branch.out.decode("utf-8", "replace").strip() or None
    return Moved(branch=name, commit=commit.out.decode().strip() or None, said=said)


async def add(git: Git, paths: Sequence[str], *, everything: bool = False) -> None:
    """Stage paths (directories with all in them), or everything that changed, deletions too."""
    if not paths and not everything:
        raise InputError("nothing to stage was named", "Name paths, or say everything=true.")
    await git.run("add", "--all", "--", *(inside(git, paths) or ["."]))


async def commit(git: Git, message: str, *, author: str | None = None, allow_empty: bool = False) -> Moved:
    """Commit what is staged."""
    if not message.strip():
        raise InputError("the message is empty", "Say in a line what this commit is for.")
    if not allow_empty and await _nothing_staged(git):
        raise _nothing_to_commit()
    flags = [*(["--author", author] if author else []), *(["--allow-empty"] if allow_empty else [])]
    said = await git.answer(
        "commit", "--quiet", "--cleanup=whitespace", "--no-verify", "--no-edit", "--file=-", *flags,
        stdin=message.encode(), codes=(0, 1),
    )  # fmt: skip
    if said.code:
        raise _nothing_to_commit()
    return await head(git)


async def _nothing_staged(git: Git) -> bool:
    """git would say so itself, but by a status that enters submodules and obeys their configuration."""
    if git.directory and (git.directory / "MERGE_HEAD").exists():
        return False
    return (await git.answer("diff", "--cached", "--quiet", "--ignore-submodules=dirty", codes=(0, 1))).code == 0


def _nothing_to_commit() -> GitError:
    return GitError("nothing is staged, so there is nothing to commit", "Stage changes with git_add first.")


async def branch(git: Git, name: str, start: str = "HEAD") -> None:
    """Make a branch; nothing is checked out."""
    await git.run("branch", "--no-track", "--", await _new_name(git, name), revision(start))


async def delete_branch(git: Git, name: str, *, force: bool = False) -> None:
    """Delete a local branch; unless forced, only one whose commits are elsewhere too."""
    await git.run("branch", "--delete", *(["--force"] if force else []), "--", revision(name))


async def switch(git: Git, name: str, *, create: bool = False, start: str | None = None, detach: bool = False) -> Moved:
    """Check out a branch. Changes that would be lost stop it."""
    if create:
        await git.run(
            "switch", "--quiet", "--no-track", "--create", await _new_name(git, name), revision(start or "HEAD")
        )
    elif detach:
        await git.run("switch", "--quiet", "--detach", revision(name))
    else:
        await git.run("switch", "--quiet", "--no-guess", revision(name))
    return await head(git)


async def restore(git: Git, paths: Sequence[str], *, staged: bool, source: str | None = None) -> None:
    """Bring paths back: the index from HEAD (staged), else the working tree from the index; or from `source`."""
    if not paths:
        raise InputError("no paths were named", "Name at least one.")
    where = ["--staged"] if staged else ["--worktree"]
    origin = [f"--source={revision(source)}"] if source else []
    await git.run("restore", *where, *origin, "--", *inside(git, paths))


async def reset(git: Git, to: str, mode: ResetMode) -> Moved:
    """Move the branch to a commit; `hard` also throws away what is staged and changed."""
    await git.run("reset", "--quiet", f"--{mode}", revision(to), "--")
    return await head(git)


async def merge(git: Git, other: str, strategy: Strategy, message: str | None = None) -> Joined:
    """Merge into what is checked out. With conflicts: aborted, and they are named."""
    before = (await head(git)).commit
    flags = {"ff-only": ["--ff-only"], "merge": ["--no-edit"], "squash": ["--squash"]}[strategy]
    try:
        said = await _stoppable(
            git, ("merge", "--abort"), "merge", "--no-verify", "--no-stat", "--no-autostash", *flags,
            *(["-m", message] if message and strategy == "merge" else []), revision(other),
        )  # fmt: skip
    except GitError as error:
        if strategy == "ff-only" and "fast-forward" in error.message:
            raise GitError(
                f"{other} is not ahead of what is checked out: both have commits of their own", _JOIN
            ) from error
        raise
    if isinstance(said, list):
        if strategy == "squash":  # which leaves no merge to abort
            await completed(git.run("reset", "--quiet", "--merge"))
        return Joined(outcome="conflicts", commit=before, conflicts=said)
    after = (await head(git)).commit
    if strategy == "squash" and "up to date" not in said:
        return Joined(outcome="squashed", commit=after)
    if after == before:
        return Joined(outcome="up to date", commit=after)
    return Joined(outcome="fast-forward" if "Fast-forward" in said else "merged", commit=after)


async def rebase(git: Git, onto: str) -> Joined:
    """Replay this branch's commits onto another. With conflicts: aborted, and they are named."""
    before = (await head(git)).commit
    flags = ("--no-verify", "--no-stat", "--no-autosquash", "--no-autostash", "--no-fork-point")
    said = await _stoppable(git, ("rebase", "--abort"), "rebase", *flags, revision(onto))
    if isinstance(said, list):
        return Joined(outcome="conflicts", commit=before, conflicts=said)
    after = (await head(git)).commit
    return Joined(outcome="up to date" if after == before else "rebased", commit=after)


async def tag(git: Git, name: str, target: str = "HEAD", message: str | None = None) -> None:
    """Make a tag, annotated if it has a message."""
    annotated = ["--annotate", "--cleanup=whitespace", "--file=-"] if message else []
    name = revision(name)
    await git.run("tag", *annotated, "--", name, revision(target), stdin=(message or "").encode())


async def delete_tag(git: Git, name: str) -> None:
    """Delete a local tag."""
    await git.run("tag", "--delete", "--", revision(name))


async def stash(git: Git, message: str | None = None, *, untracked: bool = False) -> bool:
    """Put changes aside; False when there are none."""
    flags = [*(["--include-untracked"] if untracked else []), *(["--message", message] if message else [])]
    return b"No local changes" not in await git.run("stash", "push", *flags)


async def unstash(git: Git, index: int, *, drop: bool = True) -> list[str]:
    """Bring a stashed change back; the paths in conflict, if any (then it stays stashed, and nothing is changed)."""
    if not (await git.text("status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all")) == "":
        raise GitError("there are uncommitted changes, which a conflict would mix up", "Commit or stash them first.")
    said = await git.answer("stash", "apply", "--quiet", "--index", f"stash@{{{index}}}", codes=(0, 1))
    if said.code:
        conflicts = await _conflicts(git)
        await completed(git.run("reset", "--quiet", "--hard"))
        if not conflicts:
            raise said.error("stash")
        return conflicts
    if drop:
        await git.run("stash", "drop", "--quiet", f"stash@{{{index}}}")
    return []


async def drop_stash(git: Git, index: int) -> None:
    """Throw a stashed change away."""
    await git.run("stash", "drop", "--quiet", f"stash@{{{index}}}")


async def add_worktree(git: Git, path: Path, of: str, *, new_branch: str | None = None) -> None:
    """Another working tree, in a directory that does not exist yet. `path` has been judged."""
    flags = ["--no-track", "-b", await _new_name(git, new_branch)] if new_branch else []
    await git.run("worktree", "add", "--quiet", *flags, "--", str(path), revision(of))


async def remove_worktree(git: Git, path: Path, *, force: bool = False) -> None:
    """Remove a working tree; unless forced, only a clean one. `path` is a real one and has been judged."""
    listing = (await git.run("worktree", "list", "--porcelain", "-z")).decode("utf-8", "surrogateescape")
    if not await in_thread(lambda stop: _names(listing, path)):
        raise InputError(f"{path} is not a working tree of this repository", "git_list_worktrees shows them.")
    await git.run("worktree", "remove", *(["--force"] if force else []), "--", str(path))


def _names(listing: str, path: Path) -> bool:
    """Whether git will mean this working tree. It goes by how their names end, and those are what files say."""
    meant = [
        os.path.realpath(each.path)
        for each in parsed_worktrees(listing)
        if each.path.endswith(str(path)) or os.path.realpath(each.path) == str(path)
    ]
    return meant == [str(path)]


async def _stoppable(git: Git, abort: tuple[str, str], *arguments: str) -> str | list[str]:
    """What git said, or the paths in conflict, after `abort`. Cancelled, it is aborted too."""
    await _refuse_unfinished(git)
    done = False
    try:
        said = await git.answer(*arguments, codes=(0, 1, 128))
        done = said.code == 0
        if done:
            return said.out.decode("utf-8", "replace")
        conflicts = await _conflicts(git)
        if not conflicts:
            raise said.error(arguments[0])
        return conflicts
    finally:
        if not done:
            await completed(git.answer(*abort, codes=(0, 128)))


async def _refuse_unfinished(git: Git) -> None:
    """What somebody else began is theirs to abort: what they resolved by hand would be lost."""
    stopped = [each for each in unfinished(git.directory) if each != "bisect"]
    if stopped or await _conflicts(git):
        what = f"a {stopped[0]} is in progress" if stopped else "there are unresolved conflicts"
        raise GitError(f"{what}, which this would throw away", "See git_status; have it finished or aborted first.")


async def _conflicts(git: Git) -> list[str]:
    out = await git.run("diff", "--name-only", "--diff-filter=U", "-z", "--no-ext-diff", "--ignore-submodules=dirty")
    return [path for path in out.decode("utf-8", "replace").split("\0") if path]


async def _new_name(git: Git, name: str) -> str:
    said = await git.answer("check-ref-format", "--branch", revision(name), codes=(0, 1, 128))
    if said.code:
        raise InputError(f"{name!r} can't be the name of a branch", "Use letters, digits, dashes and slashes.")
    return name
