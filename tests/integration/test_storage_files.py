"""A directory as a remote, where it hurts: links, special files, full disks, cancellation, writers at work."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mcp_servers.storage import locations
from mcp_servers.storage.files import PARTIAL, FileStore
from state.errors import InputError, RemoteForbidden, RemoteMissing, RemoteUnavailable

ROOT = os.geteuid() == 0
FULL = 1 << 20


@pytest.fixture
async def files() -> AsyncGenerator[FileStore]:
    store = FileStore()
    yield store
    await store.close()


@contextmanager
def full_disk(path: Path) -> Generator[Path]:
    """A directory with room for `FULL` bytes: a file system of that size, or a limit on files for who can't mount."""
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={FULL}", "tmpfs", str(path)]
    if ROOT and subprocess.run(mount, check=False, capture_output=True).returncode == 0:
        try:
            yield path
        finally:
            subprocess.run(["umount", str(path)], check=True)
        return
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FULL, before[1]))
    try:
        yield path
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def url(path: Path, *, directory: bool = False) -> str:
    return locations.from_path(path, directory=directory)


def listed(path: Path) -> list[str]:
    return sorted(str(below.relative_to(path)) for below in path.rglob("*"))


async def test_a_full_disk(tmp_path: Path, files: FileStore) -> None:
    (tmp_path / "large").write_bytes(b"x" * (2 * FULL))
    with full_disk(tmp_path / "full") as full:
        with pytest.raises(RemoteUnavailable, match=r"writing file://.*/large: no space left") as failure:
            await files.upload(tmp_path / "large", url(full / "large"))
        assert "Make room" in failure.value.hint
        assert listed(full) == []
        with pytest.raises(RemoteUnavailable, match="no space left"):
            await files.download(url(tmp_path / "large"), full / "got")
        assert listed(full) == []


@pytest.mark.skipif(ROOT, reason="root may read everything")
async def test_what_must_not_be_read(tmp_path: Path, files: FileStore) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    (tmp_path / "secret").chmod(0)
    with pytest.raises(RemoteForbidden, match="secret"):
        await files.download(url(tmp_path / "secret"), tmp_path / "got")


async def test_a_listing_does_not_leave_the_directory(tmp_path: Path, files: FileStore) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"secret")
    for number, target in enumerate(["../outside/secret", "../outside", "/etc/passwd", "nowhere", "."]):
        directory = tmp_path / f"d{number}"
        directory.mkdir()
        (directory / "link").symlink_to(target)
        with pytest.raises(RemoteForbidden, match="link is a symbolic link"):
            _ = [info async for info in files.list(url(directory, directory=True))]


async def test_links_inside_are_files(tmp_path: Path, files: FileStore) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "x").write_bytes(b"content")
    (tmp_path / "d" / "same").symlink_to("x")
    (tmp_path / "way").symlink_to("d")
    prefix = url(tmp_path / "way", directory=True)
    found = {info.url: info.size async for info in files.list(prefix)}
    assert found == {f"{prefix}same": 7, f"{prefix}x": 7}
    await files.download(f"{prefix}same", tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == b"content"


async def test_an_upload_replaces_a_link_and_not_what_it_leads_to(tmp_path: Path, files: FileStore) -> None:
    (tmp_path / "x").write_bytes(b"new")
    (tmp_path / "kept").write_bytes(b"kept")
    (tmp_path / "link").symlink_to("kept")
    await files.upload(tmp_path / "x", url(tmp_path / "link"))
    assert (tmp_path / "kept").read_bytes() == b"kept"
    assert (tmp_path / "link").read_bytes() == b"new"
    assert not (tmp_path / "link").is_symlink()


async def test_special_files_are_no_objects(tmp_path: Path, files: FileStore) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert [info async for info in files.list(url(tmp_path, directory=True))] == []
    assert await files.stat(url(tmp_path / "fifo")) is None
    for attempt in (
        files.download(url(tmp_path / "fifo"), tmp_path / "got"),
        files.upload(tmp_path / "fifo", url(tmp_path / "x")),
    ):
        with pytest.raises(RemoteUnavailable, match="not a regular file"):
            await attempt
    assert listed(tmp_path) == ["fifo"]


async def test_a_file_is_no_directory(tmp_path: Path, files: FileStore) -> None:
    (tmp_path / "x").write_bytes(b"x")
    assert await files.stat(url(tmp_path / "x" / "y")) is None
    assert [info async for info in files.list(url(tmp_path / "x", directory=True))] == []
    with pytest.raises((RemoteMissing, InputError)):
        await files.upload(tmp_path / "x", url(tmp_path / "x" / "y"))
    with pytest.raises(InputError, match="too long"):
        await files.upload(tmp_path / "x", url(tmp_path / ("n" * 300)))
    (tmp_path / "d").mkdir()
    with pytest.raises(RemoteMissing, match="is a directory"):
        await files.upload(tmp_path / "x", url(tmp_path / "d"))
    assert listed(tmp_path) == ["d", "x"]


async def test_names_that_no_url_has(tmp_path: Path, files: FileStore) -> None:
    for name in (b"a\nb", b"\xff"):
        directory = tmp_path / name.hex()
        directory.mkdir()
        (directory / os.fsdecode(name)).write_bytes(b"x")
        with pytest.raises(InputError) as refusal:
            _ = [info async for info in files.list(url(directory, directory=True))]
        assert refusal.value.message.isprintable()


async def test_the_etag_sees_a_rewrite_with_size_and_time_restored(tmp_path: Path, files: FileStore) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"one")
    before, times = await files.stat(url(path)), path.stat()
    with path.open("r+b") as file:
        file.write(b"two")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    after = await files.stat(url(path))
    assert before is not None
    assert after is not None
    assert before.etag != after.etag


async def test_readers_see_the_old_or_the_new(tmp_path: Path, files: FileStore) -> None:
    contents = [bytes([number]) * 300_000 for number in range(4)]
    for number, content in enumerate(contents):
        (tmp_path / str(number)).write_bytes(content)
    target = url(tmp_path / "remote" / "x")
    await files.upload(tmp_path / "0", target)

    async def write() -> None:
        for number in range(40):
            await files.upload(tmp_path / str(number % 4), target)

    async def read(name: str) -> None:
        path = tmp_path / name
        while not writing.done():
            try:
                await files.download(target, path)
            except RemoteUnavailable:
                continue  # replaced while it was read: its ctime moved
            assert path.read_bytes() in contents
            path.unlink()
            assert [info.url async for info in files.list(url(tmp_path / "remote", directory=True))] == [target]

    writing = asyncio.create_task(write())
    await asyncio.gather(writing, read("a"), read("b"))


async def test_a_cancelled_transfer_leaves_nothing(tmp_path: Path, files: FileStore) -> None:
    (tmp_path / "large").write_bytes(os.urandom(1 << 20) * 400)
    (tmp_path / "remote").mkdir()
    for transfer in (
        files.upload(tmp_path / "large", url(tmp_path / "remote" / "x")),
        files.download(url(tmp_path / "large"), tmp_path / "remote" / "got"),
    ):
        task = asyncio.create_task(transfer)
        async with asyncio.timeout(60):
            while True:
                if listed(tmp_path / "remote") or task.done():
                    break
                await asyncio.sleep(0)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert listed(tmp_path / "remote") == []


def test_a_killed_upload_shows_nothing(tmp_path: Path) -> None:
    (tmp_path / "remote").mkdir()
    with (tmp_path / "large").open("wb") as file:
        file.write(os.urandom(1 << 20) * 300)
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, str(tmp_path / "large"), url(tmp_path / "remote" / "x")]
    )
    while not listed(tmp_path / "remote"):
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert all(name.startswith(PARTIAL) for name in listed(tmp_path / "remote"))

    async def look() -> list[str]:
        store = FileStore()
        try:
            return [info.url async for info in store.list(url(tmp_path / "remote", directory=True))]
        finally:
            await store.close()

    assert asyncio.run(look()) == []


if __name__ == "__main__":
    asyncio.run(FileStore().upload(Path(sys.argv[1]), sys.argv[2]))
