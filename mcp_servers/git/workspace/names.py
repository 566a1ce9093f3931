"""Names that git keeps for itself, in every spelling that some file system takes for the same: a tree with one is
refused by git, and by the hosts that people push to."""

from __future__ import annotations

import re

_IGNORABLE = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
"""What HFS+ does not see in a name."""
_END = r"[ .]*(?::.*)?"
"""What NTFS does not see at a name's end."""
_GIT = re.compile(rf"(?:\.git|git~1){_END}", re.DOTALL)
_MODULES = re.compile(rf"(?:\.gitmodules|gitmod~[1-4]|[gi7eba]{{0,6}}~[1-9][0-9]*){_END}", re.DOTALL)
_SUSPICIOUS = re.compile(rb"[gG~\\\xe2\xef]")


def kept_by_git(name: bytes) -> bool:
    """Whether nothing in a tree can have this name."""
    return _kept(name, ".git", _GIT)


def kept_from_links(path: bytes) -> bool:
    """Whether a symbolic link can't have this path in a tree, for one of its names. A little stricter than git."""
    return any(_kept(name, ".gitmodules", _MODULES) for name in path.split(b"/"))


def _kept(name: bytes, plain: str, windows: re.Pattern[str]) -> bool:
    if not _SUSPICIOUS.search(name):
        return False
    text = name.decode("utf-8", "surrogateescape").lower()
    # a backslash separates, for NTFS
    return _IGNORABLE.sub("", text) == plain or any(windows.fullmatch(part) for part in text.split("\\"))
