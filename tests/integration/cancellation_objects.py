"""The S3 server's part of the cancellation matrix: an endpoint over HTTP that never answers some requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

from mcp_servers.manners import Policy
from mcp_servers.storage.s3 import PART, S3Store
from mcp_servers.storage.s3_calls import S3Settings
from mcp_servers.storage.s3_reach import Reach
from mcp_servers.storage.server import s3_server
from tests.integration.cancellation_calls import Area, Call, environment, served
from tests.services.s3 import S3Service, new_bucket
from tests.services.stalling_proxy import StallingProxy, stalling_proxy

if TYPE_CHECKING:
    from mcp.server import MCPServer
    from mypy_boto3_s3 import S3Client


@contextmanager
def s3_area(base: Path, service: S3Service) -> Generator[Area]:
    """The server reaches its endpoint through the proxy; the test looks behind it."""
    root, home = base / "root", base / "home"
    root.mkdir()
    with (root / "large").open("wb") as large:
        large.truncate(PART + 1)
    with new_bucket(service) as bucket, stalling_proxy(urlsplit(service.endpoint).port or 80) as proxy:
        client, name = service.client(), bucket.name
        for key in ("stalls-get", "stalls-down"):
            client.put_object(Bucket=name, Key=key, Body=b"x" * 1000)
        arguments = ["s3", "--allow", f"s3://{name}", "--root", str(root)]
        variables = environment(
            home, ATLAS_S3_ENDPOINT=proxy.endpoint, AWS_ACCESS_KEY_ID=service.access_key,
            AWS_SECRET_ACCESS_KEY=service.secret_key, AWS_DEFAULT_REGION=service.region,
        )  # fmt: skip

        @asynccontextmanager
        async def memory() -> AsyncGenerator[MCPServer[Any]]:
            store = S3Store(S3Settings(proxy.endpoint, service.region, service.access_key, service.secret_key))
            try:
                yield s3_server(Reach.of([f"s3://{name}"]), store, Policy(), roots=[root])
            finally:
                await store.close()

        @asynccontextmanager
        async def calls() -> AsyncGenerator[list[Call]]:
            yield _calls(name, root, proxy, client)

        with served(arguments, variables, base / "log") as url:
            yield Area(arguments=arguments, environment=variables, url=url, memory=memory, calls=calls, seconds=2.0)
        client.close()


def _calls(bucket: str, root: Path, proxy: StallingProxy, client: S3Client) -> list[Call]:
    top, got = f"s3://{bucket}", root / uuid4().hex
    head = ("s3_head_object", {"url": f"{top}/stalls-get"})
    upload = {"path": str(root / "large"), "url": f"{top}/stalls-up"}

    async def uploaded() -> bool:
        found = await asyncio.to_thread(lambda: client.list_multipart_uploads(Bucket=bucket))
        return any(each.get("Key") == "stalls-up" for each in found.get("Uploads", []))

    async def downloaded() -> bool:
        return got.exists()

    def traces(name: str, **more: Callable[[], Awaitable[bool]]) -> Callable[[], Awaitable[set[str]]]:
        async def seen() -> set[str]:
            found = {what for what, there in more.items() if await there()}
            return found | ({"request"} if proxy.stalled(name) else set())

        return seen

    request = frozenset({"request"})
    return [
        Call("s3_list_objects", {"prefix": f"{top}/stalls-list"}, request, traces("stalls-list"), head),
        Call("s3_get_object", {"url": f"{top}/stalls-get"}, request, traces("stalls-get"), head),
        Call("s3_upload_file", upload, request | {"upload"}, traces("stalls-up", upload=uploaded), head),
        Call(
            "s3_download_file", {"url": f"{top}/stalls-down", "path": str(got)}, request | {"file"},
            traces("stalls-down", file=downloaded), head,
        ),
    ]  # fmt: skip
