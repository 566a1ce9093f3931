"""Single S3 requests: made in a thread, retried within bounds, stopped from outside. boto3 loads with the first one."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

from mcp_servers.storage.s3_errors import from_boto, worth_retrying
from mcp_servers.storage.s3_lines import Lines
from mcp_servers.storage.threads import Stop, Stopped, in_thread

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class S3Settings:
    """None means what boto3 finds by itself: AWS_* variables, profiles, instance roles. Times in seconds."""

    endpoint: str | None = None
    region: str | None = None
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    attempts: int = 4
    connect_timeout: float = 5.0
    read_timeout: float = 20.0
    """How long a server may say nothing."""
    threads: int = 16

    @property
    def endpoint_setting(self) -> str:
        """What to change for another server."""
        return "ATLAS_S3_ENDPOINT" if self.endpoint else "AWS_ENDPOINT_URL_S3"


class S3Calls:
    """A boto3 client behind a bounded pool of threads."""

    def __init__(self, settings: S3Settings) -> None:
        self._settings = settings
        self._pool = ThreadPoolExecutor(settings.threads, thread_name_prefix="atlas-s3")
        self._client: S3Client | None = None
        self._lines = Lines()
        self._lock = threading.Lock()

    async def run(self, work: Callable[[Stop], T]) -> T:
        """Do `work`, which may make several requests, in a thread."""
        return await in_thread(work, self._pool)

    async def call(self, url: str, doing: str, request: Callable[[S3Client], T], *, answered: bool = False) -> T:
        """One request, in a thread, with retries. `answered`: see `attempt`."""
        return await self.run(lambda stop: self.attempt(url, doing, request, stop, answered=answered))

    def attempt(
        self, url: str, doing: str, request: Callable[[S3Client], T], stop: Stop, *, answered: bool = False
    ) -> T:
        """One request, with retries, in this thread. `answered`: even a stop lets it wait for the server's answer,
        since something would be left there that only the answer names."""
        failed = 0
        while True:
            stop.check()
            try:
                with nullcontext() if answered else self.interruptible(stop):
                    return request(self.client())
            except Exception as error:
                failed += 1
                self.pause(url, doing, error, failed, stop)

    def interruptible(self, stop: Stop) -> AbstractContextManager[None]:
        """A stop ends the request that this thread makes in the block, whatever it waits for."""
        return self._lines.interruptible(stop)

    def pause(self, url: str, doing: str, error: Exception, failed: int, stop: Stop) -> None:
        """Wait before the next attempt, or raise what `error` means if there is none."""
        if stop.is_set():
            raise Stopped from None
        if failed >= self._settings.attempts or not worth_retrying(error):
            raise from_boto(url, doing, error, self._settings.endpoint_setting) from error
        stop.wait(random.uniform(0.5, 1.0) * min(0.2 * 2**failed, 5.0))  # noqa: S311

    def client(self) -> S3Client:
        """The client; made once, since making one takes a quarter of a second and is not thread-safe."""
        with self._lock:
            if self._client is None:
                self._client = self._connect()
            return self._client

    def close(self) -> None:
        """No call may be under way."""
        self._pool.shutdown(wait=False)
        if self._client:
            self._client.close()

    def _connect(self) -> S3Client:
        from boto3.session import Session
        from botocore.config import Config

        settings = self._settings
        config = Config(
            connect_timeout=settings.connect_timeout,
            read_timeout=settings.read_timeout,
            max_pool_connections=settings.threads,
            # Ours are the retries: botocore's own sleep through a cancellation.
            retries={"total_max_attempts": 1, "mode": "standard"},
            # The newer default checksums are refused by many S3-compatible servers. TLS, or the signed SHA-256 of the
            # payload, and the lengths we count guard a transfer; digests of our own guard what it is used for.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            # As requests are anyway; presigned URLs would else be signed in a way that newer regions refuse.
            signature_version="s3v4",
        )
        session = Session(settings.access_key, settings.secret_key, settings.session_token, settings.region)
        connect = cast("Callable[..., S3Client]", session.client)  # pyright: ignore[reportUnknownMemberType]
        client = connect("s3", endpoint_url=settings.endpoint, config=config)
        self._lines.install(client)
        client.meta.events.register("after-call.s3", _check_whole)
        return client


def _check_whole(http_response: Any, parsed: dict[str, Any], model: Any, **_: object) -> None:  # noqa: ANN401  botocore's
    """botocore takes an answer that breaks off within its head, or before its body, for one that says nothing: a bucket
    without objects, an object without an etag. Such an answer never came."""
    from botocore.exceptions import ConnectionClosedError

    shape = model.output_shape
    if shape is None or http_response.status_code not in (200, 206):
        return
    due = [each for each in ("ETag", "ContentLength") if each in shape.members]
    if model.has_streaming_output:
        whole = True
    else:
        places = (each.serialization.get("location") for each in shape.members.values())
        whole = bool(http_response.content) or None not in places
    if not whole or any(each not in parsed for each in due):
        http_response.raw.close()
        raise ConnectionClosedError(endpoint_url=http_response.url)


class FilePart:
    """A stretch of an open file as a request body: read in small pieces, each time asking whether to stop."""

    def __init__(self, descriptor: int, start: int, size: int, stop: Stop) -> None:
        self._descriptor = descriptor
        self._start = start
        self._size = size
        self._stop = stop
        self._at = 0

    def __len__(self) -> int:
        return self._size

    def read(self, count: int = -1) -> bytes:
        self._stop.check()
        left = self._size - self._at
        block = os.pread(self._descriptor, left if count < 0 else min(count, left), self._start + self._at)
        self._at += len(block)
        return block

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = min(max(base + offset, 0), self._size)
        return self._at

    def tell(self) -> int:
        return self._at
