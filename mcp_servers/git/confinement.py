"""Which repositories the git tools may touch: those that lie, with all they consist of, below the allowed roots.

A path is judged by where it really is. What a repository's own files point at (a ``.git`` file, ``commondir``,
alternates, symbolic links anywhere in a git directory) is followed and judged too, because whoever can write a file can
write those. They are read exactly as git reads them. Then git is told explicitly where everything is, so that
``core.worktree`` and discovery have no say.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mcp_servers.git.innards import Innards
from mcp_servers.git.program import GitError
from state.errors import InputError, SettingsError

_POINTER_BYTES = 4_096
_ALTERNATES_BYTES = 1 << 20
_ALTERNATES = 5
"""git follows alternates of alternates to this depth."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository inside the roots. `directory` is its ``--git-dir``, `common` the one that its worktrees share (the
    same, mostly); `work_tree` is None for a bare one."""

    directory: Path
    common: Path
    work_tree: Path | None


class Roots:
    """The directories that the operator allows. `SettingsError` when there is none, or one is not a directory."""

    def __init__(self, directories: Sequence[Path]) -> None:
        if not directories:
            raise SettingsError("no directory is allowed", "Name at least one: --root DIR.")
        for directory in directories:
            if not directory.is_dir():
                raise SettingsError(f"--root {directory} is not a directory", "Name a directory that exists.")
        self.directories = [Path(os.path.realpath(directory)) for directory in directories]
        self._prefixes = tuple(f"{directory}".rstrip("/") + "/" for directory in self.directories)
        self._innards = Innards()

    def contain(self, path: Path) -> bool:
        """Whether a real path is one of the roots or below one."""
        return f"{path}/".startswith(self._prefixes)

    def real(self, path: str) -> Path:
        """Where an absolute path (or one relative to the only root) really is: `InputError` if outside. It need not
        exist."""
        if "\0" in path or not path:
            raise InputError(f"{path!r} is not a path", self._hint())
        given = Path(path)
        if not given.is_absolute():
            if len(self.directories) > 1:
                raise InputError(f"{path} is not absolute", self._hint())
            given = self.directories[0] / given
        real = Path(os.path.realpath(given))
        if not self.contain(real):
            raise InputError(f"{path} is outside the directories that are allowed here", self._hint())
        return real

    def repository(self, repo: str) -> Repository:
        """The repository that `repo` is, or is in. Looks no higher than the root."""
        start = self.real(repo)
        if not os.path.isdir(start):  # noqa: PTH112  here and below: every call asks, and a Path takes ten times as long
            raise InputError(f"{repo} is not a directory", self._hint())
        for place in (start, *start.parents):
            if not self.contain(place):
                break
            if _is_git_directory(place):
                return self._judged(place, None if place.name != ".git" else place.parent)
            if os.path.exists(f"{place}/.git"):  # noqa: PTH110
                return self._judged(self._pointed(place / ".git"), place)
        raise InputError(f"{repo} is not in a git repository", f"Name one, or make one with git_clone. {self._hint()}")

    def _pointed(self, entry: Path) -> Path:
        """The git directory that ``.git`` is, or names."""
        if os.path.isdir(entry):  # noqa: PTH112
            return Path(os.path.realpath(entry))
        text = _pointer(entry)
        if not text.startswith("gitdir: "):
            raise GitError(f"{entry} is not a git directory, and names none", "")
        return Path(os.path.realpath(entry.parent / text.removeprefix("gitdir: ")))

    def _judged(self, directory: Path, work_tree: Path | None) -> Repository:
        self._require(directory, "its git directory")
        shares = os.path.exists(f"{directory}/commondir")  # noqa: PTH110
        if not shares and not _is_git_directory(directory):
            raise GitError(f"{directory} is not a git directory", "")
        common = directory
        if shares:
            common = Path(os.path.realpath(directory / _pointer(directory / "commondir")))
            self._require(common, "the git directory that it shares")
        for base in {directory, common}:
            if os.path.lexists(base / ".git"):  # which a transfer would enter instead
                raise GitError(f"{base} is a git directory and has a .git of its own", "")
            self._check_links(base)
        self._check_alternates([Path(os.path.realpath(common / "objects"))], 0)
        return Repository(directory, common, work_tree)

    def _check_links(self, base: Path) -> None:
        waiting, judged = [str(base)], set[str]()
        while waiting:
            directory = waiting.pop()
            judged.add(directory)
            for link in self._innards.links(directory):
                target = os.path.realpath(link)
                self._require(Path(target), f"its {os.path.relpath(link, base)}")
                if target not in judged and os.path.isdir(target):  # noqa: PTH112  these are many
                    waiting.append(target)

    def _check_alternates(self, stores: Iterable[Path], depth: int) -> None:
        for store in stores:
            self._require(store, "an object store that it borrows from")
            listing = store / "info" / "alternates"
            if depth > _ALTERNATES or not os.path.isfile(listing):  # noqa: PTH113
                continue
            if len(content := _read(listing, _ALTERNATES_BYTES)) >= _ALTERNATES_BYTES:
                raise GitError(f"{listing} is too large to judge the alternates in it", "")
            lines = content.split("\n")
            named = [line for line in lines if line and not line.startswith("#")]
            if any(name.startswith('"') for name in named):
                raise GitError(f"{listing} has names that are quoted; such are not followed here", "")
            lent = [Path(os.path.realpath(store / name)) for name in named]
            self._check_alternates(lent, depth + 1)
            for each in lent:
                self._check_links(each)

    def _require(self, path: Path, what: str) -> None:
        if not self.contain(path):
            raise InputError(f"refused: {what} lies outside the directories that are allowed here", self._hint())

    def _hint(self) -> str:
        return f"Allowed: {', '.join(map(str, self.directories))}."


def _is_git_directory(path: Path) -> bool:
    return (
        os.path.isfile(f"{path}/HEAD")  # noqa: PTH113
        and os.path.isdir(f"{path}/objects")  # noqa: PTH112
        and os.path.isdir(f"{path}/refs")  # noqa: PTH112
    )


def _pointer(path: Path) -> str:
    content = _read(path, _POINTER_BYTES)
    if len(content) >= _POINTER_BYTES:
        raise GitError(f"{path} is too large to point at a directory", "")
    return content.rstrip("\r\n")


def _read(path: Path, limit: int) -> str:
    """The beginning of a file. `GitError`: it can't be read, or is something else."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO there can't make us wait
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise GitError(f"{path} is not a file", "")
            return file.read(limit).decode("utf-8", "surrogateescape")
    except OSError as error:
        raise GitError(f"{path} can't be read: {error.strerror}", "") from error
