"""``s3://`` remotes: Amazon S3 and what speaks its protocol.

Large objects go up in parts (`s3_parts`). A download that breaks off goes on where it was, with ``If-Match``.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol, cast

from mcp_servers.storage import failures, locations
from mcp_servers.storage.copying import opened, version
from mcp_servers.storage.locations import Location
from mcp_servers.storage.s3_calls import FilePart, S3Calls, S3Settings
from mcp_servers.storage.s3_new import Condition, NewObject
from mcp_servers.storage.s3_parts import Told, copying, sending, upload_in_parts
from mcp_servers.storage.threads import Stop, in_thread
from state.errors import RemoteMissing, RemoteUnavailable
from state.limits import MB
from state.ports import ObjectInfo

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef, GetObjectRequestTypeDef, ListObjectsV2OutputTypeDef

PART = 16 * MB
_COPY_PART = 512 * MB
_BUFFER = 256 << 10
_PROGRESS = 64 * MB
"""So many bytes make a download's count of failures start again."""


class _Interruptible(Protocol):
    """urllib3's response."""

    def shutdown(self) -> None: ...


class S3Store:
    """`ObjectStore` over ``s3://``. The etag is the server's, without quotes."""

    def __init__(self, settings: S3Settings | None = None) -> None:
        self.calls = S3Calls(settings or S3Settings())
        """For what the port has no word for."""

    async def stat(self, url: str) -> ObjectInfo | None:
        location = locations.parse(url)
        if location.directory:
            return None
        try:
            head = await self.calls.call(
                url, "reading", lambda client: client.head_object(Bucket=location.bucket, Key=location.key)
            )
        except RemoteMissing:
            return None
        return _info(url, head["ContentLength"], head["ETag"])

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """Leaves out the empty objects with a slash at their end that some programs make to show a directory."""
        root = locations.directory_location(prefix)
        token: str | None = ""
        while token is not None:
            page = await self.calls.call(prefix, "listing", _page_after(root, token))
            for entry in page.get("Contents", []):
                key, size = entry.get("Key", ""), entry.get("Size", 0)
                if size or not key.endswith("/"):
                    yield _info(f"s3://{root.bucket}/{key}", size, entry.get("ETag", ""))
            token = page.get("NextContinuationToken") if page["IsTruncated"] else None

    async def download(self, url: str, path: Path, *, etag: str | None = None) -> ObjectInfo:
        location = locations.object_location(url)
        return await self.calls.run(lambda stop: self._download(location, path, etag, stop))

    async def upload(self, path: Path, url: str) -> ObjectInfo:
        location = locations.object_location(url)
        with ExitStack() as open_file:
            return await self.send(await in_thread(lambda stop: _open(path, open_file)), location)

    async def send(
        self,
        descriptor: int,
        location: Location,
        *,
        content_type: str | None = None,
        condition: Condition | None = None,
        told: Told | None = None,
    ) -> ObjectInfo:
        """Upload an open file. `told` hears how many bytes more have arrived."""
        new = NewObject(location, content_type, condition or Condition())
        status = os.fstat(descriptor)
        size = status.st_size
        if size <= PART:
            answer = await self.calls.run(lambda stop: self._put(new, descriptor, size, stop))
            if told:
                told(size)
        else:
            answer = await upload_in_parts(self.calls, new, size, PART, sending(location, descriptor), told)
        if version(os.fstat(descriptor)) != version(status):
            raise RemoteUnavailable(
                f"the file for {location.url} changed while it was read", "Let its writer finish, then try again."
            )
        return _info(location.url, size, answer)

    async def copy(self, source: str, target: str) -> ObjectInfo:
        start, end = locations.object_location(source), locations.object_location(target)
        info = await self.stat(source)
        if info is None:
            raise failures.missing(source)
        if source == target:
            return info
        if info.size > _COPY_PART:
            etag = await upload_in_parts(
                self.calls, NewObject(end), info.size, _COPY_PART, copying(start, end, info.etag)
            )
            return _info(target, info.size, etag)
        copied = await self.calls.call(
            target,
            f"copying {source} to",
            lambda client: client.copy_object(
                Bucket=end.bucket,
                Key=end.key,
                CopySource={"Bucket": start.bucket, "Key": start.key},
                CopySourceIfMatch=f'"{info.etag}"',
            ),
        )
        return _info(target, info.size, copied["CopyObjectResult"].get("ETag", ""))

    async def delete(self, url: str) -> None:
        location = locations.object_location(url)
        try:
            await self.calls.call(
                url, "deleting", lambda client: client.delete_object(Bucket=location.bucket, Key=location.key)
            )
        except RemoteMissing:
            return

    async def close(self) -> None:
        """No call may be under way."""
        self.calls.close()

    def _put(self, new: NewObject, descriptor: int, size: int, stop: Stop) -> str:
        def put(client: S3Client) -> str:
            body = cast("IO[bytes]", FilePart(descriptor, 0, size, stop))
            with new.condition.kept(new.location.url):
                return client.put_object(**new.put_request(body))["ETag"]

        return self.calls.attempt(new.location.url, "writing", put, stop)

    def _download(self, location: Location, path: Path, etag: str | None, stop: Stop) -> ObjectInfo:
        with failures.told(location.url, "reading"):
            target = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            return self.receive(location, target, etag, stop)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(target)

    def receive(
        self, location: Location, target: int, etag: str | None, stop: Stop, told: Told | None = None
    ) -> ObjectInfo:
        """Write an object to an open file, in this thread: requests until all is here; each goes on where the last one
        broke off. `told` hears, in this thread, how many bytes more are here."""
        info: ObjectInfo | None = None
        done = since = failed = 0
        while info is None or done < info.size:
            stop.check()
            try:
                with self.calls.interruptible(stop):
                    answer = _get(self.calls.client(), location, etag, done)
                if done and not answer.get("ContentRange", "").startswith(f"bytes {done}-"):
                    raise RemoteUnavailable(f"reading {location.url}: broke off", "Its server can't resume; try again.")
                if info is None:
                    info = _info(location.url, answer["ContentLength"], answer["ETag"])
                    etag = info.etag
                body = answer["Body"]
                # Entered, it gives what is beneath it; but only its own `read` counts bytes and tells boto's errors.
                with body as response, stop.interrupting(_ending(cast("_Interruptible", response))):
                    while block := body.read(_BUFFER):
                        stop.check()
                        done += _write(target, block)
                        if told:
                            told(len(block))
                if done < info.size:
                    raise ConnectionError("the connection ended early")
            except Exception as error:
                if done - since >= _PROGRESS:
                    failed = 0
                failed, since = failed + 1, done
                self.calls.pause(location.url, "reading", error, failed, stop)
        return info


def _info(url: str, size: int, etag: str) -> ObjectInfo:
    return ObjectInfo(url, size, etag.strip('"'))


def _page_after(root: Location, token: str) -> Callable[[S3Client], ListObjectsV2OutputTypeDef]:
    def page(client: S3Client) -> ListObjectsV2OutputTypeDef:
        if token:
            return client.list_objects_v2(Bucket=root.bucket, Prefix=root.key, ContinuationToken=token)
        return client.list_objects_v2(Bucket=root.bucket, Prefix=root.key)

    return page


def _get(client: S3Client, location: Location, etag: str | None, offset: int) -> GetObjectOutputTypeDef:
    request: GetObjectRequestTypeDef = {"Bucket": location.bucket, "Key": location.key}
    if etag:
        request["IfMatch"] = f'"{etag}"'
    if offset:
        request["Range"] = f"bytes={offset}-"
    return client.get_object(**request)


def _ending(response: _Interruptible) -> Callable[[], None]:
    """Ends a read that waits for a silent server."""

    def end() -> None:
        # These mean that the response is at its end already: nothing waits.
        with suppress(OSError, ValueError, RuntimeError):
            response.shutdown()

    return end


def _write(target: int, block: bytes) -> int:
    done = 0
    while done < len(block):
        done += os.write(target, block[done:])
    return done


def _open(path: Path, stack: ExitStack) -> int:
    with failures.told(str(path), "reading"):
        return stack.enter_context(opened(path))
