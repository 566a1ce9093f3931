"""``file://`` remotes: a directory tree used as an object store.

An object appears by a rename, after its content is on disk: whoever reads sees the old one or the new one. Its
unfinished form lies beside it under a name that listings leave out, and stays there only when the process is killed.

A URL that a person wrote may lead through symbolic links. A listing follows none that leads out of the listed
directory, and no link to a directory: it stops with `RemoteForbidden`, since leaving out a file without a word would
lose data. Links to files inside are listed as files. FIFOs, sockets and devices are not objects.
"""

from __future__ import annotations

import os
import stat
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TypeVar

from mcp_servers.storage import failures, locations
from mcp_servers.storage.copying import copy_content, opened, version
from mcp_servers.storage.threads import Stop, in_thread
from state.errors import RemoteForbidden, RemoteMissing, RemoteUnavailable
from state.limits import PAGE
from state.ports import ObjectInfo

T = TypeVar("T")

PARTIAL = ".atlas-partial-"
"""How the name of an unfinished object begins."""


class FileStore:
    """`ObjectStore` over ``file://``. The etag is made of inode, times and size."""

    def __init__(self, threads: int = 8) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="atlas-files")

    async def stat(self, url: str) -> ObjectInfo | None:
        """None if there is no regular file, links followed."""
        location = locations.parse(url)
        return None if location.directory else await self._run(lambda stop: _stat(url, location.path))

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """Nothing when the directory does not exist."""
        root = locations.directory_location(prefix)
        entries = _walk(prefix, root.path)
        while page := await self._run(lambda stop: list(islice(entries, PAGE))):
            for info in page:
                yield info

    async def download(self, url: str, path: Path, *, etag: str | None = None) -> ObjectInfo:
        source = locations.object_location(url).path
        return await self._run(lambda stop: _download(url, source, path, etag, stop))

    async def upload(self, path: Path, url: str) -> ObjectInfo:
        target = locations.object_location(url).path
        return await self._run(lambda stop: _store(path, url, target, stop))

    async def copy(self, source: str, target: str) -> ObjectInfo:
        start, end = locations.object_location(source).path, locations.object_location(target).path
        return await self._run(lambda stop: _copy(source, start, target, end, stop))

    async def delete(self, url: str) -> None:
        path = locations.object_location(url).path
        await self._run(lambda stop: _delete(url, path))

    async def close(self) -> None:
        """No call may be under way."""
        self._pool.shutdown(wait=False)

    async def _run(self, work: Callable[[Stop], T]) -> T:
        return await in_thread(work, self._pool)


def _info(url: str, status: os.stat_result) -> ObjectInfo:
    return ObjectInfo(url, status.st_size, version(status))


def _stat(url: str, path: Path) -> ObjectInfo | None:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise failures.from_os(url, "reading", error) from error
    return _info(url, status) if stat.S_ISREG(status.st_mode) else None


def _download(url: str, source: Path, path: Path, etag: str | None, stop: Stop) -> ObjectInfo:
    with failures.told(url, "reading"), opened(source) as content:
        info = _info(url, os.fstat(content))
        if etag is not None and info.etag != etag:
            raise failures.changed(url)
        target = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            copy_content(content, target, stop)
            _check_unchanged(url, info, content)
            stop.check()
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(target)
        return info


def _copy(source: str, start: Path, target: str, end: Path, stop: Stop) -> ObjectInfo:
    if source == target:
        info = _stat(source, start)
        if info is None:
            raise failures.missing(source)
        return info
    if _stat(source, start) is None:
        raise failures.missing(source)
    return _store(start, target, end, stop)


def _store(path: Path, url: str, target: Path, stop: Stop) -> ObjectInfo:
    """Write the file at `path` to `target`, all or nothing, durable before it is visible."""
    with failures.told(f"{path}", "reading"), opened(path) as content, failures.told(url, "writing"):
        before = _info(str(path), os.fstat(content))
        _make_directories(target.parent)
        partial = target.parent / f"{PARTIAL}{uuid.uuid4().hex}"
        written = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            copy_content(content, written, stop)
            _check_unchanged(f"the file for {url}", before, content)
            os.fsync(written)
            stop.check()
            partial.replace(target)
            _sync_directory(target.parent)
            return _info(url, os.fstat(written))
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        finally:
            os.close(written)


def _delete(url: str, path: Path) -> None:
    with failures.told(url, "deleting"):
        try:
            path.unlink()
        except (FileNotFoundError, NotADirectoryError):
            return
        _sync_directory(path.parent)


def _check_unchanged(name: str, before: ObjectInfo, content: int) -> None:
    if version(os.fstat(content)) != before.etag:
        raise RemoteUnavailable(f"{name} changed while it was read", "Let its writer finish, then try again.")


def _make_directories(path: Path) -> None:
    """`mkdir -p`, each new name on disk before something is put below it. Where outputs are staged others may, too, if
    they may where the outputs are put: `/tmp`, or a directory of a team."""
    absent: list[Path] = []
    while not path.is_dir():
        absent.append(path)
        path = path.parent
    for directory in reversed(absent):
        directory.mkdir(exist_ok=True)
        if directory.name == locations.STAGING:
            _let_in_whom(directory.parent, directory)
        _sync_directory(directory.parent)


def _let_in_whom(parent: Path, staging: Path) -> None:
    above, made = parent.stat(), staging.stat()
    allowed = stat.S_IWOTH | stat.S_ISVTX | (stat.S_IWGRP if above.st_gid == made.st_gid else 0)
    with suppress(OSError):  # somebody else has made it meanwhile
        staging.chmod(stat.S_IMODE(made.st_mode | above.st_mode & allowed))


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _walk(prefix: str, directory: Path) -> Iterator[ObjectInfo]:
    """Files below, in URL order: a directory sorts as its name and a slash."""
    root = Path(os.path.realpath(directory))
    waiting = [iter(_entries(prefix, root))]
    while waiting:
        entry = next(waiting[-1], None)
        if entry is None:
            waiting.pop()
        elif entry[1].is_dir(follow_symlinks=False):
            waiting.append(iter(_entries(entry[0] + "/", Path(entry[1].path))))
        elif (info := _listed(*entry, root)) is not None:
            yield info


def _entries(url: str, directory: Path) -> list[tuple[str, os.DirEntry[str]]]:
    """The URLs and entries of one directory; empty if it is gone."""
    try:
        with failures.told(url, "listing"), os.scandir(directory) as found:
            entries = [entry for entry in found if not entry.name.startswith(PARTIAL)]
    except RemoteMissing:
        return []
    entries.sort(key=lambda entry: os.fsencode(entry.name + "/" * entry.is_dir(follow_symlinks=False)))
    return [(url + entry.name, entry) for entry in entries]


def _listed(url: str, entry: os.DirEntry[str], root: Path) -> ObjectInfo | None:
    locations.object_location(url)
    if entry.is_symlink():
        real = Path(os.path.realpath(entry.path))
        if not real.is_relative_to(root) or not real.is_file():
            raise RemoteForbidden(
                f"{url} is a symbolic link that leads out of the directory, to a directory, or nowhere",
                "Put the file itself there, or name its real place as an input of its own.",
            )
    with failures.told(url, "reading"):
        try:
            status = entry.stat()
        except FileNotFoundError:
            return None
    return _info(url, status) if stat.S_ISREG(status.st_mode) else None
