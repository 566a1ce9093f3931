"""Multipart uploads: several parts at a time, and one request that makes the object appear.

An upload that fails or is cancelled is aborted before that is told. One whose process is killed leaves its parts
behind, invisible but stored: give the bucket a lifecycle rule for incomplete multipart uploads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, TYPE_CHECKING, cast

from mcp_servers.storage.locations import Location
from mcp_servers.storage.s3_calls import FilePart, S3Calls
from mcp_servers.storage.s3_errors import answer_of
from mcp_servers.storage.s3_new import NewObject
from mcp_servers.storage.threads import Stop, completed, spread
from state.errors import AtlasError, RemoteMissing

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

_PARTS = 10_000
_WIDTH = 4

MakePart = Callable[["S3Client", str, int, int, int, Stop], str]
"""(client, upload id, part number, first byte, size, stop) -> the part's etag, once the server has it."""
Told = Callable[[int], None]
"""Hears how many bytes more have been moved."""


async def upload_in_parts(
    calls: S3Calls, new: NewObject, size: int, least: int, make: MakePart, told: Told | None = None
) -> str:
    """The new object's etag. Parts have at least `least` bytes; `told` hears of each that has arrived."""
    target = new.location
    step = max(least, -(-size // _PARTS))
    # Filled in the thread: a cancellation that comes between the server's answer and ours still finds the id.
    begun: list[str] = []

    def begin(client: S3Client) -> None:
        begun.append(client.create_multipart_upload(**new.parts_request())["UploadId"])

    async def part(number: int) -> CompletedPartTypeDef:
        first = (number - 1) * step
        length = min(step, size - first)

        def request(stop: Stop) -> str:
            return calls.attempt(
                target.url, "writing", lambda client: make(client, begun[0], number, first, length, stop), stop
            )

        etag = await calls.run(request)
        if told:
            told(length)
        return {"ETag": etag, "PartNumber": number}

    def finish(client: S3Client) -> str:
        return _complete(client, new, begun[0], parts, size)

    try:
        await calls.call(target.url, "writing", begin, answered=True)
        parts = await spread(range(1, -(-size // step) + 1), part, _WIDTH)
        return await calls.call(target.url, "writing", finish)
    except BaseException as error:
        for upload in begun:
            await completed(_abort(calls, target, upload, error))
        raise


def _complete(client: S3Client, new: NewObject, upload: str, parts: list[CompletedPartTypeDef], size: int) -> str:
    from botocore.exceptions import ClientError

    target = new.location
    try:
        with new.condition.kept(target.url):
            return client.complete_multipart_upload(**new.completion_request(upload, parts))["ETag"]
    except ClientError as error:
        if new.condition.tries == 1 or answer_of(error)[1] != "NoSuchUpload":
            raise
        # An earlier try of this broke off unanswered; if it was carried out, the object is there.
        found = client.head_object(Bucket=target.bucket, Key=target.key)
        if found["ContentLength"] != size or not found["ETag"].strip('"').endswith(f"-{len(parts)}"):
            raise
        return found["ETag"]


def sending(target: Location, descriptor: int) -> MakePart:
    """Parts from an open file."""

    def send(client: S3Client, upload: str, number: int, first: int, size: int, stop: Stop) -> str:
        body = cast("IO[bytes]", FilePart(descriptor, first, size, stop))
        return client.upload_part(
            Bucket=target.bucket,
            Key=target.key,
            UploadId=upload,
            PartNumber=number,
            Body=body,
        )["ETag"]

    return send


def copying(source: Location, target: Location, etag: str) -> MakePart:
    """Parts from an object of the same server."""

    def copy(client: S3Client, upload: str, number: int, first: int, size: int, stop: Stop) -> str:
        answer = client.upload_part_copy(
            Bucket=target.bucket,
            Key=target.key,
            UploadId=upload,
            PartNumber=number,
            CopySource={"Bucket": source.bucket, "Key": source.key},
            CopySourceIfMatch=f'"{etag}"',
            CopySourceRange=f"bytes={first}-{first + size - 1}",
        )
        return answer["CopyPartResult"].get("ETag", "")

    return copy


async def _abort(calls: S3Calls, target: Location, upload: str, cause: BaseException) -> None:
    try:
        await calls.call(
            target.url,
            "cleaning up",
            lambda client: client.abort_multipart_upload(Bucket=target.bucket, Key=target.key, UploadId=upload),
        )
    except RemoteMissing:
        return
    except AtlasError as error:
        cause.add_note(f"multipart upload {upload} of {target.url} could not be aborted: {error}")
