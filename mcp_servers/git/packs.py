"""Packs in bare repositories of our own, and where their history ends."""

from __future__ import annotations

from pathlib import Path

_UNFINISHED = "shallow.unfinished"


def declare_shallow(repository: Path, oid: str) -> None:
    """Tell git that the commit's parents are not here, before the commit is. One process at a time."""
    path = repository / "shallow"
    known = path.read_text("ascii").split() if path.exists() else []
    if oid not in known:
        unfinished = repository / _UNFINISHED
        unfinished.write_text("".join(f"{each}\n" for each in (*known, oid)), "ascii")
        unfinished.replace(path)


def remove_pack(repository: Path, name: str) -> None:
    """`name` is what ``index-pack`` called it."""
    # The index goes first: a pack without one is not looked at.
    for suffix in ("idx", "rev", "pack"):
        (repository / "objects" / "pack" / f"pack-{name}.{suffix}").unlink(missing_ok=True)
