"""The S3 MCP server, talked to by a client, over a real S3 endpoint."""

from __future__ import annotations

import base64
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mcp_servers.local_roots import LocalRoots
from mcp_servers.manners import Policy
from mcp_servers.storage.s3_tools import PUT_BYTES
from state.errors import SettingsError
from state.limits import TOOL_RESULT_BYTES
from tests.services.s3 import Bucket, S3Service
from tests.services.s3_tools import talking

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.s3

READERS = {"s3_list_buckets", "s3_list_objects", "s3_head_object", "s3_get_object"}
WRITERS = {"s3_put_object", "s3_copy_object", "s3_presign"}
FILES = {"s3_upload_file", "s3_download_file"}


def keep(bucket: Bucket, *keys: str, body: bytes = b"x") -> None:
    """Put objects there, behind the server's back."""
    client = bucket.service.client()
    with ThreadPoolExecutor(8) as pool:
        for each in [pool.submit(client.put_object, Bucket=bucket.name, Key=key, Body=body) for key in keys]:
            each.result()
    client.close()


def look(bucket: Bucket, what: Callable[[S3Client], bool]) -> bool:
    client = bucket.service.client()
    try:
        return what(client)
    finally:
        client.close()


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_walk_through_all_tools(tmp_path: Path, s3_bucket: Bucket, mode: str) -> None:
    name, root = s3_bucket.name, f"s3://{s3_bucket.name}/"
    async with talking(s3_bucket.service, root, roots=[tmp_path], mode=mode) as s3:
        assert await s3.names() == READERS | WRITERS | FILES | {"s3_delete_objects"}
        buckets = await s3.ask("s3_list_buckets")
        assert buckets["buckets"] == [{"name": name, "allowed": [root], "readable": True}]

        put = await s3.ask("s3_put_object", url=f"{root}a/x.txt", content="grüße\n")
        assert put == {"url": f"{root}a/x.txt", "size": 8, "etag": put["etag"]}
        head = await s3.ask("s3_head_object", url=f"{root}a/x.txt")
        assert (head["size"], head["etag"], head["content_type"]) == (8, put["etag"], "text/plain")
        assert datetime.fromisoformat(head["modified"]).tzinfo
        got = await s3.ask("s3_get_object", url=f"{root}a/x.txt")
        assert (got["content"], got["encoding"], got["start"], got["end"]) == ("grüße\n", "text", 0, 8)
        assert (got["size"], got["etag"], got["next_cursor"], got["note"]) == (8, put["etag"], None, None)

        copy = await s3.ask("s3_copy_object", source=f"{root}a/x.txt", target=f"{root}b/y.txt")
        assert copy == {"url": f"{root}b/y.txt", "size": 8, "etag": put["etag"]}
        fetched = await s3.ask("s3_download_file", url=f"{root}b/y.txt", path=f"{tmp_path}/y.txt")
        assert fetched == {"url": f"{root}b/y.txt", "path": f"{tmp_path}/y.txt", "size": 8, "etag": put["etag"]}
        assert (tmp_path / "y.txt").read_text() == "grüße\n"
        sent = await s3.ask("s3_upload_file", path=f"{tmp_path}/y.txt", url=f"{root}c.json")
        assert sent["size"] == 8
        assert (await s3.ask("s3_head_object", url=f"{root}c.json"))["content_type"] == "application/json"

        listing = await s3.ask("s3_list_objects", prefix=root)
        assert [each["url"].removeprefix(root) for each in listing["objects"]] == ["a/x.txt", "b/y.txt", "c.json"]
        folded = await s3.ask("s3_list_objects", prefix=root, delimiter="/")
        assert ([each["url"] for each in folded["objects"]], folded["prefixes"]) == (
            [f"{root}c.json"],
            [f"{root}a/", f"{root}b/"],
        )
        gone = await s3.ask("s3_delete_objects", urls=[f"{root}a/x.txt", f"{root}c.json", f"{root}never-there"])
        assert gone == {"deleted": 3, "failed": []}
        left = await s3.ask("s3_list_objects", prefix=root)
        assert [each["url"] for each in left["objects"]] == [f"{root}b/y.txt"]
        assert "does not exist" in await s3.refused("s3_get_object", url=f"{root}a/x.txt")


@pytest.mark.parametrize(
    ("policy", "roots", "offered"),
    [
        (Policy(read_only=True, allow_destructive=True), True, READERS),
        (Policy(), True, READERS | WRITERS | FILES),
        (Policy(), False, READERS | WRITERS),
        (Policy(allow_destructive=True), False, READERS | WRITERS | {"s3_delete_objects"}),
    ],
)
async def test_the_policy_decides_what_there_is(tmp_path: Path, policy: Policy, roots: bool, offered: set[str]) -> None:
    service = S3Service("http://127.0.0.1:9")
    async with talking(service, "s3://b", policy=policy, roots=[tmp_path] if roots else []) as s3:
        tools = {tool.name: tool for tool in (await s3.client.list_tools()).tools}
        assert set(tools) == offered
        for name, tool in tools.items():
            hints = tool.annotations
            assert hints is not None
            assert hints.read_only_hint == (name in READERS)
            replacing = ("s3_put_object", "s3_copy_object", "s3_upload_file", "s3_delete_objects")
            assert hints.destructive_hint == (name in replacing)
            assert hints.open_world_hint is True
            assert tool.output_schema is not None
            undescribed = [key for key, each in tool.input_schema["properties"].items() if "description" not in each]
            assert undescribed == []
        for name in (READERS | WRITERS | FILES | {"s3_delete_objects"}) - offered:
            assert name in await s3.refused(name)


async def test_bytes_and_text(s3_bucket: Bucket) -> None:
    url = f"s3://{s3_bucket.name}/x"
    data = bytes(range(256)) * 10
    async with talking(s3_bucket.service, f"s3://{s3_bucket.name}") as s3:
        put = await s3.ask("s3_put_object", url=url, content=base64.b64encode(data).decode(), encoding="base64")
        got = await s3.ask("s3_get_object", url=url)
        assert got["encoding"] == "base64"
        assert base64.b64decode(got["content"]) == data
        assert (got["content_type"], got["size"]) == ("application/octet-stream", put["size"])
        shown = await s3.ask("s3_get_object", url=url, encoding="text")
        assert "\ufffd" in shown["content"]
        assert "not UTF-8" in shown["note"]

        await s3.ask("s3_put_object", url=url, content='{"a": [1, "ü"]}', content_type="application/x-own")
        got = await s3.ask("s3_get_object", url=url)
        assert (got["content"], got["content_type"]) == ('{"a": [1, "ü"]}', "application/x-own")
        assert (await s3.ask("s3_get_object", url=url, encoding="base64"))["encoding"] == "base64"

        await s3.ask("s3_put_object", url=url, content="")
        got = await s3.ask("s3_get_object", url=url)
        assert (got["content"], got["size"], got["next_cursor"]) == ("", 0, None)

        assert "not base64" in await s3.refused("s3_put_object", url=url, content="%%%", encoding="base64")
        too_much = await s3.refused("s3_put_object", url=url, content="x" * (PUT_BYTES + 1))
        assert f"{PUT_BYTES:,}" in too_much


@pytest.mark.parametrize("binary", [False, True])
async def test_a_large_object_in_pages(s3_bucket: Bucket, binary: bool) -> None:
    data = bytes(range(256)) * 480 if binary else ("täglich grüßt\n" * 7_500).encode()
    keep(s3_bucket, "large", body=data)
    url = f"s3://{s3_bucket.name}/large"
    async with talking(s3_bucket.service, f"s3://{s3_bucket.name}") as s3:
        read, cursor, pages = b"", None, 0
        while cursor or not pages:
            page = await s3.ask("s3_get_object", url=url, cursor=cursor)
            assert len(page["content"]) <= TOOL_RESULT_BYTES
            assert (page["start"], page["size"]) == (len(read), len(data))
            read += base64.b64decode(page["content"]) if binary else page["content"].encode()
            assert page["end"] == len(read)
            cursor, pages = page["next_cursor"], pages + 1
        assert read == data
        assert pages == (4 if binary else 3)

        first = await s3.ask("s3_get_object", url=url)
        keep(s3_bucket, "large", body=data[::-1])
        changed = await s3.refused("s3_get_object", url=url, cursor=first["next_cursor"])
        assert "changed after the page that gave this cursor" in changed
        for wrong in ("nonsense", "5", "99-", '0-a"b', f"{first['next_cursor']}\n"):
            assert "not a cursor" in await s3.refused("s3_get_object", url=url, cursor=wrong)


async def test_text_is_not_cut_within_a_character(s3_bucket: Bucket) -> None:
    data = ("x" + "ü€😀" * 12_000).encode()
    keep(s3_bucket, "one line", body=data)
    url = f"s3://{s3_bucket.name}/one line"
    async with talking(s3_bucket.service, f"s3://{s3_bucket.name}") as s3:
        first = await s3.ask("s3_get_object", url=url)
        assert first["encoding"] == "text"
        rest = await s3.ask("s3_get_object", url=url, cursor=first["next_cursor"])
        last = await s3.ask("s3_get_object", url=url, cursor=rest["next_cursor"])
        assert (first["content"] + rest["content"] + last["content"]).encode() == data


async def test_ranges(s3_bucket: Bucket) -> None:
    data = b"".join(b"%09d\n" % number for number in range(20_000))
    keep(s3_bucket, "x", body=data)
    keep(s3_bucket, "empty", body=b"")
    url = f"s3://{s3_bucket.name}/x"
    async with talking(s3_bucket.service, f"s3://{s3_bucket.name}") as s3:
        got = await s3.ask("s3_get_object", url=url, offset=100, length=20)
        assert (got["content"], got["start"], got["end"]) == ("000000010\n000000011\n", 100, 120)
        assert (got["next_cursor"], got["size"]) == (None, 200_000)
        tail = await s3.ask("s3_get_object", url=url, offset=199_990, length=500)
        assert (tail["content"], tail["next_cursor"]) == ("000019999\n", None)

        part = {"url": url, "offset": 10, "length": 60_000}
        first = await s3.ask("s3_get_object", **part)
        second = await s3.ask("s3_get_object", **part, cursor=first["next_cursor"])
        assert first["content"] + second["content"] == data[10:60_010].decode()
        assert second["next_cursor"] is None
        assert "not a cursor" in await s3.refused("s3_get_object", url=url, length=10, cursor=first["next_cursor"])

        assert "there is none at offset" in await s3.refused("s3_get_object", url=url, offset=200_000)
        assert "there is none at offset" in await s3.refused(
            "s3_get_object", url=f"s3://{s3_bucket.name}/empty", offset=1
        )


async def test_three_thousand_keys(s3_bucket: Bucket) -> None:
    keys = [f"many/{number // 100:02d}/{number:04d}-{'n' * 60}" for number in range(3_000)]
    keep(s3_bucket, *keys)
    root = f"s3://{s3_bucket.name}/"
    async with talking(s3_bucket.service, root) as s3:
        found: list[str] = []
        cursor, pages = None, 0
        while cursor or not pages:
            page = await s3.ask("s3_list_objects", prefix=f"{root}many/", cursor=cursor, limit=1_000)
            assert len(s3.answers[-1]) < 1.5 * TOOL_RESULT_BYTES
            found += [each["url"].removeprefix(root) for each in page["objects"]]
            cursor, pages = page["next_cursor"], pages + 1
        assert found == keys
        assert 10 <= pages <= 30
        folded = await s3.ask("s3_list_objects", prefix=f"{root}many/", delimiter="/", limit=20)
        assert len(folded["prefixes"]) == 20
        rest = await s3.ask(
            "s3_list_objects", prefix=f"{root}many/", delimiter="/", limit=20, cursor=folded["next_cursor"]
        )
        assert len(folded["prefixes"] + rest["prefixes"]) == 30
        assert rest["next_cursor"] is None
        part = await s3.ask("s3_list_objects", prefix=f"{root}many/07/070")
        assert len(part["objects"]) == 10
        for start in range(0, 3_000, 1_000):
            urls = [root + key for key in keys[start : start + 1_000]]
            assert (await s3.ask("s3_delete_objects", urls=urls))["deleted"] == 1_000


@pytest.mark.parametrize(
    "key", ["日本語/ключ.txt", "a b+c%20&d?e#f=1", "emoji 😀", "trailing. ", "%2e%2e/x", "e\u0301"]
)
async def test_names_are_literal(s3_bucket: Bucket, tmp_path: Path, key: str) -> None:
    url = f"s3://{s3_bucket.name}/{key}"
    async with talking(s3_bucket.service, f"s3://{s3_bucket.name}", roots=[tmp_path]) as s3:
        await s3.ask("s3_put_object", url=url, content=key)
        assert look(s3_bucket, lambda client: bool(client.head_object(Bucket=s3_bucket.name, Key=key)))
        assert [each["url"] for each in (await s3.ask("s3_list_objects", prefix=url))["objects"]] == [url]
        assert (await s3.ask("s3_get_object", url=url))["content"] == key
        await s3.ask("s3_copy_object", source=url, target=f"{url}.copy")
        await s3.ask("s3_download_file", url=f"{url}.copy", path=f"{tmp_path}/日 本")
        assert (tmp_path / "日 本").read_text() == key
        signed = await s3.ask("s3_presign", url=url)
        assert fetch(signed["url"]) == key.encode()
        assert (await s3.ask("s3_delete_objects", urls=[url, f"{url}.copy"]))["deleted"] == 2


async def test_conditions(s3_bucket: Bucket, tmp_path: Path) -> None:
    url = f"s3://{s3_bucket.name}/x"
    (tmp_path / "x").write_text("file")
    async with talking(s3_bucket.service, f"s3://{s3_bucket.name}", roots=[tmp_path]) as s3:
        first = await s3.ask("s3_put_object", url=url, content="1", if_none_match=True)
        again = await s3.refused("s3_put_object", url=url, content="2", if_none_match=True)
        assert "exists already; nothing was written" in again
        second = await s3.ask("s3_put_object", url=url, content="3", if_match=f'"{first["etag"]}"')
        stale = await s3.refused("s3_put_object", url=url, content="4", if_match=first["etag"])
        assert "no longer the version" in stale
        assert (await s3.ask("s3_get_object", url=url))["content"] == "3"

        file = {"path": f"{tmp_path}/x", "url": url}
        assert "exists already" in await s3.refused("s3_upload_file", **file, if_none_match=True)
        assert "no longer the version" in await s3.refused("s3_upload_file", **file, if_match=first["etag"])
        await s3.ask("s3_upload_file", **file, if_match=second["etag"])
        both = await s3.refused("s3_upload_file", **file, if_match=second["etag"], if_none_match=True)
        assert "exclude each other" in both


async def test_nothing_outside_the_prefix(s3_bucket: Bucket, tmp_path: Path) -> None:
    root = f"s3://{s3_bucket.name}/"
    keep(s3_bucket, "team/in", "teammate/out", "out")
    (tmp_path / "x").write_text("x")
    async with talking(s3_bucket.service, f"{root}team", roots=[tmp_path]) as s3:
        inside = f"{root}team/in"
        outside = (f"{root}teammate/out", f"{root}out", f"s3://other-{s3_bucket.name}/team/in", f"{root}Team/in")
        for url in outside:
            for tool, arguments in (
                ("s3_head_object", {"url": url}),
                ("s3_get_object", {"url": url}),
                ("s3_put_object", {"url": url, "content": "x"}),
                ("s3_copy_object", {"source": url, "target": inside}),
                ("s3_copy_object", {"source": inside, "target": url}),
                ("s3_presign", {"url": url}),
                ("s3_presign", {"url": url, "method": "PUT"}),
                ("s3_delete_objects", {"urls": [inside, url]}),
                ("s3_upload_file", {"path": f"{tmp_path}/x", "url": url}),
                ("s3_download_file", {"url": url, "path": f"{tmp_path}/got"}),
                ("s3_list_objects", {"prefix": url}),
            ):
                answer = await s3.refused(tool, **arguments)
                assert "outside what the operator allows" in answer, (tool, answer)
                assert f"{root}team" in answer
        for prefix in (root, f"{root}te", f"{root}team", f"{root}teammate/"):
            assert f"below: {root}team" in await s3.refused("s3_list_objects", prefix=prefix)
        for url in (f"{root}team/../out", f"{root}team//in", f"{root}team/./in", f"{root}team/\x00"):
            for tool in ("s3_get_object", "s3_presign", "s3_head_object"):
                answer = await s3.refused(tool, url=url)
                assert "segment" in answer or "control character" in answer
        for directory in (f"{root}team/", f"{root}team/in/"):
            assert "is a directory" in await s3.refused("s3_presign", url=directory, method="PUT")
        assert (await s3.ask("s3_get_object", url=inside))["content"] == "x"
        listing = await s3.ask("s3_list_objects", prefix=f"{root}team/")
        assert [each["url"] for each in listing["objects"]] == [inside]
    assert not (tmp_path / "got").exists()


async def test_keys_that_no_url_means_are_counted(s3_bucket: Bucket) -> None:
    keep(s3_bucket, "d/../x", "d//y", "d/ok")
    keep(s3_bucket, "d/marker/", body=b"")
    async with talking(s3_bucket.service, f"s3://{s3_bucket.name}/d") as s3:
        listing = await s3.ask("s3_list_objects", prefix=f"s3://{s3_bucket.name}/d/")
        assert [each["url"] for each in listing["objects"]] == [f"s3://{s3_bucket.name}/d/ok"]
        assert "3 keys are left out" in listing["note"]


async def test_buckets_that_are_not_there(s3_bucket: Bucket) -> None:
    absent = f"absent-{s3_bucket.name}"[:60]
    async with talking(s3_bucket.service, f"s3://{s3_bucket.name}/a", f"s3://{absent}/b") as s3:
        found = await s3.ask("s3_list_buckets")
        assert [each["name"] for each in found["buckets"]] == [s3_bucket.name]
        assert absent in found["note"]
        for tool, arguments in (
            ("s3_list_objects", {"prefix": f"s3://{absent}/b/"}),
            ("s3_get_object", {"url": f"s3://{absent}/b/x"}),
            ("s3_put_object", {"url": f"s3://{absent}/b/x", "content": ""}),
            ("s3_copy_object", {"source": f"s3://{s3_bucket.name}/a/x", "target": f"s3://{absent}/b/x"}),
        ):
            answer = await s3.refused(tool, **arguments)
            assert "no such bucket" in answer or "does not exist" in answer


def fetch(url: str, data: bytes | None = None) -> bytes:
    method, headers = ("GET", {}) if data is None else ("PUT", {"Content-Type": "application/octet-stream"})
    request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        return answer.read()


async def test_presigned_urls(s3_bucket: Bucket) -> None:
    root = f"s3://{s3_bucket.name}/"
    keep(s3_bucket, "x", body=b"secret")
    async with talking(s3_bucket.service, root) as s3:
        before = datetime.now(UTC)
        read = await s3.ask("s3_presign", url=f"{root}x")
        assert fetch(read["url"]) == b"secret"
        assert timedelta(seconds=895) < datetime.fromisoformat(read["expires_at"]) - before < timedelta(seconds=960)
        assert "X-Amz-Expires=900" in read["url"]
        assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in read["url"]
        write = await s3.ask("s3_presign", url=f"{root}new", method="PUT", seconds=60)
        assert write["url"].split("?")[0] == f"{s3_bucket.service.endpoint}/{s3_bucket.name}/new"
        fetch(write["url"], b"written")
        assert (await s3.ask("s3_get_object", url=f"{root}new"))["content"] == "written"
        assert "may live 3,600 s here" in await s3.refused("s3_presign", url=f"{root}x", seconds=3_601)
        assert "`seconds`" in await s3.refused("s3_presign", url=f"{root}x", seconds=700_000)
    async with talking(s3_bucket.service, root, presign_seconds=7_200) as s3:
        await s3.ask("s3_presign", url=f"{root}x", seconds=7_200)


async def test_many_deletions_and_one_that_fails(s3_bucket: Bucket) -> None:
    root = f"s3://{s3_bucket.name}/"
    keys = [f"d/{number}" for number in range(60)]
    keep(s3_bucket, *keys, "kept")
    absent = f"s3://absent-{s3_bucket.name}"[:60]
    async with talking(s3_bucket.service, f"{root}d", absent) as s3:
        refused = await s3.refused("s3_delete_objects", urls=[*(root + key for key in keys), f"{root}kept"])
        assert "outside what the operator allows" in refused
        assert len((await s3.ask("s3_list_objects", prefix=f"{root}d/"))["objects"]) == 60
        assert (await s3.ask("s3_delete_objects", urls=[root + key for key in keys]))["deleted"] == 60
        assert (await s3.ask("s3_list_objects", prefix=f"{root}d/"))["objects"] == []
        assert "`urls`" in await s3.refused("s3_delete_objects", urls=[])
    assert look(s3_bucket, lambda client: bool(client.head_object(Bucket=s3_bucket.name, Key="kept")))


def test_a_root_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is not a directory"):
        LocalRoots([tmp_path / "absent"])
