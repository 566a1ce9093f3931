"""The container tools that work on files inside, and copy them in and out."""

from __future__ import annotations

import asyncio
import base64
import binascii
import stat
from datetime import UTC, datetime
from typing import Annotated, Literal
from weakref import WeakValueDictionary

from pydantic import Field

from mcp_servers.container import arguments as given
from mcp_servers.container.containers import Containers
from mcp_servers.container.files_inside import Described, FilesInside, absolute
from mcp_servers.container.profile import WORK
from mcp_servers.container.results import Copied, Entry, EntryPage, FileContent, FileWritten, Match, MatchPage
from mcp_servers.container.transfer import Transfer
from mcp_servers.local_roots import LocalRoots
from mcp_servers.manners import Tools
from mcp_servers.paging import fitting, position, text_page
from mcp_servers.plain_text import is_text
from state.errors import InputError, LimitExceeded
from state.limits import MB, TOOL_RESULT_BYTES

WRITE_BYTES = 2 * MB
"""Of one call; more is copied in."""
_LINE_CHARACTERS = 300
_RAW_BYTES = TOOL_RESULT_BYTES * 3 // 4 // 3 * 3
_COPY_SECONDS = 120.0
_NOT_UTF_8 = "Some bytes are not UTF-8 and shown as \ufffd; ask for base64 to have them."
Encoding = Annotated[Literal["text", "base64"], Field(description="text is UTF-8.")]
Wanted = Annotated[
    Literal["auto", "text", "base64"], Field(description="auto: text where a page is clean UTF-8 text, else base64.")
]


class FileTools:
    """Bodies of the tools; see `manners.Tools.add`."""

    def __init__(self, containers: Containers, roots: LocalRoots) -> None:
        self._registry = containers.registry
        self._files = FilesInside(containers.attendance)
        self._transfer = Transfer(containers.attendance, roots, containers.options.copy_bytes)
        self._writing: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def register(self, tools: Tools) -> None:
        """Offer them."""
        shown = ("container", "path", "local")
        for body, title in (
            (self.container_read_file, "Read file"),
            (self.container_list_files, "List files"),
            (self.container_search_files, "Search files"),
        ):
            tools.add(body, "reads", title, audited=shown)
        tools.add(self.container_write_file, "replaces", "Write file", idempotent=True, audited=shown)
        tools.add(self.container_edit_file, "replaces", "Edit file", audited=shown)
        for body, title in ((self.container_copy_in, "Copy in"), (self.container_copy_out, "Copy out")):
            tools.add(body, "replaces", title, seconds=_COPY_SECONDS, audited=shown)

    async def container_read_file(
        self, container: given.Container, path: given.Path, encoding: Wanted = "auto", cursor: given.Cursor = None
    ) -> FileContent:
        """Read a file in a container: at most 50 KB a page, pass next_cursor for the rest. `encoding`
        of the answer says how `content` is to be read, each page on its own; asked for as `text`, what is not UTF-8 is
        shown with replacement characters. Needs an image with a shell."""
        found = await self._registry.find(container)
        start, inside = position(cursor), absolute(path)
        size, data = await self._files.read(found.id, inside, start, TOOL_RESULT_BYTES + 1)
        if encoding == "text" or (encoding == "auto" and is_text(data, more=start + len(data) < size)):
            page = text_page(data, start, more=False)
            notes = [page.note, _NOT_UTF_8 if "\ufffd" in page.text else None]
            return FileContent(
                path=inside, size=size, encoding="text", content=page.text, next_cursor=page.next_cursor,
                note=" ".join(filter(None, notes)) or None,
            )  # fmt: skip
        more = str(start + _RAW_BYTES) if len(data) > _RAW_BYTES else None
        content = base64.b64encode(data[:_RAW_BYTES]).decode()
        return FileContent(path=inside, size=size, encoding="base64", content=content, next_cursor=more)

    async def container_write_file(
        self,
        container: given.Container,
        path: given.Path,
        content: Annotated[str, Field(max_length=3 * MB, description="All of it, at most 2 MB.")],
        encoding: Encoding = "text",
        executable: Annotated[bool, Field(description="Make it executable.")] = False,
    ) -> FileWritten:
        """Write a file in a container, in place of what is there; missing directories are made. All or nothing: a call
        that is stopped changes nothing. Only /work and /tmp (in memory) can be written, as a rule."""
        found = await self._registry.find(container)
        inside, data = absolute(path), _decoded(content, encoding)
        if len(data) > WRITE_BYTES:
            raise LimitExceeded(f"{len(data):,} bytes are more than one call writes ({WRITE_BYTES:,})", _IN_PARTS)
        async with self._lock(found.id):
            await self._files.write(found.id, inside, data, executable=executable)
        return FileWritten(path=inside, size=len(data))

    async def container_edit_file(
        self,
        container: given.Container,
        path: given.Path,
        old: Annotated[str, Field(min_length=1, max_length=MB, description="Exact text, whitespace included.")],
        new: Annotated[str, Field(max_length=MB, description="What takes its place.")],
        all: Annotated[bool, Field(description="Replace every occurrence; else there must be exactly one.")] = False,
    ) -> FileWritten:
        """Replace exact text in a file (UTF-8, at most 2 MB). If `old` is not there, or there more than once without
        `all`, nothing is changed and the error says so. Edits of one container go one after the other."""
        found = await self._registry.find(container)
        inside = absolute(path)
        async with self._lock(found.id):
            size, data = await self._files.read(found.id, inside, 0, WRITE_BYTES)
            if size > WRITE_BYTES:
                raise LimitExceeded(f"{inside} has {size:,} bytes, more than can be edited ({WRITE_BYTES:,})")
            count = data.count(old.encode())
            if count == 0:
                raise InputError(f"`old` is not in {inside}", "Read the file: whitespace counts.")
            if count > 1 and not all:
                raise InputError(f"`old` is in {inside} {count} times", "Take in more around it, or pass `all`.")
            changed = data.replace(old.encode(), new.encode())
            if len(changed) > WRITE_BYTES:
                raise LimitExceeded(f"{inside} would have more than {WRITE_BYTES:,} bytes")
            await self._files.write(found.id, inside, changed)
        return FileWritten(path=inside, size=len(changed), replaced=count)

    async def container_list_files(
        self,
        container: given.Container,
        path: given.Path = WORK,
        depth: Annotated[int, Field(ge=1, le=50, description="How deep; 1 is the directory itself.")] = 1,
        cursor: given.Cursor = None,
    ) -> EntryPage:
        """What is below a directory in a container, by path: kind, size, time of change. Links are not followed. 50 KB
        a page; pass next_cursor for the rest."""
        found = await self._registry.find(container)
        listed, whole = await self._files.entries(found.id, absolute(path), depth)
        start = position(cursor)
        page = [_entry(each) for each in listed[start : start + TOOL_RESULT_BYTES // 50]]
        count = fitting(page)
        more = str(start + count) if start + count < len(listed) else None
        note = None if whole else "Not all could be listed: too much, or closed to the container's user."
        return EntryPage(entries=page[:count], next_cursor=more, note=note)

    async def container_search_files(
        self,
        container: given.Container,
        pattern: Annotated[str, Field(min_length=1, max_length=1_000, description="Extended regular expression.")],
        path: given.Path = WORK,
        names: Annotated[
            str, Field(min_length=1, max_length=200, description="Only files with such names, such as *.py")
        ] = "*",
        literal: Annotated[bool, Field(description="`pattern` is text, not an expression.")] = False,
        ignore_case: bool = False,
        cursor: given.Cursor = None,
    ) -> MatchPage:
        """Lines in files below a path in a container that match, with path and line number (as `grep -E` does; long
        lines are cut). /proc, /sys and /dev are left out, links are not followed. 50 KB a page; pass next_cursor for
        the rest."""
        found = await self._registry.find(container)
        hits, whole = await self._files.matches(
            found.id, absolute(path), pattern, names, literal=literal, ignore_case=ignore_case
        )
        start = position(cursor)
        page = [_match(*hit) for hit in hits[start : start + TOOL_RESULT_BYTES // 40]]
        count = fitting(page)
        more = str(start + count) if start + count < len(hits) else None
        note = None if whole else "Not all could be searched: too many matches, or closed to the container's user."
        return MatchPage(matches=page[:count], next_cursor=more, note=note)

    async def container_copy_in(self, container: given.Container, local: given.Local, path: given.Path) -> Copied:
        """Copy from the server's host into a container: a file becomes `path`, the files of a directory come below
        `path`; what has the same name is replaced. Where `path` is a directory, a file comes into it under its own
        name. Refused if a symbolic link is on the way or in the directory. At most 256 MB unless the operator says
        otherwise. Needs an image with `tar`."""
        found = await self._registry.find(container)
        target = absolute(path)
        packed, target = await self._transfer.copy_in(found.id, local, target)
        return Copied(source=local, target=target, files=packed.files, bytes=packed.bytes)

    async def container_copy_out(
        self,
        container: given.Container,
        path: given.Path,
        local: given.Local,
        overwrite: Annotated[bool, Field(description="Replace a file that is there; never a directory.")] = False,
    ) -> Copied:
        """Copy a file or directory out of a container, to become `local` on the server's host: all or nothing. Links
        and devices are left out and named in the answer. At most 256 MB unless the operator says otherwise. Needs an
        image with `tar`."""
        found = await self._registry.find(container)
        source = absolute(path)
        packed = await self._transfer.copy_out(found.id, source, local, overwrite=overwrite)
        return Copied(source=source, target=local, files=packed.files, bytes=packed.bytes, left_out=packed.left_out)

    def _lock(self, container: str) -> asyncio.Lock:
        return self._writing.setdefault(container, asyncio.Lock())


_IN_PARTS = "Use container_copy_in."


def _decoded(content: str, encoding: str) -> bytes:
    try:
        return base64.b64decode(content, validate=True) if encoding == "base64" else content.encode()
    except (binascii.Error, UnicodeEncodeError) as error:
        raise InputError(f"`content` is not {encoding}: {error}") from error


def _entry(described: Described) -> Entry:
    kinds: dict[int, Literal["file", "directory", "link"]] = {
        stat.S_IFREG: "file",
        stat.S_IFDIR: "directory",
        stat.S_IFLNK: "link",
    }
    return Entry(
        path=described.path,
        kind=kinds.get(stat.S_IFMT(described.mode), "other"),
        size=described.size,
        modified=datetime.fromtimestamp(described.modified, UTC).isoformat(),
    )


def _match(path: str, line: int, text: str) -> Match:
    return Match(path=path, line=line, text=text if len(text) <= _LINE_CHARACTERS else f"{text[:_LINE_CHARACTERS]}…")
