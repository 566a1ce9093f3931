"""The artifact store: content-addressed files, and logs that grow by chunks, over any `ObjectStore`.

Below `root`: ``sha256/<two digits>/<hex>`` are files, ``logs/<name>/<offset, 20 digits>`` are chunks. A log has one
writer, the attempt that it is named after; writing a chunk again at its offset replaces it.
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from mcp_servers.storage import failures, listings, locations
from mcp_servers.storage.copying import digest_file
from mcp_servers.storage.threads import Stop, in_thread
from state.errors import InputError, RemoteDamaged, RemoteUnavailable
from state.ports import Artifact, ObjectInfo, ObjectStore


class Artifacts:
    """`ArtifactStore` below the directory URL `root`. Small temporary files go to `scratch`."""

    def __init__(self, objects: ObjectStore, root: str, *, scratch: Path | None = None) -> None:
        self._objects = objects
        self._root = locations.directory_location(root).url
        self._scratch = scratch

    async def put(self, path: Path) -> Artifact:
        """Upload a file, unless its content is there already."""
        digest, size = await in_thread(lambda stop: _measure(path, stop))
        url = self._url(digest)
        there = await self._objects.stat(url)
        if there is None or there.size != size:
            there = await self._objects.upload(path, url)
        if there.size != size:
            raise RemoteUnavailable(f"{path} changed while it was stored", "Let its writer finish, then try again.")
        return Artifact(digest, url, size)

    async def fetch(self, digest: str, path: Path) -> None:
        """`path` appears when the digest is checked; what was there is replaced."""
        url = self._url(digest)
        partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            await self._objects.download(url, partial)
            found, _ = await in_thread(lambda stop: _measure(partial, stop))
            if found != digest:
                raise RemoteDamaged(f"{url} is damaged: its digest is {found}", "Delete it and make it again.")
            await in_thread(lambda stop: _move(partial, path))
        finally:
            partial.unlink(missing_ok=True)

    async def append(self, log: str, offset: int, data: bytes) -> None:
        """Nothing for no data."""
        if offset < 0:
            raise InputError(f"a log has no offset {offset}", "Offsets count bytes from 0.")
        if not data:
            return
        with self._temporary() as path:
            await in_thread(lambda stop: path.write_bytes(data))
            await self._objects.upload(path, locations.join(self._log(log), f"{offset:020}"))

    async def read(self, log: str, offset: int, limit: int) -> bytes:
        """Stops at a gap: what comes after it is not known to belong there yet."""
        parts: list[bytes] = []
        at, left = offset, limit
        for start, chunk in await self._chunks(log):
            if start > at or left <= 0:
                break
            if start + chunk.size > at:
                content = (await self._content(chunk))[at - start :][:left]
                parts.append(content)
                at, left = at + len(content), left - len(content)
        return b"".join(parts)

    async def _chunks(self, log: str) -> list[tuple[int, ObjectInfo]]:
        """Offsets and chunks, in order."""
        directory = self._log(log)
        found: list[tuple[int, ObjectInfo]] = []
        async for info in self._objects.list(directory):
            name = info.url[len(directory) :]
            if len(name) == 20 and name.isdecimal():
                found.append((int(name), info))
        return found

    async def _content(self, chunk: ObjectInfo) -> bytes:
        with self._temporary() as path:
            await self._objects.download(chunk.url, path)
            return await in_thread(lambda stop: path.read_bytes())

    @contextmanager
    def _temporary(self) -> Generator[Path]:
        with tempfile.TemporaryDirectory(prefix="atlas-log-", dir=self._scratch) as directory:
            yield Path(directory) / "chunk"

    def _url(self, digest: str) -> str:
        name = listings.check_digest(digest).removeprefix("sha256:")
        return locations.join(self._root, f"sha256/{name[:2]}/{name}")

    def _log(self, name: str) -> str:
        return locations.join(self._root, f"logs/{name.rstrip('/')}/")


def _measure(path: Path, stop: Stop) -> tuple[str, int]:
    with failures.told(str(path), "reading"):
        return digest_file(path, stop)


def _move(partial: Path, path: Path) -> None:
    with failures.told(str(path), "writing"):
        partial.replace(path)
