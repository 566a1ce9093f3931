"""The workspace tools that only look."""

from __future__ import annotations

import asyncio
import stat
from typing import Annotated

from pydantic import Field

from mcp_servers.manners import Tools
from mcp_servers.paging import fitting, position
from mcp_servers.storage.threads import Stop, in_thread
from mcp_servers.workspace.desk import Anywhere, Cursor, Desk, Place
from mcp_servers.workspace.naming import file_parts, joined, parts_of, sendable, shown
from mcp_servers.workspace.reading import read_lines
from mcp_servers.workspace.results import Entries, Entry, Lines, Matches
from mcp_servers.workspace.searching import Search, search
from mcp_servers.workspace.tree import Parts, explained
from mcp_servers.workspace.walking import DEEPEST, Found
from state.errors import InputError
from state.limits import WORKSPACE_ENTRIES

_SEARCH_SECONDS = 20.0
_ENTRIES = 500
"""On a page."""
_LINES = 1_000


class LookingTools:
    """Bodies of the tools; see `manners.Tools.add`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def register(self, tools: Tools) -> None:
        """Offer them."""
        tools.add(self.workspace_list, "reads", "List files", audited=("path",))
        tools.add(self.workspace_read, "reads", "Read file", audited=("path", "start"))
        tools.add(self.workspace_search, "reads", "Search", seconds=_SEARCH_SECONDS, audited=("path", "names"))

    async def workspace_list(
        self,
        path: Anywhere = "",
        depth: Annotated[int, Field(ge=1, le=DEEPEST, description="How deep; 1 is the directory itself.")] = 2,
        cursor: Cursor = None,
    ) -> Entries:
        """List what is below a directory: directories (ending in /), files with their sizes in bytes, links. Links are
        not followed. Caches and installed packages (node_modules, .venv, __pycache__, …) are listed only when named."""
        parts, start = parts_of(path), position(cursor)
        return await self._desk.work(lambda stop: self._listed(parts, depth, start, stop))

    async def workspace_read(
        self,
        path: Place,
        start: Annotated[int, Field(ge=1, description="Number of the first line.")] = 1,
        count: Annotated[int, Field(ge=1, le=_LINES, description="Lines, at most.")] = 400,
        numbered: Annotated[
            bool, Field(description="Put each line's number and a tab before it; they are not in the file.")
        ] = True,
    ) -> Lines:
        """Read lines of a text file, and how many there are: at most 40 KB at a time, long lines are cut. Binary files
        are refused."""
        parts = file_parts(path)
        return await self._desk.work(
            lambda stop: read_lines(self._desk.tree, parts, start, count, numbered=numbered, stop=stop)
        )

    async def workspace_search(
        self,
        pattern: Annotated[
            str, Field(min_length=1, max_length=1_000, description="Regular expression, as Python has them.")
        ],
        deadline: float,
        path: Anywhere = "",
        names: Annotated[
            str, Field(max_length=200, description="Only such files: *.py anywhere, or with / from the top: src/**.")
        ] = "",
        ignore_case: bool = False,
        cursor: Cursor = None,
    ) -> Matches:
        """Search text files line by line, as path:line:text (long lines are cut around the match), 40 KB a page.
        Caches, installed packages and files over 2 MB are left out. A search that takes too long is stopped."""
        parts, skip = parts_of(path), position(cursor)
        until = asyncio.get_running_loop().time() + max(deadline * 0.9, deadline - 1)
        async with self._desk.alone:
            kind = await in_thread(lambda stop: self._desk.tree.kind(parts))
            what = Search(pattern, names, ignore_case)
            if not (stat.S_ISDIR(kind) or stat.S_ISREG(kind)):
                raise InputError(f"{shown(joined(parts))} is neither a file nor a directory", "Links aren't followed.")
            root, file = self._desk.tree.root, stat.S_ISREG(kind)
            seconds = max(0.0, until - asyncio.get_running_loop().time())
            return await search(root, parts, what, file=file, skip=skip, seconds=seconds)

    def _listed(self, parts: Parts, depth: int, start: int, stop: Stop) -> Entries:
        walk = self._desk.tree.walk(parts, depth)
        entries: list[Entry] = []
        more = False
        with explained(parts):
            for number, found in enumerate(walk):
                if not number % 256:
                    stop.check()
                if len(entries) == _ENTRIES:
                    more = True
                    break
                if number >= start:
                    entries.append(_entry(found))
        count = fitting(entries)
        following = str(start + count) if more or count < len(entries) else None
        note = f"Not all can be listed: closed, or more than {WORKSPACE_ENTRIES:,} entries." if walk.left_out else None
        return Entries(path=joined(parts), entries=entries[:count], next_cursor=following, note=note)


def _entry(found: Found) -> Entry:
    size = found.size if found.kind == "file" else None
    return Entry(path=sendable(found.path), kind=found.kind, size=size, skipped=found.skipped or None)
