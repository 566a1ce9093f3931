"""An S3 endpoint over HTTP: ATLAS_TEST_S3_URL (credentials from AWS_*), else moto's server as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, cast

import pytest

from tests.services.availability import missing
from tests.services.ports import free_port, wait_for_port

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True, slots=True)
class S3Service:
    """Where it is, and credentials that it accepts."""

    endpoint: str
    access_key: str = "atlas-test"
    secret_key: str = "atlas-test-secret"
    region: str = "us-east-1"

    def client(self) -> S3Client:
        """A client of its own; close it."""
        import boto3

        connect = cast("Callable[..., S3Client]", boto3.client)  # pyright: ignore[reportUnknownMemberType]
        return connect(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=self.region,
        )


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket of this test alone."""

    service: S3Service
    name: str


def moto_process(port: int, **environment: str) -> subprocess.Popen[bytes]:
    """moto's server on a loopback port, answering. Its process is the caller's to end."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )
    try:
        wait_for_port(port)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return process


@pytest.fixture(scope="session")
def s3_service() -> Generator[S3Service]:
    """One endpoint for all tests of a session."""
    if url := os.environ.get("ATLAS_TEST_S3_URL"):
        yield S3Service(
            url,
            os.environ.get("AWS_ACCESS_KEY_ID", "atlas-test"),
            os.environ.get("AWS_SECRET_ACCESS_KEY", "atlas-test-secret"),
            os.environ.get("AWS_REGION", "us-east-1"),
        )
        return
    pytest.importorskip("moto", reason="moto is not installed")
    port = free_port()
    try:
        process = moto_process(port)
    except TimeoutError as error:
        missing(str(error))
    try:
        yield S3Service(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def s3_bucket(s3_service: S3Service) -> Generator[Bucket]:
    """One for this test."""
    with new_bucket(s3_service) as bucket:
        yield bucket


@contextmanager
def new_bucket(service: S3Service) -> Generator[Bucket]:
    """Empty, and gone afterwards with all that is in it."""
    name = f"atlas-test-{uuid.uuid4().hex}"
    client = service.client()
    client.create_bucket(Bucket=name)
    try:
        yield Bucket(service, name)
    finally:
        for upload in client.list_multipart_uploads(Bucket=name).get("Uploads", []):
            client.abort_multipart_upload(Bucket=name, Key=upload.get("Key", ""), UploadId=upload.get("UploadId", ""))
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
            for entry in page.get("Contents", []):
                client.delete_object(Bucket=name, Key=entry.get("Key", ""))
        client.delete_bucket(Bucket=name)
        client.close()


@dataclass
class AwkwardS3:
    """An S3 server that reads only and misbehaves on demand. Objects by their path, ``/bucket/key``."""

    objects: dict[str, bytes]
    refuse: list[int] = field(default_factory=list[int])
    """Statuses for the next requests, before any is answered."""
    cut: list[int] = field(default_factory=list[int])
    """For the next bodies: after so many bytes the connection ends."""
    stall_after: int | None = None
    """So many bytes into a body, nothing more comes until `resume`."""
    stalled: threading.Event = field(default_factory=threading.Event)
    resume: threading.Event = field(default_factory=threading.Event)
    restless: bool = False
    """Every request finds another version."""
    requests: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])
    """Method, path and range of each."""

    def count(self, method: str) -> int:
        return sum(1 for request in self.requests if request[0] == method)


@pytest.fixture
def awkward_s3() -> Generator[tuple[AwkwardS3, S3Service]]:
    """The server, and how to reach it."""
    awkward = AwkwardS3({})
    server = _Server(awkward)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield awkward, S3Service(f"http://127.0.0.1:{server.server_address[1]}")
    finally:
        awkward.resume.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, awkward: AwkwardS3) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.awkward = awkward


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def awkward(self) -> AwkwardS3:
        return cast("_Server", self.server).awkward

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""

    def _answer(self, *, body: bool) -> None:
        span = self.headers.get("Range", "")
        self.awkward.requests.append((self.command, self.path, span))
        content = self.awkward.objects.get(self.path)
        etag = f'"{len(self.awkward.requests) if self.awkward.restless else hash(content):x}"'
        if self.headers.get("If-Match", etag) != etag:
            self._head(412, 0)
            return
        if self.awkward.refuse or content is None:
            self._head(self.awkward.refuse.pop(0) if self.awkward.refuse else 404, 0)
            return
        start = int(span.removeprefix("bytes=").removesuffix("-")) if span else 0
        extra = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if span else {}
        self._head(206 if span else 200, len(content) - start, ETag=etag, **extra)
        if body:
            self._send(content[start:])

    def _head(self, status: int, length: int, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, content: bytes) -> None:
        if self.awkward.cut:
            self.wfile.write(content[: self.awkward.cut.pop(0)])
            self.close_connection = True
            return
        if self.awkward.stall_after is not None and not self.awkward.resume.is_set():
            self.wfile.write(content[: self.awkward.stall_after])
            self.wfile.flush()
            self.awkward.stalled.set()
            self.awkward.resume.wait()
            content = content[self.awkward.stall_after :]
        try:
            self.wfile.write(content)
        except OSError:
            self.close_connection = True
