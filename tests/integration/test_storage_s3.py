"""S3 where it hurts: servers that die, stall, break off and refuse; cancelled and large transfers."""

from __future__ import annotations

import asyncio
import filecmp
import resource
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from mcp_servers.storage.s3 import PART, S3Store
from mcp_servers.storage.s3_calls import S3Settings
from state.errors import RemoteForbidden, RemoteMissing, RemoteUnavailable
from tests.services.ports import free_port
from tests.services.s3 import AwkwardS3, Bucket, S3Service, moto_process

pytestmark = pytest.mark.s3

Awkward = tuple[AwkwardS3, S3Service]


def settings(service: S3Service) -> S3Settings:
    return S3Settings(service.endpoint, service.region, service.access_key, service.secret_key, attempts=3)


@asynccontextmanager
async def store(given: S3Settings) -> AsyncGenerator[S3Store]:
    opened = S3Store(given)
    try:
        yield opened
    finally:
        await opened.close()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while True:
            if await asyncio.to_thread(true):
                return
            await asyncio.sleep(0.01)


def sparse(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    return path


async def test_a_dead_server(tmp_path: Path) -> None:
    service = S3Service(f"http://127.0.0.1:{free_port()}")
    (tmp_path / "x").write_bytes(b"x")
    async with store(replace(settings(service), attempts=2)) as s3:
        for attempt in (
            s3.stat("s3://bucket/x"),
            s3.download("s3://bucket/x", tmp_path / "got"),
            s3.upload(tmp_path / "x", "s3://bucket/x"),
            s3.upload(sparse(tmp_path / "large", PART + 1), "s3://bucket/large"),
        ):
            with pytest.raises(RemoteUnavailable, match=r"s3://bucket/(x|large)[\s\S]*endpoint"):
                await attempt
    assert not (tmp_path / "got").exists()


async def test_a_silent_server(tmp_path: Path, awkward_s3: Awkward) -> None:
    awkward, service = awkward_s3
    awkward.objects["/bucket/x"] = b"x" * 1_000_000
    awkward.stall_after = 400_000
    async with store(replace(settings(service), read_timeout=0.2, attempts=2)) as s3:
        with pytest.raises(RemoteUnavailable, match="s3://bucket/x"):
            await s3.download("s3://bucket/x", tmp_path / "got")
    assert not (tmp_path / "got").exists()
    assert [span for _, _, span in awkward.requests] == ["", "bytes=262144-"]


async def test_a_download_goes_on_where_it_broke_off(tmp_path: Path, awkward_s3: Awkward) -> None:
    awkward, service = awkward_s3
    content = bytes(range(256)) * 40_000
    awkward.objects["/bucket/x"] = content
    awkward.cut = [1_000_000, 5_000_000]
    awkward.refuse = [503]
    async with store(replace(settings(service), attempts=5)) as s3:
        info = await s3.download("s3://bucket/x", tmp_path / "got")
    assert info.size == len(content)
    assert (tmp_path / "got").read_bytes() == content
    assert [span for _, _, span in awkward.requests] == ["", "", "bytes=1000000-", "bytes=6000000-"]


async def test_it_gives_up(tmp_path: Path, awkward_s3: Awkward) -> None:
    awkward, service = awkward_s3
    awkward.objects["/bucket/x"] = b"x"
    awkward.refuse = [500, 503, 429, 500]
    async with store(settings(service)) as s3:
        with pytest.raises(RemoteUnavailable):
            await s3.stat("s3://bucket/x")
        assert awkward.count("HEAD") == 3
        assert await s3.stat("s3://bucket/x") is not None


async def test_a_cancelled_download_stops_at_once_and_leaves_nothing(tmp_path: Path, awkward_s3: Awkward) -> None:
    awkward, service = awkward_s3
    awkward.objects["/bucket/x"] = b"x" * 1_000_000
    awkward.stall_after = 500_000
    async with store(replace(settings(service), read_timeout=3600.0)) as s3:
        task = asyncio.create_task(s3.download("s3://bucket/x", tmp_path / "got"))
        await until(awkward.stalled.is_set)
        await until((tmp_path / "got").exists)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not (tmp_path / "got").exists()
        # The thread is free again, not waiting for the server.
        assert await s3.stat("s3://bucket/x") is not None


async def test_a_cancelled_upload_leaves_no_parts(tmp_path: Path, s3_bucket: Bucket) -> None:
    client = s3_bucket.service.client()
    path = sparse(tmp_path / "large", 40 * PART)

    def parts() -> bool:
        for upload in client.list_multipart_uploads(Bucket=s3_bucket.name).get("Uploads", []):
            key, name = upload.get("Key", ""), upload.get("UploadId", "")
            if client.list_parts(Bucket=s3_bucket.name, Key=key, UploadId=name).get("Parts"):
                return True
        return False

    async with store(settings(s3_bucket.service)) as s3:
        task = asyncio.create_task(s3.upload(path, f"s3://{s3_bucket.name}/large"))
        await until(parts)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert client.list_multipart_uploads(Bucket=s3_bucket.name).get("Uploads", []) == []
        assert await s3.stat(f"s3://{s3_bucket.name}/large") is None
    client.close()


async def test_an_upload_whose_file_changes_is_refused(tmp_path: Path, s3_bucket: Bucket) -> None:
    path = sparse(tmp_path / "large", 8 * PART)
    client = s3_bucket.service.client()
    async with store(settings(s3_bucket.service)) as s3:
        task = asyncio.create_task(s3.upload(path, f"s3://{s3_bucket.name}/large"))
        await until(lambda: bool(client.list_multipart_uploads(Bucket=s3_bucket.name).get("Uploads")))
        with path.open("r+b") as file:
            file.write(b"changed")
        with pytest.raises(RemoteUnavailable, match="changed while it was read"):
            await task
    client.close()


@pytest.mark.parametrize("size", [PART, PART + 1, 5 * PART + 7])
async def test_large_objects(tmp_path: Path, s3_bucket: Bucket, size: int) -> None:
    path = sparse(tmp_path / "large", size)
    with path.open("r+b") as file:
        for offset in range(0, size, 1_000_003):
            file.seek(offset)
            file.write(offset.to_bytes(8))
    url = f"s3://{s3_bucket.name}/large"
    size = path.stat().st_size
    async with store(settings(s3_bucket.service)) as s3:
        put = await s3.upload(path, url)
        assert (put.size, await s3.stat(url)) == (size, put)
        assert await s3.download(url, tmp_path / "got", etag=put.etag) == put
    assert filecmp.cmp(path, tmp_path / "got", shallow=False)


async def test_a_copy_in_parts(tmp_path: Path, s3_bucket: Bucket) -> None:
    from mcp_servers.storage import locations
    from mcp_servers.storage.s3_calls import S3Calls
    from mcp_servers.storage.s3_new import NewObject
    from mcp_servers.storage.s3_parts import copying, upload_in_parts

    content = bytes(range(256)) * 60_000
    (tmp_path / "x").write_bytes(content)
    start, end = (locations.parse(f"s3://{s3_bucket.name}/{name}") for name in ("a b+%", "copy"))
    calls = S3Calls(settings(s3_bucket.service))
    async with store(settings(s3_bucket.service)) as s3:
        put = await s3.upload(tmp_path / "x", start.url)
        await upload_in_parts(calls, NewObject(end), put.size, 6 << 20, copying(start, end, put.etag))
        await s3.download(end.url, tmp_path / "got")
    calls.close()
    assert (tmp_path / "got").read_bytes() == content


def test_memory_does_not_grow_with_the_object(tmp_path: Path, s3_bucket: Bucket) -> None:
    sparse(tmp_path / "large", 160 << 20)
    program = [sys.executable, "-m", __name__, s3_bucket.service.endpoint, s3_bucket.name, str(tmp_path)]
    grown = subprocess.run(program, check=True, capture_output=True, text=True).stdout
    assert (tmp_path / "got").stat().st_size == 160 << 20
    assert int(grown) < 40 << 20


async def test_refused_credentials(tmp_path: Path) -> None:
    port = free_port()
    process = moto_process(port, INITIAL_NO_AUTH_ACTION_COUNT="0")
    try:
        (tmp_path / "x").write_bytes(b"x")
        async with store(settings(S3Service(f"http://127.0.0.1:{port}"))) as s3:
            for attempt in (
                s3.stat("s3://bucket/x"),
                s3.upload(tmp_path / "x", "s3://bucket/x"),
                s3.download("s3://bucket/x", tmp_path / "got"),
            ):
                with pytest.raises(RemoteForbidden, match=r"s3://bucket/x: refused[\s\S]*AWS_ACCESS_KEY_ID"):
                    await attempt
    finally:
        process.terminate()
        process.wait()


async def test_no_such_bucket(tmp_path: Path, s3_bucket: Bucket) -> None:
    (tmp_path / "x").write_bytes(b"x")
    async with store(settings(s3_bucket.service)) as s3:
        with pytest.raises(RemoteMissing, match="no such bucket"):
            await s3.upload(tmp_path / "x", "s3://atlas-no-such-bucket/x")
        with pytest.raises(RemoteMissing, match="no such bucket"):
            _ = [info async for info in s3.list("s3://atlas-no-such-bucket/")]


async def test_directory_markers_are_not_objects(s3_bucket: Bucket) -> None:
    client = s3_bucket.service.client()
    for key in ("d/", "d/x", "d/below/"):
        client.put_object(Bucket=s3_bucket.name, Key=key, Body=b"x" if key == "d/x" else b"")
    client.close()
    async with store(settings(s3_bucket.service)) as s3:
        assert [info.url async for info in s3.list(f"s3://{s3_bucket.name}/d/")] == [f"s3://{s3_bucket.name}/d/x"]


async def measure(endpoint: str, bucket: str, directory: Path) -> int:
    """Bytes by which the memory of this process grows while it moves a large object, after a small one."""
    async with store(settings(S3Service(endpoint))) as s3:
        (directory / "small").write_bytes(b"x")
        await s3.upload(directory / "small", f"s3://{bucket}/small")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        await s3.upload(directory / "large", f"s3://{bucket}/large")
        await s3.download(f"s3://{bucket}/large", directory / "got")
        return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024


if __name__ == "__main__":
    sys.stdout.write(str(asyncio.run(measure(sys.argv[1], sys.argv[2], Path(sys.argv[3])))))
