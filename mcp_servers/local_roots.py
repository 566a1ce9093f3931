"""Directories of this host whose files a server's tools may take and make. No name below them is trusted."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from state.errors import InputError, SettingsError

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Place:
    """`parts` below `root`. Whoever opens it follows no symbolic link on the way, see `storage.beneath`."""

    root: Path
    parts: tuple[str, ...]

    @property
    def relative(self) -> str:
        """As `beneath` takes it."""
        return "/".join(self.parts) or "."

    @property
    def shown(self) -> str:
        """For messages."""
        return str(self.root.joinpath(*self.parts))


class LocalRoots:
    """`roots` are the operator's; links in their own names are followed once, now. `SettingsError`: one is not a
    directory."""

    def __init__(self, roots: Sequence[Path]) -> None:
        for root in roots:
            if not root.is_dir():
                raise SettingsError(f"--root {root} is not a directory", "Name a directory that exists.")
        named = [(Path(os.path.abspath(root)), Path(os.path.realpath(root))) for root in roots]  # noqa: PTH100  keeps links
        both = [(name, real) for pair in named for name, real in ((pair[0], pair[1]), (pair[1], pair[1]))]
        self._roots = sorted(both, key=lambda each: len(each[0].parts), reverse=True)
        self._only = named[0][1] if len(named) == 1 else None
        self._shown = ", ".join(str(name) for name, _ in named)

    def __bool__(self) -> bool:
        return bool(self._roots)

    def place(self, path: str) -> Place:
        """Where `path` (absolute, or relative to the only root) leads. `InputError` outside of all roots."""
        if not self._roots:
            raise InputError("this server may use no directory of its host", "Its operator can name some (`--root`).")
        pure = PurePosixPath(path)
        if not path or ".." in pure.parts or _CONTROL.search(path):
            raise InputError(
                f"{path[:200]!r} is empty, or has '..' or a control character",
                "Write a plain path below an allowed directory.",
            )
        if not pure.is_absolute():
            if self._only is None:
                raise InputError(f"{path[:200]!r} is relative, and several directories are allowed", self._hint())
            return Place(self._only, pure.parts)
        for root, real in self._roots:
            if pure.is_relative_to(root):
                return Place(real, pure.relative_to(root).parts)
        raise InputError(f"{path[:200]} is outside of the allowed directories", self._hint())

    def _hint(self) -> str:
        return f"Allowed: {self._shown}."
