"""The cache between real processes: races, kills, eviction, damage; and what is placed from it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mcp_servers.storage import listings, locations
from mcp_servers.storage.cache import Cache
from mcp_servers.storage.listings import Entry
from mcp_servers.storage.placement import place
from mcp_servers.storage.s3_calls import S3Settings
from mcp_servers.storage.stores import ObjectStores
from state.errors import InputError, RemoteMissing, RemoteUnavailable
from tests.services.s3 import AwkwardS3, S3Service

Awkward = tuple[AwkwardS3, S3Service]


def stores_for(service: S3Service | None = None) -> ObjectStores:
    given = service or S3Service("http://127.0.0.1:9")
    return ObjectStores(S3Settings(given.endpoint, given.region, given.access_key, given.secret_key, attempts=2))


def url(path: Path, *, directory: bool = False) -> str:
    return locations.from_path(path, directory=directory)


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def objects(root: Path) -> list[Path]:
    return sorted(path for path in (root / "objects").rglob("*") if path.is_file())


@pytest.fixture
async def stores(awkward_s3: Awkward) -> AsyncGenerator[ObjectStores]:
    opened = stores_for(awkward_s3[1])
    yield opened
    await opened.close()


@pytest.fixture
def cache(tmp_path: Path, stores: ObjectStores) -> Cache:
    return Cache(tmp_path / "cache", stores)


@contextmanager
def lessee(root: Path, remote: str, service: S3Service | None = None) -> Generator[subprocess.Popen[str]]:
    """Another process that leases `remote`, prints its digest, and holds on until its standard input ends."""
    arguments = [sys.executable, "-m", __name__, str(root), remote, service.endpoint if service else ""]
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        try:
            yield process
        finally:
            process.kill()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while True:
            if true():
                return
            await asyncio.sleep(0.01)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def says(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


async def test_an_object_is_fetched_once(cache: Cache, awkward_s3: Awkward) -> None:
    awkward, _ = awkward_s3
    awkward.objects["/bucket/x"] = b"content"
    for _ in range(3):
        async with cache.lease("s3://bucket/x") as leased:
            assert leased.digest == digest(b"content")
            assert leased.size == 7
            assert leased.path.read_bytes() == b"content"
            assert leased.path.stat().st_mode & 0o777 == 0o444
    assert awkward.count("GET") == 1
    awkward.objects["/bucket/x"] = b"new"
    async with cache.lease("s3://bucket/x") as leased:
        assert leased.path.read_bytes() == b"new"


async def test_a_race_of_processes_fetches_once(tmp_path: Path, cache: Cache, awkward_s3: Awkward) -> None:
    awkward, service = awkward_s3
    content = os.urandom(1 << 20)
    awkward.objects["/bucket/x"] = content
    awkward.stall_after = 1000
    with (
        lessee(tmp_path / "cache", "s3://bucket/x", service) as one,
        lessee(tmp_path / "cache", "s3://bucket/x", service) as two,
        lessee(tmp_path / "cache", "s3://bucket/x", service) as three,
    ):
        await asyncio.to_thread(awkward.stalled.wait, 60)
        await until(lambda: awkward.count("HEAD") == 3)
        awkward.resume.set()
        for process in (one, two, three):
            assert await asyncio.to_thread(says, process) == digest(content)
    assert awkward.count("GET") == 1
    async with cache.lease("s3://bucket/x") as leased:
        assert leased.path.read_bytes() == content


async def test_a_fetch_killed_half_way_is_done_again(tmp_path: Path, cache: Cache, awkward_s3: Awkward) -> None:
    awkward, service = awkward_s3
    content = os.urandom(1 << 20)
    awkward.objects["/bucket/x"] = content
    awkward.stall_after = 600_000
    with lessee(tmp_path / "cache", "s3://bucket/x", service) as other:
        await asyncio.to_thread(awkward.stalled.wait, 60)
        await until(lambda: any(part.stat().st_size for part in (tmp_path / "cache" / "fetching").glob("*.part")))
        waiting = asyncio.create_task(lease_content(cache, "s3://bucket/x"))
        assert objects(tmp_path / "cache") == []
        other.send_signal(signal.SIGKILL)
    awkward.resume.set()
    assert await waiting == content
    assert list((tmp_path / "cache" / "fetching").iterdir()) == []


async def lease_content(cache: Cache, remote: str) -> bytes:
    async with cache.lease(remote) as leased:
        return leased.path.read_bytes()


async def test_a_cancelled_fetch_leaves_nothing(tmp_path: Path, cache: Cache, awkward_s3: Awkward) -> None:
    awkward, _ = awkward_s3
    awkward.objects["/bucket/x"] = b"x" * 1_000_000
    awkward.stall_after = 10
    task = asyncio.create_task(lease_content(cache, "s3://bucket/x"))
    await asyncio.to_thread(awkward.stalled.wait, 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for name in ("objects", "leases", "fetching"):
        assert list((tmp_path / "cache" / name).rglob("*")) == []
    awkward.resume.set()
    assert await lease_content(cache, "s3://bucket/x") == b"x" * 1_000_000


async def test_nothing_leased_is_evicted(tmp_path: Path, cache: Cache) -> None:
    (tmp_path / "x").write_bytes(b"leased elsewhere")
    (tmp_path / "y").write_bytes(b"leased here")
    (tmp_path / "z").write_bytes(b"free")
    async with cache.lease(url(tmp_path / "z")):
        pass
    with lessee(tmp_path / "cache", url(tmp_path / "x")) as other:
        assert await asyncio.to_thread(says, other) == digest(b"leased elsewhere")
        async with cache.lease(url(tmp_path / "y")) as leased:
            assert await cache.evict(0) == len(b"free")
            assert leased.path.read_bytes() == b"leased here"
            assert len(objects(tmp_path / "cache")) == 2
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert await cache.evict(0) == len(b"leased elsewhere") + len(b"leased here")
    assert objects(tmp_path / "cache") == []
    for name in ("leases", "fetching"):
        assert list((tmp_path / "cache" / name).iterdir()) == []
    assert [path for path in (tmp_path / "cache" / "index").rglob("*") if path.is_file()] == []
    assert await lease_content(cache, url(tmp_path / "z")) == b"free"


async def test_the_longest_unused_goes_first(tmp_path: Path, cache: Cache) -> None:
    for name in "abcd":
        (tmp_path / name).write_bytes(name.encode() * 100)
        await lease_content(cache, url(tmp_path / name))
    await lease_content(cache, url(tmp_path / "a"))
    assert await cache.evict(250) == 200
    assert {path.name for path in objects(tmp_path / "cache")} == {
        digest(name.encode() * 100).removeprefix("sha256:") for name in "ad"
    }
    assert await cache.evict(250) == 0


@pytest.mark.parametrize("damage", [b"", b"contenT", b"content and more"])
async def test_a_damaged_object_is_fetched_again(
    tmp_path: Path, stores: ObjectStores, cache: Cache, damage: bytes
) -> None:
    (tmp_path / "x").write_bytes(b"content")
    assert await lease_content(cache, url(tmp_path / "x")) == b"content"
    [path] = objects(tmp_path / "cache")
    path.chmod(0o644)
    path.write_bytes(damage)
    assert await lease_content(cache, url(tmp_path / "x")) == b"content"
    path.chmod(0o644)
    path.write_bytes(damage)
    another_process = Cache(tmp_path / "cache", stores)
    assert await lease_content(another_process, url(tmp_path / "x")) == b"content"


async def test_torn_index_entries_count_as_none(tmp_path: Path, cache: Cache) -> None:
    (tmp_path / "x").write_bytes(b"content")
    await lease_content(cache, url(tmp_path / "x"))
    [entry] = [path for path in (tmp_path / "cache" / "index").rglob("*") if path.is_file()]
    for torn in (b"", b"sha256:00", b"\xff\x00", entry.read_bytes()[:-1]):
        entry.write_bytes(torn)
        assert await lease_content(cache, url(tmp_path / "x")) == b"content"


async def test_a_tree(tmp_path: Path, cache: Cache) -> None:
    for name in ("a b/x", "y", ".atlas/todo/1/y", "a b/.atlas/z", "same"):
        path = tmp_path / "remote" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"y" if name == "same" else name.encode())
    async with cache.lease_tree(url(tmp_path / "remote", directory=True)) as tree:
        assert {name: one.path.read_bytes() for name, one in tree.files} == {"a b/x": b"a b/x", "y": b"y", "same": b"y"}
        assert await cache.evict(0) == 0
        await place(tree, tmp_path / "work" / "data", within=tmp_path)
        await place(tree, tmp_path / "work" / "linked", within=tmp_path, link=True)
    assert await cache.evict(0) > 0
    for name in ("data", "linked"):
        placed = tmp_path / "work" / name
        assert {str(path.relative_to(placed)) for path in placed.rglob("*")} == {"a b", "a b/x", "y", "same"}
        assert (placed / "a b" / "x").read_bytes() == b"a b/x"
        assert (placed / "y").stat().st_mode & 0o777 == 0o444
    with pytest.raises(RemoteMissing):
        async with cache.lease_tree(url(tmp_path / "nothing", directory=True)):
            pass


async def test_a_tree_is_readable_whatever_the_umask(tmp_path: Path, cache: Cache) -> None:
    """Who reads it in a container is another user than a worker that is root."""
    (tmp_path / "remote" / "a" / "b").mkdir(parents=True)
    (tmp_path / "remote" / "a" / "b" / "x").touch()
    (tmp_path / "work").mkdir()
    before = os.umask(0o077)
    try:
        async with cache.lease_tree(url(tmp_path / "remote", directory=True)) as tree:
            await place(tree, tmp_path / "work" / "data", within=tmp_path)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "work").rglob("*")}
    assert modes == {"data": 0o755, "a": 0o755, "b": 0o755, "x": 0o444}


async def test_many_files_take_few_descriptors(tmp_path: Path, cache: Cache) -> None:
    (tmp_path / "remote").mkdir()
    for number in range(1500):
        (tmp_path / "remote" / f"{number:04}").write_bytes(str(number).encode())
    before = descriptors()
    async with cache.lease_tree(url(tmp_path / "remote", directory=True)) as tree:
        assert len(tree.files) == 1500
        assert descriptors() < before + 50
        assert await cache.evict(0) == 0


async def test_known_content(tmp_path: Path, cache: Cache) -> None:
    (tmp_path / "staged").write_bytes(b"output")
    staged = url(tmp_path / "staged")
    async with cache.lease_digest(staged, digest(b"output"), 6) as leased:
        assert leased.path.read_bytes() == b"output"
    (tmp_path / "staged").write_bytes(b"changed")
    async with cache.lease_digest(staged, digest(b"output")) as leased:
        assert leased.path.read_bytes() == b"output"
    await cache.evict(0)
    with pytest.raises(RemoteMissing, match="no longer holds"):
        async with cache.lease_digest(staged, digest(b"output")):
            pass
    assert objects(tmp_path / "cache") == []


async def test_a_listing(tmp_path: Path, cache: Cache) -> None:
    (tmp_path / "staged" / "d").mkdir(parents=True)
    (tmp_path / "staged" / "d" / "x").write_bytes(b"x")
    (tmp_path / "staged" / "not listed").write_bytes(b"y")
    root = url(tmp_path / "staged", directory=True)
    listing = listings.render([Entry("d/x", digest(b"x"), 1)])
    async with cache.lease_listing(root, listing) as tree:
        assert [name for name, _ in tree.files] == ["d/x"]
    async with cache.lease_listing(root, "[]") as tree:
        assert tree.files == ()
        await place(tree, tmp_path / "empty", within=tmp_path)
        assert list((tmp_path / "empty").iterdir()) == []


async def test_what_changes_all_the_time(tmp_path: Path, cache: Cache, awkward_s3: Awkward) -> None:
    awkward, _ = awkward_s3
    awkward.objects["/bucket/x"] = b"x"
    awkward.restless = True
    with pytest.raises(RemoteUnavailable, match="changed each time"):
        await lease_content(cache, "s3://bucket/x")


async def test_what_is_not_there(tmp_path: Path, cache: Cache) -> None:
    with pytest.raises(RemoteMissing, match="absent"):
        await lease_content(cache, url(tmp_path / "absent"))
    with pytest.raises(InputError, match="is a directory"):
        await lease_content(cache, url(tmp_path, directory=True))
    assert list((tmp_path / "cache" / "leases").iterdir()) == []


async def test_nothing_is_placed_through_a_link(tmp_path: Path, cache: Cache) -> None:
    (tmp_path / "x").write_bytes(b"x")
    (tmp_path / "outside").mkdir()
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "data").symlink_to("../outside")
    (tmp_path / "work" / "taken").write_bytes(b"mine")
    async with cache.lease(url(tmp_path / "x")) as leased:
        for target in ("data/x", "data/deep/x"):
            with pytest.raises(InputError, match="is a symbolic link"):
                await place(leased, tmp_path / "work" / target, within=tmp_path / "work")
        for target in ("data", "taken"):
            with pytest.raises(InputError, match="exists already"):
                await place(leased, tmp_path / "work" / target, within=tmp_path / "work")
        for target in ("../x", "a/../../x"):
            with pytest.raises(InputError):
                await place(leased, tmp_path / "work" / target, within=tmp_path / "work")
    assert list((tmp_path / "outside").iterdir()) == []
    assert (tmp_path / "work" / "taken").read_bytes() == b"mine"


async def test_a_placed_copy_is_private(tmp_path: Path, cache: Cache) -> None:
    (tmp_path / "x").write_bytes(b"content")
    async with cache.lease(url(tmp_path / "x")) as leased:
        await place(leased, tmp_path / "work" / "x", within=tmp_path)
        (tmp_path / "work" / "x").chmod(0o644)
        (tmp_path / "work" / "x").write_bytes(b"overwritten")
        assert leased.path.read_bytes() == b"content"


async def hold(root: Path, remote: str, endpoint: str) -> None:
    stores = stores_for(S3Service(endpoint) if endpoint else None)
    async with Cache(root, stores).lease(remote) as leased:
        sys.stdout.write(f"{leased.digest}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)
    await stores.close()


if __name__ == "__main__":
    asyncio.run(hold(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
