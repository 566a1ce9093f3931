"""Operations on S3 that answer in words for a caller: lists, facts, content, presigned URLs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from mimetypes import MimeTypes
from typing import TYPE_CHECKING, Literal

from mcp_servers.paging import fitting
from mcp_servers.storage import locations
from mcp_servers.storage.locations import Location
from mcp_servers.storage.s3 import S3Store
from mcp_servers.storage.s3_answers import Bucket, Buckets, Deleted, Entry, Head, Listing, Presigned, Refused, Written
from mcp_servers.storage.s3_errors import about_credentials, answer_of
from mcp_servers.storage.s3_new import Condition, NewObject
from mcp_servers.storage.threads import spread
from state.errors import AtlasError, InputError, RemoteForbidden, RemoteMissing, RemoteUnavailable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import (
        HeadBucketOutputTypeDef,
        ListObjectsV2OutputTypeDef,
        ListObjectsV2RequestTypeDef,
    )

_WIDTH = 8
_UNNAMEABLE = "their names end with a slash or have '.', '..', an empty segment or a control character, so no URL here"


class S3Objects:
    """See the module. What is allowed is not asked here."""

    def __init__(self, store: S3Store) -> None:
        self._store = store
        self._calls = store.calls

    async def buckets(self, wanted: Sequence[tuple[str, list[str]]]) -> Buckets:
        """Those of the buckets that exist, each with what is allowed of it."""
        found = await spread(wanted, self._bucket, _WIDTH)
        missing = [name for (name, _), bucket in zip(wanted, found, strict=True) if bucket is None]
        note = f"Allowed, but not there: {', '.join(missing)}." if missing else None
        return Buckets(buckets=[bucket for bucket in found if bucket], note=note)

    async def list(self, prefix: Location, delimiter: str | None, cursor: str | None, limit: int) -> Listing:
        """A page of what begins with `prefix`. It holds at most `limit` objects and prefixes, and fewer where they
        would be too long for one answer."""
        while True:
            page = await self._page(prefix, delimiter, cursor, limit)
            listing = _listing(prefix, page)
            named = [*_in_order(listing)]
            fit = fitting(named)
            if fit >= len(named):
                return listing
            # Asked again rather than cut: only the server can say how to go on.
            limit = max(1, min(fit, limit - 1))

    async def head(self, location: Location) -> Head:
        """What is known of an object."""
        found = await self._calls.call(
            location.url, "reading", lambda client: client.head_object(Bucket=location.bucket, Key=location.key)
        )
        return Head(
            url=location.url,
            size=found["ContentLength"],
            etag=found.get("ETag", "").strip('"'),
            modified=_moment(found.get("LastModified")),
            content_type=found.get("ContentType", ""),
            metadata=found.get("Metadata", {}),
        )

    async def put(self, location: Location, content: bytes, content_type: str, condition: Condition) -> Written:
        """Write a small object at once."""
        new = NewObject(location, content_type, condition)

        def request(client: S3Client) -> str:
            with condition.kept(location.url):
                return client.put_object(**new.put_request(content))["ETag"]

        etag = await self._calls.call(location.url, "writing", request)
        return Written(url=location.url, size=len(content), etag=etag.strip('"'))

    async def copy(self, source: Location, target: Location) -> Written:
        """Without the content passing through here."""
        info = await self._store.copy(source.url, target.url)
        return Written(url=info.url, size=info.size, etag=info.etag)

    async def delete(self, doomed: Sequence[Location]) -> Deleted:
        """All of them, several at a time. One that fails does not keep the others; a server that no longer answers
        does."""
        gone: list[AtlasError] = []

        async def delete(location: Location) -> Refused | None:
            if gone:
                return Refused(
                    url=location.url, reason=f"not tried, since the server did not answer: {gone[0].message}"
                )
            try:
                await self._store.delete(location.url)
            except AtlasError as error:
                if isinstance(error, RemoteUnavailable):
                    gone.append(error)
                return Refused(url=location.url, reason=error.message)
            return None

        failed = [each for each in await spread(doomed, delete, _WIDTH) if each]
        shown = failed[: fitting(failed)]
        note = f"{len(failed) - len(shown):,} more failures are not shown." if len(shown) < len(failed) else None
        return Deleted(deleted=len(doomed) - len(failed), failed=shown, note=note)

    async def presign(self, location: Location, method: Literal["GET", "PUT"], seconds: int) -> Presigned:
        """Nothing is asked of the server; whether the object exists is not looked at."""
        operation: Literal["get_object", "put_object"] = "get_object" if method == "GET" else "put_object"
        until = datetime.now(UTC) + timedelta(seconds=seconds)

        def sign(client: S3Client) -> str:
            parameters = {"Bucket": location.bucket, "Key": location.key}
            return client.generate_presigned_url(operation, Params=parameters, ExpiresIn=seconds)

        signed = await self._calls.call(location.url, "presigning", sign)
        return Presigned(url=signed, method=method, expires_at=_moment(until))

    async def _bucket(self, wanted: tuple[str, list[str]]) -> Bucket | None:
        name, allowed = wanted

        def head(client: S3Client) -> HeadBucketOutputTypeDef:
            return client.head_bucket(Bucket=name)

        try:
            await self._calls.call(f"s3://{name}/", "looking at", head)
        except RemoteMissing:
            return None
        except RemoteForbidden:
            await self._check_credentials(name)
            return Bucket(name=name, allowed=allowed, readable=False)
        return Bucket(name=name, allowed=allowed, readable=True)

    async def _check_credentials(self, bucket: str) -> None:
        """`RemoteForbidden` if it is they that are refused. (An answer to HEAD has no body to say so.)"""

        def look(client: S3Client) -> ListObjectsV2OutputTypeDef:
            return client.list_objects_v2(Bucket=bucket, MaxKeys=1)

        try:
            await self._calls.call(f"s3://{bucket}/", "looking at", look)
        except RemoteForbidden as error:
            if about_credentials(error):
                raise

    async def _page(
        self, prefix: Location, delimiter: str | None, cursor: str | None, limit: int
    ) -> ListObjectsV2OutputTypeDef:
        request: ListObjectsV2RequestTypeDef = {"Bucket": prefix.bucket, "Prefix": prefix.key, "MaxKeys": limit}
        if delimiter:
            request["Delimiter"] = delimiter
        if cursor:
            request["ContinuationToken"] = cursor

        def page(client: S3Client) -> ListObjectsV2OutputTypeDef:
            from botocore.exceptions import ClientError

            try:
                return client.list_objects_v2(**request)
            except ClientError as error:
                if cursor and answer_of(error)[0] == 400:
                    raise InputError(
                        f"{cursor[:50]!r} is not a cursor of this listing", "Pass the next_cursor of the page before."
                    ) from error
                raise

        return await self._calls.call(prefix.url, "listing", page)


def content_type(key: str, otherwise: str) -> str:
    """By the name's ending; of those that every Python knows, whatever this host adds."""
    return MimeTypes().guess_type(key.rpartition("/")[2], strict=False)[0] or otherwise


def _listing(prefix: Location, page: ListObjectsV2OutputTypeDef) -> Listing:
    root = f"s3://{prefix.bucket}/"
    objects: list[Entry] = []
    left = 0
    for entry in page.get("Contents", []):
        key = entry.get("Key", "")
        if not key.startswith(prefix.key):
            continue
        if not _nameable(root + key):
            left += 1
            continue
        objects.append(
            Entry(
                url=root + key,
                size=entry.get("Size", 0),
                etag=entry.get("ETag", "").strip('"'),
                modified=_moment(entry.get("LastModified")),
            )
        )
    folded = [each.get("Prefix", "") for each in page.get("CommonPrefixes", [])]
    note = f"{left} keys are left out: {_UNNAMEABLE} can mean them." if left else None
    return Listing(
        objects=objects,
        prefixes=[root + each for each in folded if each.startswith(prefix.key)],
        next_cursor=page.get("NextContinuationToken") if page["IsTruncated"] else None,
        note=note,
    )


def _nameable(url: str) -> bool:
    try:
        locations.object_location(url)
    except InputError:
        return False
    return True


def _in_order(listing: Listing) -> Iterable[Entry]:
    """All that takes room in a listing, in the order in which the server counts it."""
    folded = [Entry(url=each, size=0, etag="", modified="") for each in listing.prefixes]
    return sorted([*listing.objects, *folded], key=lambda entry: entry.url.encode())


def _moment(when: datetime | None) -> str:
    return when.astimezone(UTC).isoformat(timespec="seconds") if when else ""
