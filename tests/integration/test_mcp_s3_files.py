"""The S3 MCP server and local files: where they may be, large ones, and calls that are cancelled midway."""

from __future__ import annotations

import asyncio
import filecmp
import os
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from mcp_servers.storage.s3 import PART
from tests.services.s3 import AwkwardS3, Bucket, S3Service
from tests.services.s3_tools import Talk, talking
from tests.services.slow_proxy import SlowProxy, slow_proxy

pytestmark = pytest.mark.s3

PATIENT = 3_600.0
"""A read timeout that no test outlasts: what ends sooner was ended."""
SOON = 10.0
"""Ten times what it may take on an idle machine."""


def sparse(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
        for offset in range(0, size, 1_000_003):
            file.seek(offset)
            file.write(offset.to_bytes(8))
    return path


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(true):  # noqa: ASYNC110  nothing tells
            await asyncio.sleep(0.01)


async def cancelled(call: asyncio.Task[Any]) -> float:
    """How many seconds the cancellation of a call takes."""
    started = time.monotonic()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    return time.monotonic() - started


def uploads(bucket: Bucket) -> list[str]:
    client = bucket.service.client()
    try:
        found = client.list_multipart_uploads(Bucket=bucket.name).get("Uploads", [])
        return [each.get("Key", "") for each in found]
    finally:
        client.close()


def keys(bucket: Bucket) -> list[str]:
    client = bucket.service.client()
    try:
        return [each.get("Key", "") for each in client.list_objects_v2(Bucket=bucket.name).get("Contents", [])]
    finally:
        client.close()


@asynccontextmanager
async def slowly(bucket: Bucket, root: Path, **settings: Any) -> AsyncGenerator[tuple[SlowProxy, Talk]]:
    """The server, with a proxy between it and the endpoint."""
    async with slow_proxy(urlsplit(bucket.service.endpoint).port or 80) as proxy:
        service = replace(bucket.service, endpoint=proxy.endpoint)
        async with talking(service, f"s3://{bucket.name}", roots=[root], read_timeout=PATIENT, **settings) as s3:
            yield proxy, s3


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_large_files_and_their_progress(tmp_path: Path, s3_bucket: Bucket, mode: str) -> None:
    size = 3 * PART + 7
    path, url = sparse(tmp_path / "large", size), f"s3://{s3_bucket.name}/large"
    size = path.stat().st_size
    heard: list[tuple[float, float | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, total))

    async with talking(s3_bucket.service, f"s3://{s3_bucket.name}", roots=[tmp_path], mode=mode) as s3:
        for tool, arguments in (
            ("s3_upload_file", {"path": str(path), "url": url}),
            ("s3_download_file", {"url": url, "path": f"{tmp_path}/got"}),
        ):
            del heard[:]
            result = await s3.client.call_tool(tool, arguments, progress_callback=hear)
            assert not result.is_error, result.content
            assert result.structured_content is not None
            assert result.structured_content["size"] == size
            assert heard[-1] == (size, size)
            assert [done for done, _ in heard] == sorted(done for done, _ in heard)
    assert filecmp.cmp(path, tmp_path / "got", shallow=False)
    assert uploads(s3_bucket) == []


async def test_only_below_the_roots(tmp_path: Path, s3_bucket: Bucket) -> None:
    root, outside = tmp_path / "root", tmp_path / "root-2"
    (root / "below").mkdir(parents=True)
    outside.mkdir()
    for file in (root / "in", outside / "secret"):
        file.write_text("content")
    (root / "link").symlink_to(outside / "secret")
    (root / "inner-link").symlink_to(root / "in")
    (root / "dangling").symlink_to(outside / "new")
    (root / "way").symlink_to(outside)
    os.mkfifo(root / "fifo")
    url = f"s3://{s3_bucket.name}/x"
    async with talking(s3_bucket.service, f"s3://{s3_bucket.name}", roots=[root]) as s3:
        for path, words in (
            (f"{outside}/secret", "outside of the allowed directories"),
            (f"{root}/../root-2/secret", "'..'"),
            (f"{root}/below/../../root-2/secret", "'..'"),
            (f"{root}", "is a directory"),
            (f"{root}/", "is a directory"),
            ("../root-2/secret", "'..'"),
            ("/etc/passwd", "outside of the allowed directories"),
            (f"{root}/in\x00", "control character"),
            (f"{root}/link", "symbolic link"),
            (f"{root}/inner-link", "symbolic link"),
            (f"{root}/dangling", "symbolic link"),
            (f"{root}/way/secret", "symbolic link"),
            (f"{root}/fifo", "neither a file nor a directory"),
            (f"{root}/below", "is a directory"),
            (f"{root}/absent", "does not exist"),
        ):
            answer = await s3.refused("s3_upload_file", path=path, url=url)
            assert words in answer, (path, answer)
        assert keys(s3_bucket) == []

        await s3.ask("s3_upload_file", path=f"{root}/in", url=url)
        for path, words in (
            (f"{outside}/new", "outside of the allowed directories"),
            (f"{root}/../root-2/new", "'..'"),
            (f"{root}/link", "exists already"),
            (f"{root}/dangling", "exists already"),
            (f"{root}/in", "exists already"),
            (f"{root}/fifo", "exists already"),
            (f"{root}/below", "exists already"),
            (f"{root}/way/new", "symbolic link"),
            (f"{root}/absent/new", "does not exist"),
            (f"{root}/in/new", "does not exist"),
        ):
            answer = await s3.refused("s3_download_file", url=url, path=path)
            assert words in answer, (path, answer)
        await s3.ask("s3_download_file", url=url, path=f"{root}/below/got")
    assert (root / "below/got").read_text() == "content"
    assert sorted(each.name for each in outside.iterdir()) == ["secret"]
    assert (outside / "secret").read_text() == "content"


async def test_a_root_that_is_named_through_a_link(tmp_path: Path, s3_bucket: Bucket) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/x").write_text("x")
    (tmp_path / "alias").symlink_to("real")
    url = f"s3://{s3_bucket.name}/x"
    async with talking(s3_bucket.service, f"s3://{s3_bucket.name}", roots=[tmp_path / "alias"]) as s3:
        for name in ("alias", "real"):
            await s3.ask("s3_upload_file", path=f"{tmp_path}/{name}/x", url=url)


async def test_a_link_that_is_swapped_in(tmp_path: Path, s3_bucket: Bucket) -> None:
    """A directory on the way becomes a link and back, all the time: no call ever gets through it."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    for directory in (root / "way", outside):
        directory.mkdir(parents=True)
    (root / "way/x").write_text("inside")
    (outside / "x").write_text("outside")
    (root / "link").symlink_to(outside)
    ended = asyncio.Event()

    def swap() -> int:
        times = 0
        while not ended.is_set():
            (root / "way").rename(root / "aside")
            (root / "link").rename(root / "way")
            (root / "way").rename(root / "link")
            (root / "aside").rename(root / "way")
            times += 1
        return times

    swapping = asyncio.create_task(asyncio.to_thread(swap))
    came = 0
    try:
        async with talking(s3_bucket.service, f"s3://{s3_bucket.name}", roots=[root]) as s3:
            for number in range(60):
                url = f"s3://{s3_bucket.name}/{number}"
                sent = await s3.client.call_tool("s3_upload_file", {"path": f"{root}/way/x", "url": url})
                if not sent.is_error:
                    came += 1
                    assert (await s3.ask("s3_get_object", url=url))["content"] == "inside"
                    path = f"{root}/way/got-{number}"
                    await s3.client.call_tool("s3_download_file", {"url": url, "path": path})
    finally:
        ended.set()
        swaps = await swapping
    assert swaps > 100
    assert came
    assert [each.name for each in outside.iterdir()] == ["x"]


async def test_a_cancelled_upload_in_parts(tmp_path: Path, s3_bucket: Bucket) -> None:
    path, url = sparse(tmp_path / "large", 6 * PART), f"s3://{s3_bucket.name}/large"
    async with slowly(s3_bucket, tmp_path) as (proxy, s3):
        proxy.stall_after = PART // 2
        call = asyncio.create_task(s3.client.call_tool("s3_upload_file", {"path": str(path), "url": url}))
        await proxy.stalled.wait()
        assert await asyncio.to_thread(uploads, s3_bucket) == ["large"]
        assert await cancelled(call) < SOON
        async with asyncio.timeout(SOON):
            await proxy.quiet.wait()
            await until(lambda: not uploads(s3_bucket))
        started = time.monotonic()
        await s3.ask("s3_list_objects", prefix=f"s3://{s3_bucket.name}/")
        assert time.monotonic() - started < SOON
    assert keys(s3_bucket) == []


async def test_an_upload_that_is_cancelled_while_it_begins(tmp_path: Path, s3_bucket: Bucket) -> None:
    """Only the server's answer names what has to be aborted: it is waited for."""
    path, url = sparse(tmp_path / "large", 2 * PART), f"s3://{s3_bucket.name}/large"
    async with slowly(s3_bucket, tmp_path) as (proxy, s3):
        proxy.hold = asyncio.Event()
        call = asyncio.create_task(s3.client.call_tool("s3_upload_file", {"path": str(path), "url": url}))
        await until(lambda: uploads(s3_bucket) == ["large"])
        call.cancel()
        assert not (await asyncio.wait([call], timeout=0.3))[0]
        proxy.hold.set()
        with pytest.raises(asyncio.CancelledError):
            await call
        await until(lambda: not uploads(s3_bucket))
    assert keys(s3_bucket) == []


async def test_an_answer_that_got_lost(tmp_path: Path, s3_bucket: Bucket) -> None:
    """A conditional write that is tried again may meet its own first try: the refusal says so."""
    async with slowly(s3_bucket, tmp_path) as (proxy, s3):
        url = f"s3://{s3_bucket.name}/x"
        proxy.lose = 1
        answer = await s3.refused("s3_put_object", url=url, content="mine", if_none_match=True)
        assert "exists already" in answer
        assert "what is there may be its own" in answer
        proxy.lose = 1
        assert (await s3.ask("s3_get_object", url=url))["content"] == "mine"


async def test_a_deadline_is_as_good_as_a_cancellation(tmp_path: Path, s3_bucket: Bucket) -> None:
    path, url = sparse(tmp_path / "large", 6 * PART), f"s3://{s3_bucket.name}/large"
    async with slowly(s3_bucket, tmp_path) as (proxy, s3):
        proxy.stall_after = PART // 2
        answer = await s3.refused("s3_upload_file", path=str(path), url=url, timeout=3)
        assert "was stopped after 3 s" in answer
        # The upload was aborted before that was told.
        assert uploads(s3_bucket) == []
        assert keys(s3_bucket) == []
        async with asyncio.timeout(SOON):
            await proxy.quiet.wait()


async def test_a_cancelled_upload_of_a_small_file(tmp_path: Path, s3_bucket: Bucket) -> None:
    path, url = sparse(tmp_path / "small", 2_000_000), f"s3://{s3_bucket.name}/small"
    async with slowly(s3_bucket, tmp_path) as (proxy, s3):
        proxy.stall_after = 1_000_000
        call = asyncio.create_task(s3.client.call_tool("s3_upload_file", {"path": str(path), "url": url}))
        await proxy.stalled.wait()
        assert await cancelled(call) < SOON
        async with asyncio.timeout(SOON):
            await proxy.quiet.wait()
        await s3.ask("s3_list_buckets")
    assert keys(s3_bucket) == []


async def test_a_cancelled_download(tmp_path: Path, awkward_s3: tuple[AwkwardS3, S3Service]) -> None:
    awkward, service = awkward_s3
    awkward.objects["/bucket/x"] = b"x" * 1_000_000
    awkward.stall_after = 500_000
    async with talking(service, "s3://bucket", roots=[tmp_path], read_timeout=PATIENT) as s3:
        for tool, arguments in (
            ("s3_download_file", {"url": "s3://bucket/x", "path": f"{tmp_path}/got"}),
            ("s3_download_file", {"url": "s3://bucket/x", "path": f"{tmp_path}/got"}),
        ):
            awkward.stalled.clear()
            call = asyncio.create_task(s3.client.call_tool(tool, arguments))
            await until(awkward.stalled.is_set)
            await until((tmp_path / "got").exists)
            assert await cancelled(call) < SOON
            await until(lambda: not (tmp_path / "got").exists())
            assert (await s3.ask("s3_head_object", url="s3://bucket/x", timeout=1))["size"] == 1_000_000


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_every_call_that_waits_ends_when_cancelled(tmp_path: Path, s3_bucket: Bucket, mode: str) -> None:
    """More cancelled calls than the server has threads; the next one still answers at once."""
    root = f"s3://{s3_bucket.name}/"
    async with slowly(s3_bucket, tmp_path, mode=mode, threads=4) as (proxy, s3):
        await s3.ask("s3_put_object", url=f"{root}x", content="x")
        for tool, arguments in (
            ("s3_list_buckets", {}),
            ("s3_list_objects", {"prefix": root}),
            ("s3_head_object", {"url": f"{root}x"}),
            ("s3_get_object", {"url": f"{root}x"}),
            ("s3_put_object", {"url": f"{root}y", "content": "y"}),
            ("s3_copy_object", {"source": f"{root}x", "target": f"{root}y"}),
            ("s3_delete_objects", {"urls": [f"{root}x"]}),
            ("s3_download_file", {"url": f"{root}x", "path": f"{tmp_path}/got"}),
        ):
            proxy.stall_after = 0
            proxy.stalled.clear()
            call = asyncio.create_task(s3.client.call_tool(tool, arguments))
            await proxy.stalled.wait()
            assert await cancelled(call) < SOON, tool
            async with asyncio.timeout(SOON):
                await proxy.quiet.wait()
            proxy.stall_after = None
            started = time.monotonic()
            assert (await s3.ask("s3_get_object", url=f"{root}x"))["content"] == "x"
            assert time.monotonic() - started < SOON, tool
    assert keys(s3_bucket) == ["x"]
    assert not (tmp_path / "got").exists()


@pytest.mark.parametrize("at", [b"", b"Content-Type", b"<?xml"])
async def test_a_large_one_whose_last_answer_got_lost(tmp_path: Path, s3_bucket: Bucket, at: bytes) -> None:
    """The server knows the upload no more when it is asked again: it is there."""
    path, url = sparse(tmp_path / "large", 2 * PART), f"s3://{s3_bucket.name}/large"
    async with slowly(s3_bucket, tmp_path) as (proxy, s3):
        proxy.lose, proxy.lost, proxy.lost_at = 1, b"CompleteMultipartUploadResult", at
        put = await s3.ask("s3_upload_file", path=str(path), url=url)
        assert proxy.lose == 0
        assert (await s3.ask("s3_head_object", url=url))["etag"] == put["etag"]
        await s3.ask("s3_download_file", url=url, path=f"{tmp_path}/got")
    assert filecmp.cmp(path, tmp_path / "got", shallow=False)
