"""A search in the files of a working tree, as a process of its own: it can be killed, whatever the expression makes of
the text. (Python's expressions are those that models write; they have no bound of their own.)

Started by `searching`. One argument, JSON; the answer on stdout is JSON too, one line for each match and a last one.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import re
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

from mcp_servers.storage import beneath
from mcp_servers.workspace.walking import Walk
from state.touches import matches

_LINE_CHARACTERS = 300
_BEFORE = 80
"""Characters shown before a match in a line that is cut."""
_BINARY_BYTES = 8_000
_CPU_SECONDS = 600
_PR_SET_PDEATHSIG = 1


class Asked(TypedDict):
    """What to look for. `parts`: a directory or file. `skip` matches are passed over, and no more than `bytes` told."""

    root: str
    parts: list[str]
    file: bool
    pattern: str
    ignore_case: bool
    globs: list[str]
    skip: int
    bytes: int
    entries: int
    file_bytes: int
    memory: int
    parent: int


class Told(TypedDict, total=False):
    """The last line. `bad`: why the expression is none. `more` matches follow. `large` and `closed` files were not
    searched; `whole`: everything was looked through."""

    bad: str
    more: bool
    large: int
    closed: int
    whole: bool


def main() -> None:
    """Answer, and end."""
    asked: Asked = json.loads(sys.argv[-1])
    _die_with_parent(asked["parent"])
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (asked["memory"], asked["memory"]))
    told: Told
    try:
        told = _search(asked)
    except (re.error, OverflowError, RecursionError) as error:
        told = {"bad": str(error)}
    except MemoryError:
        told = {"bad": "it takes too much memory"}
    sys.stdout.write(json.dumps(told) + "\n")


def _die_with_parent(parent: int) -> None:
    """An expression that takes for ever must not do so when nobody waits for it any more."""
    with contextlib.suppress(OSError, AttributeError):  # not Linux: its time is bounded all the same
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _search(asked: Asked) -> Told:
    expression = re.compile(asked["pattern"], re.IGNORECASE if asked["ignore_case"] else 0)
    walk = Walk(Path(asked["root"]), asked["parts"], depth=None, most=asked["entries"])
    told: Told = {"more": False, "large": 0, "closed": 0, "whole": True}
    skip, room = asked["skip"], asked["bytes"]
    for path in _files(asked, walk):
        try:
            lines = _lines(asked["root"], path, asked["file_bytes"])
        except OSError as error:
            told["large" if error.errno == errno.EFBIG else "closed"] += 1
            continue
        for number, line in enumerate(lines, 1):
            if not (found := expression.search(line)):
                continue
            if skip:
                skip -= 1
                continue
            text = _cut(line, found.start())
            room -= len(path.encode("utf-8", "replace")) + len(text.encode("utf-8", "replace")) + 10
            if room < 0:
                return told | {"more": True}
            sys.stdout.write(json.dumps([path, number, text]) + "\n")
        sys.stdout.flush()
    return told | {"whole": not walk.left_out}


def _files(asked: Asked, walk: Walk) -> Iterator[str]:
    if asked["file"]:
        yield "/".join(asked["parts"])
        return
    for each in walk:
        if each.kind == "file" and (not asked["globs"] or matches(asked["globs"], each.path)):
            yield each.path


def _lines(root: str, path: str, most: int) -> list[str]:
    """Of a text; a binary file has none. ``EFBIG``: it has more than `most` bytes."""
    with beneath.file(Path(root), path) as descriptor, open(descriptor, "rb", closefd=False) as file:
        if os.fstat(descriptor).st_size > most:
            raise OSError(errno.EFBIG, "is too large", path)
        data = file.read(most)
    if b"\0" in data[:_BINARY_BYTES]:
        return []
    lines = data.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")
    if not lines[-1]:
        lines.pop()
    return lines


def _cut(line: str, place: int) -> str:
    if len(line) <= _LINE_CHARACTERS:
        return line
    start = max(0, min(place - _BEFORE, len(line) - _LINE_CHARACTERS))
    end = start + _LINE_CHARACTERS
    return f"{'…' if start else ''}{line[start:end]}{'…' if end < len(line) else ''}"


if __name__ == "__main__":  # pragma: no cover  for a person who looks into it
    main()
