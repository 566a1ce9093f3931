"""Bare repositories of our own: empty configuration, neutral attributes. git never works in anybody else's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mcp_servers.git.program import ATTRIBUTES, Git


async def make_bare(
    directory: Path, *, object_format: str = "sha1", borrow: Path | Sequence[Path] | None = None
) -> Git:
    """A new bare repository; with `borrow`, others' object directories, it has those objects too."""
    git = Git(directory)
    await git.run("init", "--quiet", "--bare", "--template=", f"--object-format={object_format}", str(directory))
    _furnish(directory, [borrow] if isinstance(borrow, Path) else borrow or ())
    return git


def object_format(oid: str) -> str:
    """The format of a repository that has this object id."""
    return "sha256" if len(oid) == 64 else "sha1"


def _furnish(directory: Path, borrow: Sequence[Path]) -> None:
    (directory / "info").mkdir(exist_ok=True)
    (directory / "info" / "attributes").write_text(ATTRIBUTES, "ascii")
    if borrow:
        alternates = directory / "objects" / "info" / "alternates"
        alternates.parent.mkdir(exist_ok=True)
        lines = "".join(_quoted(str(each)) + "\n" for each in borrow)
        alternates.write_text(lines, "utf-8", "surrogateescape")


def _quoted(path: str) -> str:
    """As git quotes a path: a line of ``alternates`` that starts with a quotation mark is read so."""
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
