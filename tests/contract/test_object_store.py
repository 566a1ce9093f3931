"""The `ObjectStore` contract, over a directory and over S3."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from mcp_servers.storage import locations
from mcp_servers.storage.s3_calls import S3Settings
from mcp_servers.storage.stores import ObjectStores
from state.errors import InputError, RemoteMissing
from state.ports import ObjectInfo, ObjectStore
from tests.services.s3 import Bucket


class Remote:
    """A store and a directory in it."""

    def __init__(self, stores: ObjectStores, root: str, scratch: Path) -> None:
        self.stores = stores
        self.store: ObjectStore = stores.of(root)
        self.root = root
        self.scratch = scratch

    def url(self, name: str) -> str:
        return locations.join(self.root, name)

    async def put(self, name: str, content: bytes) -> ObjectInfo:
        path = self.scratch / "content"
        path.write_bytes(content)
        return await self.store.upload(path, self.url(name))

    async def get(self, name: str, etag: str | None = None) -> bytes:
        path = self.scratch / "got"
        path.unlink(missing_ok=True)
        await self.store.download(self.url(name), path, etag=etag)
        return path.read_bytes()

    async def names(self, directory: str = "") -> list[str]:
        prefix = self.url(directory) if directory else self.root
        return [info.url.removeprefix(self.root) async for info in self.store.list(prefix)]


@pytest.fixture(params=["file", pytest.param("s3", marks=pytest.mark.s3)])
async def remote(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Remote]:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    if request.param == "file":
        stores = ObjectStores(scratch=scratch)
        root = locations.from_path(tmp_path / "remote", directory=True)
    else:
        bucket: Bucket = request.getfixturevalue("s3_bucket")
        service = bucket.service
        stores = ObjectStores(
            S3Settings(service.endpoint, service.region, service.access_key, service.secret_key), scratch=scratch
        )
        root = f"s3://{bucket.name}/some/where/"
    yield Remote(stores, root, scratch)
    await stores.close()


async def test_what_went_up_comes_down(remote: Remote) -> None:
    put = await remote.put("a/b.bin", b"\x00\xffcontent")
    assert put.url == remote.url("a/b.bin")
    assert put.size == 9
    assert await remote.get("a/b.bin") == b"\x00\xffcontent"
    assert await remote.store.stat(remote.url("a/b.bin")) == put


async def test_an_empty_object(remote: Remote) -> None:
    assert (await remote.put("empty", b"")).size == 0
    assert await remote.get("empty") == b""


async def test_an_upload_replaces(remote: Remote) -> None:
    first = await remote.put("x", b"one")
    second = await remote.put("x", b"two")
    assert first.etag != second.etag
    assert await remote.get("x") == b"two"


async def test_only_the_version_asked_for(remote: Remote) -> None:
    first = await remote.put("x", b"one")
    assert await remote.get("x", first.etag) == b"one"
    await remote.put("x", b"two")
    with pytest.raises(RemoteMissing, match="no longer the version"):
        await remote.get("x", first.etag)
    assert not (remote.scratch / "got").exists()


async def test_what_is_not_there(remote: Remote) -> None:
    url = remote.url("no/such")
    assert await remote.store.stat(url) is None
    with pytest.raises(RemoteMissing, match="no/such"):
        await remote.get("no/such")
    assert not (remote.scratch / "got").exists()
    with pytest.raises(RemoteMissing, match="no/such"):
        await remote.store.copy(url, remote.url("y"))
    await remote.store.delete(url)
    assert await remote.names() == []
    assert await remote.names("below/") == []


async def test_a_directory_is_not_an_object(remote: Remote) -> None:
    await remote.put("d/x", b"x")
    assert await remote.store.stat(remote.url("d/")) is None
    assert await remote.store.stat(remote.url("d")) is None
    with pytest.raises(RemoteMissing):
        await remote.get("d")
    for attempt in (
        remote.store.upload(remote.scratch / "content", remote.url("d/")),
        remote.store.download(remote.url("d/"), remote.scratch / "new"),
        remote.store.copy(remote.url("d/"), remote.url("e")),
        remote.store.delete(remote.url("d/")),
    ):
        with pytest.raises(InputError, match="is a directory"):
            await attempt
    with pytest.raises(InputError, match="not a directory"):
        _ = [info async for info in remote.store.list(remote.url("d/x"))]


async def test_a_listing_is_in_url_order(remote: Remote) -> None:
    names = ["a/c", "a-b", "a/b/z", "a.b", "a/b.x", "a0", "B", "ä", "日本/x", "a/b-", "zz"]
    for name in names:
        await remote.put(name, name.encode())
    assert await remote.names() == sorted(names, key=str.encode)
    assert await remote.names("a/") == ["a/b-", "a/b.x", "a/b/z", "a/c"]
    sizes = {info.url: info.size async for info in remote.store.list(remote.root)}
    assert sizes == {remote.url(name): len(name.encode()) for name in names}


async def test_a_listing_has_more_than_one_page(remote: Remote) -> None:
    first = await remote.put("many/0000", b"x")
    for number in range(1, 1003):
        await remote.store.copy(first.url, remote.url(f"many/{number:04}"))
    assert await remote.names("many/") == [f"many/{number:04}" for number in range(1003)]


@pytest.mark.parametrize(
    "name", ["a b", "a+b", "100%", "%2e%2e/x", "a%20b", "q?a=b&c#d", "ünï/cödé", "-rf", "a'\"b", "~"]
)
async def test_names_are_literal(remote: Remote, name: str) -> None:
    await remote.put(name, name.encode())
    assert await remote.names() == [name]
    assert await remote.get(name) == name.encode()
    copied = await remote.store.copy(remote.url(name), remote.url(f"copy of {name}"))
    assert copied.size == len(name.encode())
    assert await remote.get(f"copy of {name}") == name.encode()
    await remote.store.delete(remote.url(name))
    assert await remote.names() == [f"copy of {name}"]


async def test_a_copy_is_independent(remote: Remote) -> None:
    await remote.put("x", b"one")
    copied = await remote.store.copy(remote.url("x"), remote.url("deep/er/y"))
    await remote.put("x", b"two")
    assert await remote.get("deep/er/y", copied.etag) == b"one"
    assert (await remote.store.copy(copied.url, copied.url)).size == 3


async def test_a_download_overwrites_nothing(remote: Remote) -> None:
    await remote.put("x", b"new")
    path = remote.scratch / "taken"
    path.write_bytes(b"old")
    with pytest.raises(InputError, match="exists already"):
        await remote.store.download(remote.url("x"), path)
    assert path.read_bytes() == b"old"


async def test_a_source_that_is_not_there(remote: Remote) -> None:
    with pytest.raises(RemoteMissing, match="absent"):
        await remote.store.upload(remote.scratch / "absent", remote.url("x"))
    assert await remote.names() == []


async def test_from_one_scheme_to_another(remote: Remote, tmp_path: Path) -> None:
    put = await remote.put("x", b"content")
    other = locations.from_path(tmp_path / "elsewhere" / "y")
    await remote.stores.copy(put.url, other)
    assert (tmp_path / "elsewhere" / "y").read_bytes() == b"content"
    await remote.stores.copy(other, remote.url("back"))
    assert await remote.get("back") == b"content"
    await remote.stores.delete(other)
    assert await remote.stores.stat(other) is None
