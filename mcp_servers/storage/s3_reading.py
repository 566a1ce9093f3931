"""Content of an object, page by page: as text where it is text, else as base64, always of one and the same version."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mcp_servers.paging import text_page
from mcp_servers.plain_text import is_text
from mcp_servers.storage import failures
from mcp_servers.storage.locations import Location
from mcp_servers.storage.s3_answers import Content
from mcp_servers.storage.s3_calls import S3Calls
from mcp_servers.storage.s3_errors import answer_of
from state.errors import Conflict, InputError, RemoteUnavailable
from state.limits import TOOL_RESULT_BYTES

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef, GetObjectRequestTypeDef, HeadObjectOutputTypeDef

Wanted = Literal["auto", "text", "base64"]

_BASE64_BYTES = TOOL_RESULT_BYTES // 4 * 3
_CURSOR = re.compile(r"([0-9]{1,15})-([!#-~]{1,200})")


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bytes `start` to `end` (None: the last) of the version `etag` (None: whichever there is)."""

    start: int
    end: int | None = None
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class _Read:
    data: bytes
    start: int
    size: int
    facts: GetObjectOutputTypeDef | HeadObjectOutputTypeDef


def stretch(offset: int, length: int | None, cursor: str | None) -> Stretch:
    """What a call asks for. `cursor` is the one that the page before it gave, with the same `offset` and `length`."""
    end = None if length is None else offset + length
    if cursor is None:
        return Stretch(offset, end)
    match = _CURSOR.fullmatch(cursor)
    start = int(match[1]) if match else -1
    if match is None or start < offset or (end is not None and start >= end):
        raise InputError(
            f"{cursor[:50]!r} is not a cursor of this object and range",
            "Pass the next_cursor of the page before, with the same offset and length.",
        )
    return Stretch(start, end, match[2])


async def read(calls: S3Calls, location: Location, wanted: Stretch, encoding: Wanted) -> Content:
    """One page. `Conflict`: the object is no longer what the pages before were of."""
    most = _BASE64_BYTES if encoding == "base64" else TOOL_RESULT_BYTES
    end = wanted.start + most if wanted.end is None else min(wanted.end, wanted.start + most)
    got = await calls.call(location.url, "reading", lambda client: _get(client, location, wanted, end))
    last = got.size if wanted.end is None else min(wanted.end, got.size)
    return _page(location, got, last, encoding)


def _page(location: Location, got: _Read, last: int, encoding: Wanted) -> Content:
    facts = got.facts
    more = got.start + len(got.data) < last
    as_text = encoding == "text" or (encoding == "auto" and is_text(got.data, more=more))
    note = None
    if as_text:
        page = text_page(got.data, got.start, more=more)
        content, end = page.text, int(page.next_cursor or got.start + len(got.data))
        if encoding == "text" and "\ufffd" in content:
            note = "Some bytes are not UTF-8 and shown as \ufffd; ask for base64 to have them."
    else:
        data = got.data[:_BASE64_BYTES]
        content, end = base64.b64encode(data).decode(), got.start + len(data)
    etag = facts["ETag"].strip('"')
    if end < last:
        left = f"This is a part: bytes {got.start:,} to {end:,} of {got.size:,}. Pass next_cursor for what follows."
        note = f"{left} {note}" if note else left
    return Content(
        url=location.url,
        size=got.size,
        etag=etag,
        content_type=facts.get("ContentType", ""),
        metadata=facts.get("Metadata", {}),
        start=got.start,
        end=end,
        encoding="text" if as_text else "base64",
        content=content,
        next_cursor=f"{end}-{etag}" if end < last else None,
        note=note,
    )


def _get(client: S3Client, location: Location, wanted: Stretch, end: int) -> _Read:
    from botocore.exceptions import ClientError

    request: GetObjectRequestTypeDef = {"Bucket": location.bucket, "Key": location.key}
    request["Range"] = f"bytes={wanted.start}-{end - 1}"
    if wanted.etag:
        request["IfMatch"] = f'"{wanted.etag}"'
    try:
        answer = client.get_object(**request)
    except ClientError as error:
        status, code = answer_of(error)
        if status == 412:
            raise Conflict(
                f"{location.url} changed after the page that gave this cursor", "Start again, without cursor."
            ) from error
        if status == 416 or code == "InvalidRange":
            return _nothing(client, location, wanted.start)
        raise
    start, size = _place(location, answer)
    if start != wanted.start:
        raise RemoteUnavailable(f"reading {location.url}: its server can't read from the middle", "Download it whole.")
    with answer["Body"] as body:
        data = body.read(end - start)
    if len(data) < min(end, size) - start:
        raise ConnectionError("the connection ended early")
    return _Read(data, start, size, answer)


def _nothing(client: S3Client, location: Location, start: int) -> _Read:
    """No byte can be had of an empty object, nor past the end of another."""
    facts = client.head_object(Bucket=location.bucket, Key=location.key)
    size = facts["ContentLength"]
    if start >= size and (start or size):
        raise InputError(f"{location.url} has {size:,} bytes: there is none at offset {start:,}", "Begin before that.")
    if size:
        raise failures.changed(location.url)
    return _Read(b"", 0, 0, facts)


def _place(location: Location, answer: GetObjectOutputTypeDef) -> tuple[int, int]:
    """The first byte of an answer and the size of the whole object. A server may ignore that a range was asked for."""
    shown = answer.get("ContentRange", "")
    if not shown:
        return 0, answer["ContentLength"]
    match = re.fullmatch(r"bytes ([0-9]+)-[0-9]+/([0-9]+)", shown)
    if match is None:
        raise RemoteUnavailable(f"reading {location.url}: the server's range {shown!r} is unclear", "Download it.")
    return int(match[1]), int(match[2])
