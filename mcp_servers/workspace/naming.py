"""Paths as a caller writes them, and names as they are shown: relative to the top of a working tree, with ``/``.

Nothing leads out, and nothing leads into what git would take for its own directory on any system: the tree is checked
out again elsewhere, and a ``.GIT`` there could bring hooks along.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from state.errors import InputError

NAME_BYTES = 255
PATH_BYTES = 4_000
_IGNORED_BY_HFS = dict.fromkeys([*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF])
_GIT = re.compile(r"(?:\.git|git~1)[ .]*(?::|\Z)")
_RELATIVE = "Paths are relative to the top of the working tree, such as src/main.py."


def is_git(name: str) -> bool:
    """Whether git takes a name for its directory's, on some file system: in capitals, as ``git~1``, with dots or spaces
    after it or a stream (NTFS), with characters in it that count for nothing (HFS+)."""
    folded = name.translate(_IGNORED_BY_HFS).lower()
    return any(_GIT.match(part) for part in folded.split("\\"))


def parts_of(path: str) -> tuple[str, ...]:
    """The names on the way from the top to `path`; none for the top itself (``.``). `InputError`: no path in here."""
    if "\0" in path:
        raise InputError(f"{shown(path)} has a NUL character, which no path has", _RELATIVE)
    if path.startswith("/"):
        raise InputError(f"{shown(path)} is absolute", _RELATIVE)
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    try:
        encoded = [part.encode() for part in parts]
    except UnicodeEncodeError as error:
        raise InputError(f"{shown(path)} is not Unicode", "Reach such names with a command.") from error
    if sum(map(len, encoded)) + len(encoded) > PATH_BYTES or any(len(part) > NAME_BYTES for part in encoded):
        raise InputError(f"{shown(path)} is too long for a path", f"A name has at most {NAME_BYTES} bytes.")
    if ".." in parts:
        raise InputError(f"{shown(path)} has a name `..`", f"Write the path without it. {_RELATIVE}")
    if any(is_git(part) for part in parts):
        raise InputError(
            f"{shown(path)} is refused: git would take a name in it for its own directory", "Choose another name."
        )
    return parts


def file_parts(path: str) -> tuple[str, ...]:
    """The same, for what can't be the top itself."""
    if parts := parts_of(path):
        if path.endswith(("/", "/.")):
            raise InputError(f"{shown(path)} is the name of a directory, by the / at its end", "Name a file.")
        return parts
    raise InputError(f"{shown(path)} is the working tree itself", "Name something in it.")


def joined(parts: Sequence[str]) -> str:
    """The path, in the form that names it in answers."""
    return "/".join(parts) or "."


def shown(path: str, characters: int = 300) -> str:
    """A path so that it is one word on one line, whatever is in it: quoted and escaped if need be."""
    whole = path if len(path) <= characters else f"{path[:characters]}…"
    if whole.isprintable() and whole == whole.strip() and whole and '"' not in whole:
        return whole
    escaped = whole.encode("unicode_escape").decode("ascii").replace('"', '\\"')
    return f'"{escaped}"'


def sendable(text: str) -> str:
    """Text from the file system without halves of characters, which neither JSON nor a database takes."""
    return text.encode("utf-8", "replace").decode()
