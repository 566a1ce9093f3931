"""Packs in bare repositories of our own, and where their history ends."""

from __future__ import annotations

import re
from pathlib import Path

_OID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_UNFINISHED = "shallow.unfinished"


def declare_shallow(repository: Path, oid: str) -> None:
    """Tell git that the commit's parents are not here, before the commit is. Lines that make no sense are dropped. One
    process at a time."""
    path = repository / "shallow"
    said = path.read_text("ascii", "replace") if path.exists() else ""
    known = [line for line in said.splitlines() if _OID.fullmatch(line)]
    wanted = "".join(f"{each}\n" for each in (known if oid in known else [*known, oid]))
    if wanted != said:
        unfinished = repository / _UNFINISHED
        unfinished.write_text(wanted, "ascii")
        unfinished.replace(path)


def remove_pack(repository: Path, name: str) -> None:
    """`name` is what ``index-pack`` called it."""
    # The index goes first: a pack without one is not looked at.
    for suffix in ("idx", "rev", "pack"):
        (repository / "objects" / "pack" / f"pack-{name}.{suffix}").unlink(missing_ok=True)
