"""Starting a search as a process of its own, and ending it at its deadline, whatever it is doing."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import mcp_servers
from mcp_servers.git.running import Running, bounded
from mcp_servers.storage.threads import completed
from mcp_servers.workspace.naming import joined, sendable, shown
from mcp_servers.workspace.results import Match, Matches
from mcp_servers.workspace.search_program import Asked, Told
from state.errors import InputError
from state.limits import MB, WORKSPACE_ENTRIES, WORKSPACE_FILE_BYTES
from state.touches import problem

log = logging.getLogger(__name__)

PAGE_BYTES = 40_000
ALTERNATIVES = 32
_MEMORY = 512 * MB
_COMPLAINT_BYTES = 2_000
_BOOT = "import sys; sys.path.append(sys.argv.pop(1)); from mcp_servers.workspace.search_program import main; main()"


@dataclass(frozen=True, slots=True)
class Search:
    """What to look for, where. `names` limits it to some files, see `globs_of`."""

    pattern: str
    names: str
    ignore_case: bool


async def search(root: Path, parts: Sequence[str], what: Search, *, file: bool, skip: int, seconds: float) -> Matches:
    """Lines that match, from the `skip`-th match on, in a directory or a `file`. After `seconds` it is killed; what was
    found until then is the answer, if anything was. `InputError`: no regular expression, or that nothing came of it."""
    asked = Asked(
        root=str(root), parts=list(parts), file=file, pattern=what.pattern, ignore_case=what.ignore_case,
        globs=globs_of(what.names), skip=skip, bytes=PAGE_BYTES, entries=WORKSPACE_ENTRIES,
        file_bytes=WORKSPACE_FILE_BYTES, memory=_MEMORY, parent=os.getpid(),
    )  # fmt: skip
    said, in_time = await _said(asked, seconds)
    records = [json.loads(line) for line in said.decode().split("\n")[:-1]]
    told = cast("Told", records.pop()) if records and isinstance(records[-1], dict) else None
    matches = [Match(path=sendable(path), line=line, text=sendable(text)) for path, line, text in records]
    if told and (bad := told.get("bad")):
        raise InputError(f"the pattern is no regular expression that can be used: {bad}", "It is one as Python has.")
    if told is None and not matches:
        why = f"took longer than {seconds:.0f} s, and was stopped" if not in_time else "broke off"
        raise InputError(
            f"the search in {shown(joined(parts))} {why}", "Simplify the pattern, or search fewer files (path, names)."
        )
    following = str(skip + len(matches)) if told is None or told.get("more") else None
    return Matches(matches=matches, next_cursor=following if matches else None, note=_note(told, seconds))


def globs_of(names: str) -> list[str]:
    """The patterns (see `state.touches`) that ``*.{py,md}`` stands for; one without ``/`` is for names anywhere."""
    if not names:
        return []
    found = [names]
    while any("{" in each for each in found):
        head, brace, rest = next(each for each in found if "{" in each).partition("{")
        inside, closed, tail = rest.partition("}")
        if not closed or "{" in inside or len(found) > ALTERNATIVES:
            raise InputError(
                f"{shown(names)} is not a pattern of names", "Write one such as *.py or src/**/*.{ts,tsx}."
            )
        found.remove(f"{head}{brace}{rest}")
        found += [f"{head}{each}{tail}" for each in inside.split(",")]
    for each in found:
        if why := problem(each):
            raise InputError(f"{shown(names)} is not a pattern of names: it {why}", "Write one such as src/**/*.py.")
    return [each if "/" in each else f"**/{each}" for each in found]


async def _said(asked: Asked, seconds: float) -> tuple[bytes, bool]:
    """What the program says, and whether it ended in time; it has ended in any case."""
    library = str(Path(mcp_servers.__file__).parents[1])
    argv = [sys.executable, "-I", "-S", "-X", "utf8", "-c", _BOOT, library, json.dumps(asked)]
    said, complaint = bytearray(), bytearray()
    running = _started(argv, said, complaint)
    try:
        async with asyncio.timeout(seconds):
            if await running.finished():
                log.warning("a search broke off: %s", complaint.decode("utf-8", "replace")[-_COMPLAINT_BYTES:])
        return bytes(said), True
    except BaseException as error:
        await completed(running.stop(0))
        if isinstance(error, TimeoutError):
            return bytes(said), False
        raise


def _started(argv: list[str], said: bytearray, complaint: bytearray) -> Running:
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        err = bounded(complaint, _COMPLAINT_BYTES)
        return Running(argv, environment={}, stdin=nothing, stdout=None, out=said.extend, err=err)
    finally:
        os.close(nothing)


def _note(told: Told | None, seconds: float) -> str | None:
    if told is None:
        return f"The search was stopped after {seconds:.0f} s: there may be more. Search fewer files, or more simply."
    notes = [
        f"{count:,} files were left out: {why}."
        for count, why in (
            (told.get("large", 0), f"they have more than {WORKSPACE_FILE_BYTES:,} bytes (use grep with workspace_run)"),
            (told.get("closed", 0), "they can't be read"),
        )
        if count
    ]
    if not told.get("whole", True):
        notes.append(f"Not all was looked through: too deep, closed, or more than {WORKSPACE_ENTRIES:,} entries.")
    return " ".join(notes) or None
