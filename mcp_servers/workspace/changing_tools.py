"""The workspace tools that change files. Each is all or nothing; a call that is stopped has changed nothing."""

from __future__ import annotations

import stat
from typing import Annotated

from pydantic import Field

from mcp_servers.manners import Tools
from mcp_servers.storage.threads import Stop
from mcp_servers.workspace.desk import Desk, Place
from mcp_servers.workspace.editing import edited
from mcp_servers.workspace.naming import file_parts, joined, parts_of, shown
from mcp_servers.workspace.reading import refuse_binary
from mcp_servers.workspace.results import Changed
from mcp_servers.workspace.tree import Parts
from state.errors import InputError, LimitExceeded
from state.limits import WORKSPACE_FILE_BYTES

Content = Annotated[str, Field(max_length=WORKSPACE_FILE_BYTES, description="All of it, at most 2 MB.")]
_TOP = "Name something in the working tree, not the tree itself."


class ChangingTools:
    """Bodies of the tools; see `manners.Tools.add`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def register(self, tools: Tools) -> None:
        """Offer them. What they take away is in the snapshot before the call: they replace, they don't destroy."""
        tools.add(self.workspace_write, "replaces", "Write file", idempotent=True, audited=("path",))
        tools.add(self.workspace_edit, "replaces", "Edit file", audited=("path",))
        tools.add(self.workspace_delete, "replaces", "Delete", idempotent=True, audited=("path", "recursive"))
        tools.add(self.workspace_move, "replaces", "Move", audited=("path", "target"))

    async def workspace_write(
        self,
        path: Place,
        content: Content,
        executable: Annotated[
            bool | None, Field(description="Whether it may be executed; left out: as it was, for a new file no.")
        ] = None,
    ) -> Changed:
        """Make a file, or replace all that is in it; missing directories are made. To change a part of a file, use
        workspace_edit."""
        parts = file_parts(path)
        self._desk.check(parts)
        data = _encoded(content, "content")
        _refuse_large(parts, data)
        self._desk.changes.of(parts)
        new = await self._desk.work(lambda stop: self._desk.tree.write(parts, data, stop, executable=executable))
        return Changed(path=joined(parts), done="created" if new else "replaced", size=len(data))

    async def workspace_edit(
        self,
        path: Place,
        old: Annotated[
            str,
            Field(
                min_length=1,
                max_length=WORKSPACE_FILE_BYTES,
                description="The exact text that is "
                "there now, whitespace included, without line numbers; it must be there once.",
            ),
        ],
        new: Annotated[str, Field(max_length=WORKSPACE_FILE_BYTES, description="What takes its place; may be empty.")],
        everywhere: Annotated[bool, Field(description="Replace it wherever it is, however often.")] = False,
    ) -> Changed:
        """Replace a piece of text in a file. If it is not there, or there more than once, nothing is changed, and the
        error shows the nearest lines or where it is. Line ends are kept as they are in the file (LF or CR LF)."""
        parts = file_parts(path)
        self._desk.check(parts)
        _encoded(old, "old")
        _encoded(new, "new")
        return await self._desk.work(lambda stop: self._edit(parts, old, new, stop, everywhere=everywhere))

    async def workspace_delete(
        self,
        path: Place,
        recursive: Annotated[bool, Field(description="Of a directory: with all that is in it.")] = False,
    ) -> Changed:
        """Delete a file, a link (not what it leads to) or an empty directory; with `recursive` any directory."""
        parts = _below_top(path)
        return await self._desk.work(lambda stop: self._delete(parts, stop, recursive=recursive))

    async def workspace_move(
        self,
        path: Place,
        target: Annotated[str, Field(min_length=1, max_length=4_000, description="The new path, name included.")],
        overwrite: Annotated[bool, Field(description="Replace the file that is there; never a directory.")] = False,
    ) -> Changed:
        """Move or rename a file or directory; missing directories are made."""
        source, goal = _below_top(path), _below_top(target)
        await self._desk.work(lambda stop: self._move(source, goal, overwrite=overwrite))
        return Changed(path=joined(source), done="moved", target=joined(goal))

    def _edit(self, parts: Parts, old: str, new: str, stop: Stop, *, everywhere: bool) -> Changed:
        data = self._desk.tree.content(parts)
        refuse_binary(joined(parts), data)
        done = edited(joined(parts), data, old, new, everywhere=everywhere, stop=stop)
        _refuse_large(parts, done.data)
        self._desk.changes.of(parts)
        self._desk.tree.write(parts, done.data, stop)
        return Changed(path=joined(parts), done="edited", size=len(done.data), lines=done.lines[:100])

    def _delete(self, parts: Parts, stop: Stop, *, recursive: bool) -> Changed:
        directory = stat.S_ISDIR(self._desk.tree.kind(parts))
        below = self._desk.tree.below(parts) if recursive and directory else []
        self._desk.check(*self._files(parts, below, directory=directory))
        self._will_change(parts, directory=directory)
        self._desk.tree.delete(parts, below, stop)
        return Changed(path=joined(parts), done="deleted", entries=len(below) or None)

    def _move(self, source: Parts, target: Parts, *, overwrite: bool) -> None:
        directory = stat.S_ISDIR(self._desk.tree.kind(source))
        below = self._desk.tree.below(source) if directory else []
        moved = self._files(source, below, directory=directory)
        self._desk.check(*moved, *((*target, *each[len(source) :]) for each in moved))
        self._will_change(source, target, directory=directory)
        self._desk.tree.move(source, target, overwrite=overwrite)

    def _will_change(self, *paths: Parts, directory: bool) -> None:
        if directory:
            self._desk.changes.anywhere()
        else:
            self._desk.changes.of(*paths)

    @staticmethod
    def _files(parts: Parts, below: list[str], *, directory: bool) -> list[tuple[str, ...]]:
        """What of it counts as touched: everything in a directory, or a name in it when it is empty."""
        if not directory:
            return [tuple(parts)]
        return [tuple(path.split("/")) for path in below] or [(*parts, "anything")]


def _below_top(path: str) -> tuple[str, ...]:
    if parts := parts_of(path):
        return parts
    raise InputError(f"{shown(path)} is the working tree itself", _TOP)


def _encoded(text: str, argument: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"`{argument}` is not Unicode: {error.reason}", "Write such bytes with a command.") from error


def _refuse_large(parts: Parts, data: bytes) -> None:
    if len(data) > WORKSPACE_FILE_BYTES:
        raise LimitExceeded(
            f"{shown(joined(parts))} would have {len(data):,} bytes; {WORKSPACE_FILE_BYTES:,} can be written",
            "Write several files, or make it with a command (workspace_run).",
        )
