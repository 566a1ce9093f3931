"""What a directory holds: the JSON listing of a tree output, and what makes a set of paths a tree."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import cast

from mcp_servers.storage import locations
from state.errors import InputError, LimitExceeded
from state.limits import TREE_FILES

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One file: `path` relative to its directory, `digest` as ``sha256:<hex>``, `size` in bytes."""

    path: str
    digest: str
    size: int


def render(entries: Iterable[Entry]) -> str:
    """The listing, sorted by path, the same for the same files."""
    return json.dumps([asdict(entry) for entry in sorted(entries, key=lambda entry: entry.path)], separators=(",", ":"))


def digest(listing: str) -> str:
    """``sha256:<hex>`` of a listing."""
    return f"sha256:{hashlib.sha256(listing.encode()).hexdigest()}"


def parse(listing: str) -> list[Entry]:
    """The entries of a rendered listing; `InputError` if it is damaged."""
    try:
        rows = json.loads(listing)
        if not isinstance(rows, list):
            raise ValueError("not a list")
        rows = cast("list[dict[str, object]]", rows)
        entries = [Entry(str(row["path"]), check_digest(str(row["digest"])), int(str(row["size"]))) for row in rows]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"a tree's listing is damaged: {error}", "Run the TODO that made it again.") from error
    check_tree([entry.path for entry in entries], "the listing")
    return entries


def check_digest(text: str) -> str:
    """`text`, if it is a digest."""
    if not DIGEST.fullmatch(text):
        raise InputError(f"{text[:100]!r} is not a digest", "A digest is sha256: and 64 hexadecimal digits.")
    return text


def check_tree(paths: Sequence[str], where: str) -> None:
    """`InputError` unless these can be files of one directory: relative, bounded in number, and none below another."""
    check_count(len(paths), where)
    for path in paths:
        locations.join("file:///", path)
    files = set(paths)
    for path in paths:
        above = path.rpartition("/")[0]
        while above:
            if above in files:
                raise InputError(f"{where} has both {above!r} and {path!r}", "Rename one: a file can't hold files.")
            above = above.rpartition("/")[0]


def check_count(files: int, where: str) -> None:
    """`LimitExceeded` if it is over the bound of a tree."""
    if files > TREE_FILES:
        raise LimitExceeded(f"{where} has more than {TREE_FILES:,} files (TREE_FILES)", "Pack them into an archive.")
