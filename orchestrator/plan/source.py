"""From the bytes of a document to a plain tree, with the place of everything in it (design §3).

One reader for YAML 1.2 and JSON. Bounded in bytes, depth and values before anything looks at the content.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path as FilePath

from orchestrator.plan.problems import Path, Place, Problem, document_error, shown_line
from orchestrator.plan.spelling import feed_json, feed_yaml, is_json, refuse_json
from orchestrator.plan.tree import Marks, Node, TreeBuilder
from state.errors import DocumentError, InputError, LimitExceeded
from state.limits import DOCUMENT_BYTES, DOCUMENT_PROBLEMS

# What YAML 1.2 calls printable; JSON may not hold the others in its strings either, or has escapes for them.
UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
"""What a document can't hold as it is."""


@dataclass(frozen=True, slots=True)
class Source:
    """A document that could be read: its tree, and the problems that did not keep it from being read."""

    name: str
    root: dict[str, Node]
    problems: tuple[Problem, ...]
    _marks: Marks

    def place(self, path: Path) -> Place:
        """Where the key or item at `path` stands; for what is not there, the nearest thing around it."""
        place: Place = (1, 1)
        node: Node = self.root
        for part in path:
            marks = self._marks.get(id(node))
            if isinstance(node, dict) and isinstance(marks, dict) and part in node:
                place, node = marks[str(part)], node[str(part)]
            elif isinstance(node, list) and isinstance(marks, list) and isinstance(part, int) and part < len(node):
                place, node = marks[part], node[part]
            else:
                break
        return place

    def error(self, problems: Iterable[Problem]) -> DocumentError:
        """One error for all of these problems, in the document's order; the first `DOCUMENT_PROBLEMS` are told."""
        placed = sorted(((p.place or self.place(p.path), p) for p in problems), key=lambda pair: pair[0])
        shown = placed[:DOCUMENT_PROBLEMS]
        lines = [shown_line(self.name, place, problem.path, problem.told()) for place, problem in shown]
        return document_error(lines, len(placed))


def read_bytes(path: FilePath) -> bytes:
    """The content of a document's file, at most `DOCUMENT_BYTES` of it. Raises `InputError` with what to do next."""
    try:
        if path.is_dir():
            raise InputError(f"{path} is a directory", f"Name a file in it, such as {path / 'plan.yaml'}.")
        if path.exists() and not path.is_file():
            raise InputError(f"{path} is not a regular file", "Write the document to a file first.")
        with path.open("rb") as file:
            data = file.read(DOCUMENT_BYTES + 1)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist", "Check the spelling and the current directory.") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"{path} cannot be read: {reason}", "Check the path and its permissions.") from None
    _bounded(len(data), str(path))
    return data


def read_source(data: bytes | str, name: str, *, json_only: bool = False) -> Source:
    """Read a document. `name` stands in the messages; one that ends in ``.json`` must be JSON; with `json_only`, any.

    Raises `DocumentError`, or `LimitExceeded` naming the bound.
    """
    _bounded(len(data), name)
    text = _decoded(data, name) if isinstance(data, bytes) else data.removeprefix("\ufeff")
    if (found := UNPRINTABLE.search(text)) is not None:
        place = _place_of(text, found.start())
        code = f"U+{ord(found.group()):04X}"
        what = f"a NUL character ({code})" if found.group() == "\0" else f"the control character {code}"
        raise document_error([shown_line(name, place, (), f"{what} is not allowed")])
    builder = TreeBuilder(name)
    if text.lstrip()[:1] in ("{", "[") and is_json(text, name):
        feed_json(text, builder)
    elif json_only or name.endswith(".json"):
        refuse_json(text, name)
    else:
        feed_yaml(text, builder)
    return Source(name, _mapping(builder.root, name), tuple(builder.problems), builder.marks)


def _bounded(size: int, name: str) -> None:
    if size > DOCUMENT_BYTES:
        raise LimitExceeded(f"{name}: a document may have at most {DOCUMENT_BYTES:,} bytes", "Split the plan.")


def _decoded(data: bytes, name: str) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise document_error([shown_line(name, (1, 1), (), "this is UTF-16; save the file as UTF-8")])
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        text = f"the byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise document_error([shown_line(name, _place_of(before, len(before)), (), text)]) from None


def _place_of(text: str, offset: int) -> Place:
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def _mapping(root: Node, name: str) -> dict[str, Node]:
    if isinstance(root, dict):
        return root
    what = "is empty" if root is None else "is a list" if isinstance(root, list) else "is a bare value"
    text = f"the document {what}; it must consist of keys and values"
    raise document_error([shown_line(name, (1, 1), (), text)])
