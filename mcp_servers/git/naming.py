"""What a caller names: revisions and paths, fit for a command line of git. None is an option, none leads out.

git takes some paths for more than they seem: ``git diff`` compares any two files of the host once one of them is not in
the repository, and some commands read a tracked file through a directory that has become a symbolic link.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from mcp_servers.git.program import Git, GitError
from state.errors import InputError


def revision(text: str) -> str:
    """A revision or a range."""
    if not text or text.startswith("-") or not text.isprintable():
        raise InputError(f"{text!r} is not a revision", "Name a branch, a tag, a commit, or a range like main..topic.")
    return text


def inside(git: Git, paths: Sequence[str]) -> list[str]:
    """Paths relative to the top of the repository; absolute ones may name the same. `InputError`: one leads out."""
    return [_inside(git.work_tree, path) for path in paths]


def _inside(top: Path | None, path: str) -> str:
    pure = PurePosixPath(path)
    if top and pure.is_absolute() and pure.is_relative_to(top):
        path = str(pure.relative_to(top))
    elif pure.is_absolute() or "\0" in path or not path:
        raise _outside(path)
    if ".." in pure.parts:
        raise _outside(path)
    return path


def _outside(path: str) -> InputError:
    return InputError(
        f"{path[:200]!r} is not a path, or is outside of the repository", "Write it relative to the top, without `..`."
    )


async def refuse_links(git: Git, paths: Sequence[str]) -> None:
    """Before tracked files at or below `paths` (none: all) are read: `InputError` if one lies behind a link."""
    missing = await git.run(
        "diff-files", "--name-only", "--diff-filter=D", "-z", "--ignore-submodules=all", "--", *paths
    )  # what is behind a link counts as deleted
    refuse_link(git, missing.decode("utf-8", "surrogateescape").split("\0"))


def refuse_link(git: Git, paths: Iterable[str]) -> None:
    """`InputError` if a directory on the way to one of the files is a symbolic link."""
    top = git.work_tree
    if top is None:
        return
    for directory in {above for path in paths for above in PurePosixPath(path).parents}:
        if os.path.islink(top / directory) and directory.parts:  # noqa: PTH114  it may hold any byte
            raise GitError(
                f"{directory} is tracked as a directory, and is a symbolic link now",
                "Look at a revision instead, or name paths beside it.",
            )
