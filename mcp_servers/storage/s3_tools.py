"""The bodies of the S3 server's tools: they check what they are asked, and say it to what does it."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Literal

from mcp.server.mcpserver import Context
from pydantic import Field

from mcp_servers.local_roots import LocalRoots
from mcp_servers.storage import s3_reading, s3_transfers
from mcp_servers.storage.s3 import S3Store
from mcp_servers.storage.s3_answers import (
    Buckets,
    Content,
    Deleted,
    Encoding,
    Fetched,
    Head,
    Listing,
    Presigned,
    Written,
)
from mcp_servers.storage.s3_new import Condition
from mcp_servers.storage.s3_objects import S3Objects, content_type
from mcp_servers.storage.s3_reach import Reach
from mcp_servers.storage.s3_transfers import Say
from state.errors import InputError, LimitExceeded
from state.limits import MB

PUT_BYTES = 2 * MB
"""What `s3_put_object` takes; an HTTP request to an MCP server has at most 4 MiB."""
PRESIGN_SECONDS = 3_600
"""The longest life of a presigned URL, unless the operator allows more."""
_PRESIGN_MOST = 7 * 24 * 3_600
_OBJECT = "s3://bucket/key, literally: nothing is percent-decoded."

Url = Annotated[str, Field(max_length=2_000, description=f"The object: {_OBJECT}")]
Cursor = Annotated[
    str | None, Field(max_length=4_000, description="next_cursor of the page before, other arguments unchanged.")
]
LocalPath = Annotated[
    str,
    Field(
        min_length=1, max_length=4_096, description="Path of one local file: absolute, or relative to the only root."
    ),
]
OnlyIfAbsent = Annotated[bool, Field(description="Write only if there is no object of this name yet.")]
Etag = Annotated[str, Field(pattern=r'^"?[!#-~]{1,200}"?$')]
IfMatch = Annotated[Etag | None, Field(description="Write only over the version with this etag.")]
ContentType = Annotated[
    str | None, Field(pattern=r"^[ -~]{1,200}$", description="MIME type; by default guessed from the key's ending.")
]


class S3Tools:
    """Bound to what one server may reach. The docstrings are what a caller reads; `server` says what each does to the
    world."""

    def __init__(self, reach: Reach, store: S3Store, roots: LocalRoots, presign_seconds: int) -> None:
        self._reach = reach
        self._store = store
        self._objects = S3Objects(store)
        self._roots = roots
        self._presign_seconds = presign_seconds

    async def s3_list_buckets(self) -> Buckets:
        """The buckets that may be used here and exist, each with the prefixes that are allowed. Others are not shown,
        and every URL outside the allowed prefixes is refused."""
        return await self._objects.buckets([(name, self._reach.of_bucket(name)) for name in self._reach.buckets])

    async def s3_list_objects(
        self,
        prefix: Annotated[
            str, Field(max_length=2_000, description="s3://bucket/prefix; s3://bucket/ for all. No wildcards.")
        ],
        delimiter: Annotated[
            str | None,
            Field(max_length=10, description="'/' to see one level: deeper objects are folded into `prefixes`."),
        ] = None,
        cursor: Cursor = None,
        limit: Annotated[int, Field(ge=1, le=1_000, description="Most objects and prefixes in one answer.")] = 200,
    ) -> Listing:
        """Objects whose names begin with a prefix, sorted by key: URL, size, etag and time of each.

        A page has at most `limit` entries, fewer where names are long; while `next_cursor` is not null there is more.
        The prefix must lie within what is allowed (see s3_list_buckets). Keys that no URL here can mean ('..', '//',
        control characters, a slash at the end) are left out and counted in `note`.
        """
        return await self._objects.list(self._reach.below(prefix), delimiter or None, cursor, limit)

    async def s3_head_object(self, url: Url) -> Head:
        """Size, etag, time, content type and metadata of one object, without its content."""
        return await self._objects.head(self._reach.an_object(url))

    async def s3_get_object(
        self,
        url: Url,
        offset: Annotated[int, Field(ge=0, le=1 << 43, description="The first byte wanted.")] = 0,
        length: Annotated[int | None, Field(ge=1, le=1 << 43, description="Bytes wanted; null: to the end.")] = None,
        encoding: Annotated[
            s3_reading.Wanted,
            Field(description="auto: text where a page is clean UTF-8 text, else base64."),
        ] = "auto",
        cursor: Cursor = None,
    ) -> Content:
        """Content of one object, or of the bytes offset to offset+length, with its content type, size, etag, metadata.

        One answer holds at most 50,000 bytes of text or 37,500 of base64; pass `next_cursor` as `cursor`, with the same
        other arguments, until it is null. All pages are of one version: if the object changes meanwhile, the next page
        is an error that says so. `encoding` of the answer says how `content` is to be read; with auto it may differ
        from page to page. Whole large objects: s3_download_file or s3_presign, where there.
        """
        location = self._reach.an_object(url)
        return await s3_reading.read(self._store.calls, location, s3_reading.stretch(offset, length, cursor), encoding)

    async def s3_put_object(
        self,
        url: Url,
        content: Annotated[str, Field(description="What the object shall hold.")],
        encoding: Annotated[Encoding, Field(description="How `content` says the bytes.")] = "text",
        content_type: ContentType = None,
        if_none_match: OnlyIfAbsent = False,
        if_match: IfMatch = None,
    ) -> Written:
        """Write one object of at most 2 MiB, and answer with its size and etag. What was there is replaced, unless
        `if_none_match` or `if_match` forbids: then nothing is written and the error says so. Larger: s3_upload_file."""
        location = self._reach.an_object(url)
        data = content.encode() if encoding == "text" else _decoded(content)
        if len(data) > PUT_BYTES:
            raise LimitExceeded(
                f"the content has {len(data):,} bytes, the bound is {PUT_BYTES:,}",
                "Use s3_upload_file or s3_presign with PUT, where there.",
            )
        kind = content_type or _kind(url, "text/plain; charset=utf-8" if encoding == "text" else None)
        return await self._objects.put(location, data, kind, _condition(if_none_match, if_match))

    async def s3_copy_object(
        self,
        source: Annotated[str, Field(max_length=2_000, description=f"From: {_OBJECT}")],
        target: Annotated[str, Field(max_length=2_000, description=f"To: {_OBJECT}")],
    ) -> Written:
        """Copy one object, with its content type and metadata, within the allowed prefixes; the content does not pass
        through here, and may be large. What was at `target` is replaced. Answers with the new object's size and etag.
        """
        start, end = self._reach.an_object(source), self._reach.an_object(target)
        return await self._objects.copy(start, end)

    async def s3_delete_objects(
        self,
        urls: Annotated[
            list[Annotated[str, Field(max_length=2_000)]],
            Field(min_length=1, max_length=1_000, description=f"The objects, each {_OBJECT}"),
        ],
    ) -> Deleted:
        """Delete up to 1,000 objects for good (in a bucket with versions: behind a marker).

        If one URL is wrong or not allowed, none is deleted. Else each stands for itself: `failed` names those still
        there and why; all others are gone, also those that were never there.
        """
        return await self._objects.delete([self._reach.an_object(url) for url in dict.fromkeys(urls)])

    async def s3_presign(
        self,
        url: Url,
        method: Annotated[Literal["GET", "PUT"], Field(description="GET: to read it. PUT: to write it.")] = "GET",
        seconds: Annotated[
            int, Field(ge=1, le=_PRESIGN_MOST, description="Its life; at most 3600 unless the operator allows more.")
        ] = 900,
    ) -> Presigned:
        """A URL with which anyone can read (GET) or write (PUT) exactly this one object until it expires, without
        credentials: treat it as a secret. It can't be called back. The server is not asked: it may be that there is no
        such object. Ends earlier than told where the credentials behind it do."""
        location = self._reach.an_object(url)
        if seconds > self._presign_seconds:
            raise LimitExceeded(
                f"a presigned URL may live {self._presign_seconds:,} s here, not {seconds:,}", "Ask for less."
            )
        return await self._objects.presign(location, method, seconds)

    async def s3_upload_file(
        self,
        path: LocalPath,
        url: Url,
        context: Context[Any, Any],
        content_type: ContentType = None,
        if_none_match: OnlyIfAbsent = False,
        if_match: IfMatch = None,
    ) -> Written:
        """Make a local file an object, whatever its size, and answer with its size and etag; tells its progress.

        The file must be below a directory that the operator allows, with no symbolic link on the way. What was at `url`
        is replaced, unless `if_none_match` or `if_match` forbids. Cancelled or failed, it leaves nothing in the bucket.
        """
        place, target = self._roots.place(path), self._reach.an_object(url)
        condition = _condition(if_none_match, if_match)
        return await s3_transfers.upload(
            self._store, place, target, content_type or _kind(url), condition, _saying(context)
        )

    async def s3_download_file(self, url: Url, path: LocalPath, context: Context[Any, Any]) -> Fetched:
        """Make an object a new local file, whatever its size; tells its progress.

        The file must not be there yet; its directory must, below one that the operator allows and with no symbolic link
        on the way. Cancelled or failed, it leaves no file.
        """
        source, place = self._reach.an_object(url), self._roots.place(path)
        return await s3_transfers.download(self._store, source, place, _saying(context))


def _kind(url: str, otherwise: str | None = None) -> str:
    return content_type(url, otherwise or "application/octet-stream")


def _condition(absent: bool, etag: str | None) -> Condition:
    if absent and etag:
        raise InputError("if_none_match and if_match exclude each other", "Pass one of them.")
    return Condition(absent, etag.strip('"') if etag else None)


def _decoded(content: str) -> bytes:
    try:
        return base64.b64decode("".join(content.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"`content` is not base64: {error}", "Encode it anew, or pass encoding='text'.") from error


def _saying(context: Context[Any, Any]) -> Say:
    async def say(done: float, total: float | None) -> None:
        await context.report_progress(done, total)

    return say
