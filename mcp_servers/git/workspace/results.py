"""What the workspace's git answers with. Paths are text for people and models: bytes that are no UTF-8 are escaped."""

from __future__ import annotations

from dataclasses import dataclass

from state.limits import DIFF_FILES


@dataclass(frozen=True, slots=True)
class Packed:
    """An artifact (a thin pack, `size` bytes) with every object that the commit `oid` has and the commit `base` has
    not."""

    oid: str
    base: str
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Merged:
    """A clean merge: the commit `oid` with `tree`. `unchanged`: there was nothing to add, `oid` is the head."""

    oid: str
    tree: str
    unchanged: bool = False


@dataclass(frozen=True, slots=True)
class Conflict:
    """Both sides changed these `paths` (at most `limits.DIFF_FILES`). `ours` is what the head did to them since the
    common base, `theirs` what the commit did: patches of at most `limits.DIFF_BYTES` each."""

    paths: tuple[str, ...]
    ours: str
    theirs: str


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """`status` is A(dded), D(eleted), M(odified) or T (another type). `added` and `removed` count lines; None for
    binary content."""

    path: str
    status: str
    added: int | None
    removed: int | None


@dataclass(frozen=True, slots=True)
class Diff:
    """`text` is a patch; binary files are only named in it. `truncated`: there is more of it, or there are more
    `files` (`limits.DIFF_FILES`)."""

    text: str
    truncated: bool
    files: tuple[ChangedFile, ...]


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something in a working tree that a snapshot can't hold, and why."""

    path: str
    why: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A working tree as a commit. `changed` counts the paths that differ from the snapshot before. `packed` is what was
    uploaded; None when nothing changed. `skipped` lists at most `limits.SNAPSHOT_SKIPPED` paths."""

    commit: str
    tree: str
    changed: int
    skipped: tuple[Skipped, ...]
    packed: Packed | None


def shown(path: bytes) -> str:
    """A path for people."""
    return path.decode("utf-8", "backslashreplace")


def listed(paths: list[bytes]) -> tuple[str, ...]:
    """As many of them as a result may list."""
    return tuple(shown(path) for path in paths[:DIFF_FILES])
