"""The `ArtifactStore` contract, over a directory and over S3."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from mcp_servers.storage import locations
from mcp_servers.storage.artifacts import Artifacts
from mcp_servers.storage.s3_calls import S3Settings
from mcp_servers.storage.stores import ObjectStores
from state.errors import InputError, RemoteDamaged, RemoteMissing
from state.ports import ArtifactStore
from tests.services.s3 import Bucket


class Kept:
    """An artifact store, and the objects beneath it."""

    def __init__(self, stores: ObjectStores, root: str, scratch: Path) -> None:
        self.stores = stores
        self.artifacts: ArtifactStore = Artifacts(stores, root, scratch=scratch)
        self.root = root
        self.scratch = scratch


def left(directory: Path) -> list[Path]:
    return list(directory.rglob("*"))


@pytest.fixture(params=["file", pytest.param("s3", marks=pytest.mark.s3)])
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Kept]:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    if request.param == "file":
        stores, root = ObjectStores(), locations.from_path(tmp_path / "artifacts", directory=True)
    else:
        bucket: Bucket = request.getfixturevalue("s3_bucket")
        service = bucket.service
        stores = ObjectStores(S3Settings(service.endpoint, service.region, service.access_key, service.secret_key))
        root = f"s3://{bucket.name}/"
    yield Kept(stores, root, scratch)
    await stores.close()
    assert left(scratch) == [], "temporary files are left"


async def test_content_is_found_by_its_digest(kept: Kept, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"content")
    put = await kept.artifacts.put(tmp_path / "x")
    assert put.digest == f"sha256:{hashlib.sha256(b'content').hexdigest()}"
    assert put.size == 7
    await kept.artifacts.fetch(put.digest, tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == b"content"


async def test_the_same_content_is_stored_once(kept: Kept, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"content")
    (tmp_path / "y").write_bytes(b"content")
    first = await kept.artifacts.put(tmp_path / "x")
    info = await kept.stores.stat(first.uri)
    assert await kept.artifacts.put(tmp_path / "y") == first
    assert await kept.stores.stat(first.uri) == info
    assert [found.url async for found in kept.stores.list(kept.root)] == [first.uri]


async def test_an_artifact_that_is_not_there(kept: Kept, tmp_path: Path) -> None:
    with pytest.raises(RemoteMissing):
        await kept.artifacts.fetch(f"sha256:{'0' * 64}", tmp_path / "got")
    for digest in ("", "sha256:../../etc/passwd", "md5:0", f"sha256:{'A' * 64}"):
        with pytest.raises(InputError, match="not a digest"):
            await kept.artifacts.fetch(digest, tmp_path / "got")
    with pytest.raises(RemoteMissing, match="absent"):
        await kept.artifacts.put(tmp_path / "absent")
    assert not (tmp_path / "got").exists()


async def test_a_damaged_artifact_is_not_handed_out(kept: Kept, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"content")
    (tmp_path / "y").write_bytes(b"CONTENT")
    put = await kept.artifacts.put(tmp_path / "x")
    await kept.stores.upload(tmp_path / "y", put.uri)
    with pytest.raises(RemoteDamaged, match="damaged"):
        await kept.artifacts.fetch(put.digest, tmp_path / "got")
    assert not any("got" in str(path) for path in left(tmp_path))


async def test_a_log_is_read_from_anywhere(kept: Kept) -> None:
    chunks = [b"first\n", b"2", b"the third chunk\n" * 100, b"end"]
    whole = b"".join(chunks)
    offset = 0
    for chunk in chunks:
        await kept.artifacts.append("run/todo/1", offset, chunk)
        offset += len(chunk)
    assert await kept.artifacts.read("run/todo/1", 0, 1 << 20) == whole
    for start in (0, 1, 5, 6, 7, 8, 100, len(whole) - 1, len(whole), len(whole) + 50):
        for limit in (0, 1, 2, 10, 5000):
            assert await kept.artifacts.read("run/todo/1", start, limit) == whole[start : start + limit]
    assert await kept.artifacts.read("run/todo/2", 0, 10) == b""


async def test_a_chunk_may_be_written_again(kept: Kept) -> None:
    await kept.artifacts.append("log", 0, b"one")
    await kept.artifacts.append("log", 3, b"two")
    await kept.artifacts.append("log", 0, b"one")
    await kept.artifacts.append("log", 3, b"two")
    await kept.artifacts.append("log", 6, b"")
    assert await kept.artifacts.read("log", 0, 100) == b"onetwo"
    await kept.artifacts.append("log", 3, b"two and more")
    await kept.artifacts.append("log", 6, b" and more")
    assert await kept.artifacts.read("log", 0, 100) == b"onetwo and more"
    assert await kept.artifacts.read("log", 7, 3) == b"and"


async def test_what_comes_after_a_gap_waits(kept: Kept) -> None:
    await kept.artifacts.append("log", 10, b"late")
    assert await kept.artifacts.read("log", 0, 100) == b""
    await kept.artifacts.append("log", 0, b"0123456789")
    assert await kept.artifacts.read("log", 0, 100) == b"0123456789late"


@pytest.mark.parametrize("name", ["", "../x", "/x", "a/../b", "a\0b"])
async def test_a_log_has_a_relative_name(kept: Kept, name: str) -> None:
    with pytest.raises(InputError):
        await kept.artifacts.append(name, 0, b"x")
    with pytest.raises(InputError):
        await kept.artifacts.read(name, 0, 1)
    with pytest.raises(InputError):
        await kept.artifacts.append("log", -1, b"x")
