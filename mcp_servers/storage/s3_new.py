"""An object that is about to be written: its content type, and on what condition it may take its place."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from mcp_servers.storage.locations import Location
from mcp_servers.storage.s3_errors import answer_of
from state.errors import Conflict

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import (
        CompletedPartTypeDef,
        CompleteMultipartUploadRequestTypeDef,
        CreateMultipartUploadRequestTypeDef,
        PutObjectRequestTypeDef,
    )

_LOST = " An earlier try of this call broke off unanswered: what is there may be its own. Compare, then decide."


@dataclass(slots=True)
class Condition:
    """`absent`: only where there is nothing yet; `etag`: only over this version. Of one call: it counts the tries."""

    absent: bool = False
    etag: str | None = None
    tries: int = 0

    @contextmanager
    def kept(self, url: str) -> Generator[None]:
        """`Conflict` in place of the answer that the condition does not hold."""
        from botocore.exceptions import ClientError

        self.tries += 1
        try:
            yield
        except ClientError as error:
            status, code = answer_of(error)
            if not (self.absent or self.etag) or (status != 412 and code != "ConditionalRequestConflict"):
                raise
            again = _LOST if self.tries > 1 else ""
            if self.absent and status == 412:
                raise Conflict(f"{url} exists already; nothing was written.", f"Choose another key.{again}") from error
            raise Conflict(
                f"{url} is no longer the version that was to be replaced; nothing was written.",
                f"Read it again.{again}",
            ) from error


@dataclass(frozen=True, slots=True)
class NewObject:
    """Where, of what type (None: the server's default), and on what condition."""

    location: Location
    content_type: str | None = None
    condition: Condition = field(default_factory=Condition)

    def put_request(self, body: bytes | IO[bytes]) -> PutObjectRequestTypeDef:
        """To write it at once."""
        request: PutObjectRequestTypeDef = {"Bucket": self.location.bucket, "Key": self.location.key, "Body": body}
        if self.content_type:
            request["ContentType"] = self.content_type
        if self.condition.absent:
            request["IfNoneMatch"] = "*"
        if self.condition.etag:
            request["IfMatch"] = f'"{self.condition.etag}"'
        return request

    def parts_request(self) -> CreateMultipartUploadRequestTypeDef:
        """To begin writing it in parts."""
        request: CreateMultipartUploadRequestTypeDef = {"Bucket": self.location.bucket, "Key": self.location.key}
        if self.content_type:
            request["ContentType"] = self.content_type
        return request

    def completion_request(
        self, upload: str, parts: Sequence[CompletedPartTypeDef]
    ) -> CompleteMultipartUploadRequestTypeDef:
        """To make it of its parts."""
        request: CompleteMultipartUploadRequestTypeDef = {
            "Bucket": self.location.bucket,
            "Key": self.location.key,
            "UploadId": upload,
            "MultipartUpload": {"Parts": parts},
        }
        if self.condition.absent:
            request["IfNoneMatch"] = "*"
        if self.condition.etag:
            request["IfMatch"] = f'"{self.condition.etag}"'
        return request
