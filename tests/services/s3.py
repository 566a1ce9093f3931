"""An S3 endpoint over HTTP: ATLAS_TEST_S3_URL (credentials from AWS_*), else moto's server as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Generator
from dataclasses import dataclass
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
    """Empty, and gone afterwards with all that is in it."""
    name = f"atlas-test-{uuid.uuid4().hex}"
    client = s3_service.client()
    client.create_bucket(Bucket=name)
    try:
        yield Bucket(s3_service, name)
    finally:
        for upload in client.list_multipart_uploads(Bucket=name).get("Uploads", []):
            client.abort_multipart_upload(Bucket=name, Key=upload.get("Key", ""), UploadId=upload.get("UploadId", ""))
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
            for entry in page.get("Contents", []):
                client.delete_object(Bucket=name, Key=entry.get("Key", ""))
        client.delete_bucket(Bucket=name)
        client.close()
