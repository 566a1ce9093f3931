"""Directories of this host that files may be copied from and to. No name below them is trusted."""

from __future__ import annotations

import os
import stat
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mcp_servers.storage import beneath
from state.errors import InputError


@dataclass(frozen=True, slots=True)
class Place:
    """`parts` below `root`. Whoever opens it follows no symbolic link on the way, see `beneath`."""

    root: Path
    parts: tuple[str, ...]

    @property
    def relative(self) -> str:
        """As `beneath` takes it."""
        return "/".join(self.parts) or "."


class LocalRoots:
    """`roots` are the operator's; links in their own names are followed once, now."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = [Path(os.path.realpath(root)) for root in roots]
        self._named = [Path(os.path.abspath(root)) for root in roots]  # noqa: PTH100  links stay as they are

    def place(self, path: str) -> Place:
        """Where `path` (absolute, or relative to the only root) leads. `InputError` outside of all roots."""
        if not self._roots:
            raise InputError("this server may use no directory of its host", "Its operator can name some (`--root`).")
        pure = PurePosixPath(path)
        if not path or "\0" in path or ".." in pure.parts:
            raise InputError(f"{path[:200]!r} is not a path below an allowed directory", "Leave out `..`.")
        if not pure.is_absolute():
            if len(self._roots) > 1:
                raise InputError(f"{path[:200]!r} is relative, and several directories are allowed", self._hint())
            return Place(self._roots[0], pure.parts)
        for named, real in zip(self._named, self._roots, strict=True):
            for root in (named, real):
                if pure.is_relative_to(root):
                    return Place(real, pure.relative_to(root).parts)
        raise InputError(f"{path[:200]} is outside of the allowed directories", self._hint())

    def _hint(self) -> str:
        return f"Allowed: {', '.join(map(str, self._named))}."


@contextmanager
def refusals(path: str) -> Generator[None]:
    """An `OSError` inside is told as an `InputError` about `path`."""
    try:
        yield
    except OSError as error:
        about = f"{error.filename}: " if error.filename and not isinstance(error.filename, int) else ""
        raise InputError(f"{path}: {about}{error.strerror or error}", "Symbolic links are not followed.") from error


def files(place: Place) -> list[str]:
    """Files at or below the place, as paths relative to its root: one, if it is a file."""
    *parts, name = place.parts or ["."]
    with beneath.directory(place.root, parts) as parent:
        mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    if not stat.S_ISDIR(mode):
        beneath.check_regular(mode, place.relative)
        return [place.relative]
    return sorted(beneath.walk(place.root, place.relative))
