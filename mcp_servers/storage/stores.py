"""All remote locations behind one object: each URL goes to the store of its scheme."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from mcp_servers.storage import locations
from mcp_servers.storage.files import FileStore
from mcp_servers.storage.s3 import S3Store
from mcp_servers.storage.s3_calls import S3Settings
from state.ports import ObjectInfo, ObjectStore


class ObjectStores:
    """`ObjectStore` for every scheme. `copy` also goes from one scheme to another, through a file in `scratch`."""

    def __init__(self, s3: S3Settings | None = None, *, scratch: Path | None = None) -> None:
        self._files = FileStore()
        self._s3 = S3Store(s3)
        self._scratch = scratch

    def of(self, url: str) -> ObjectStore:
        """The store that has this URL; `InputError` if it is not one."""
        return self._files if locations.parse(url).scheme == "file" else self._s3

    async def stat(self, url: str) -> ObjectInfo | None:
        return await self.of(url).stat(url)

    def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        return self.of(prefix).list(prefix)

    async def download(self, url: str, path: Path, *, etag: str | None = None) -> ObjectInfo:
        return await self.of(url).download(url, path, etag=etag)

    async def upload(self, path: Path, url: str) -> ObjectInfo:
        return await self.of(url).upload(path, url)

    async def copy(self, source: str, target: str) -> ObjectInfo:
        start, end = self.of(source), self.of(target)
        if start is end:
            return await start.copy(source, target)
        with tempfile.TemporaryDirectory(prefix="atlas-copy-", dir=self._scratch) as directory:
            path = Path(directory) / "content"
            await start.download(source, path)
            return await end.upload(path, target)

    async def delete(self, url: str) -> None:
        await self.of(url).delete(url)

    async def close(self) -> None:
        """No call may be under way."""
        await self._files.close()
        await self._s3.close()
