"""The S3 MCP server when its endpoint is dead or silent, or knows not the credentials: it says so, and none of them."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mcp_servers.storage.s3 import PART
from tests.services.ports import free_port
from tests.services.s3 import Bucket, S3Service, moto_process
from tests.services.s3_tools import talking

pytestmark = pytest.mark.s3


async def test_a_dead_endpoint(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    async with talking(S3Service(f"http://127.0.0.1:{free_port()}"), "s3://bucket", roots=[tmp_path]) as s3:
        url = "s3://bucket/x"
        for tool, arguments in (
            ("s3_list_buckets", {}),
            ("s3_list_objects", {"prefix": "s3://bucket/"}),
            ("s3_get_object", {"url": url}),
            ("s3_put_object", {"url": url, "content": "x"}),
            ("s3_copy_object", {"source": url, "target": "s3://bucket/y"}),
            ("s3_upload_file", {"path": f"{tmp_path}/x", "url": url}),
            ("s3_download_file", {"url": url, "path": f"{tmp_path}/got"}),
        ):
            started = time.monotonic()
            answer = await s3.refused(tool, **arguments)
            assert "Check the endpoint" in answer, tool
            assert time.monotonic() - started < 20
        failed = await s3.ask("s3_delete_objects", urls=[f"{url}{number}" for number in range(200)])
        assert failed["deleted"] == 0
        assert "not tried" in failed["failed"][-1]["reason"]
    assert not (tmp_path / "got").exists()


@contextmanager
def answering(raw: bytes) -> Generator[S3Service]:
    """A server whose every answer is this, and then the connection ends."""

    class Answers(BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            self.close_connection = True
            self.raw_requestline = self.rfile.readline()
            if self.parse_request():
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.wfile.write(raw)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield S3Service(f"http://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"HTTP/1.1 200 ", id="half a line"),
        pytest.param(b"HTTP/1.1 200 OK\r\n", id="a line"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n", id="a head"),
        pytest.param(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", id="a head without a length"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n<?xml version='1.0'?><List", id="some XML"),
        pytest.param(b'HTTP/1.1 200 OK\r\nETag: "a"\r\nContent-Length: 300\r\n\r\nabc', id="some content"),
    ],
)
async def test_an_answer_that_breaks_off_is_none(tmp_path: Path, raw: bytes) -> None:
    """Most of all, a bucket is not empty by it."""
    with (tmp_path / "large").open("wb") as file:
        file.truncate(2 * PART)
    url, written = "s3://bucket/x", b"ETag" in raw
    tools = (
        ("s3_list_objects", {"prefix": "s3://bucket/"}),
        ("s3_get_object", {"url": url}),
        ("s3_copy_object", {"source": url, "target": "s3://bucket/y"}),
        ("s3_upload_file", {"path": f"{tmp_path}/large", "url": url}),
        ("s3_download_file", {"url": url, "path": f"{tmp_path}/got"}),
    )
    heads = (("s3_head_object", {"url": url}), ("s3_put_object", {"url": url, "content": "x"}))
    with answering(raw) as service:
        async with talking(service, "s3://bucket", roots=[tmp_path], attempts=1) as s3:
            for tool, arguments in (*tools, *(() if written else heads)):
                answer = await s3.refused(tool, **arguments)
                assert "try again" in answer, (tool, answer)
    assert not (tmp_path / "got").exists()


@pytest.mark.parametrize("tool", ["s3_list_objects", "s3_put_object"])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_an_endpoint_that_says_nothing(tool: str, scheme: str) -> None:
    arguments = {"prefix": "s3://bucket/"} if tool == "s3_list_objects" else {"url": "s3://bucket/x", "content": "x"}
    with socket.create_server(("127.0.0.1", 0)) as silent:
        service = S3Service(f"{scheme}://127.0.0.1:{silent.getsockname()[1]}")
        async with talking(service, "s3://bucket", connect_timeout=3_600.0, read_timeout=3_600.0) as s3:
            started = time.monotonic()
            answer = await s3.refused(tool, **arguments, timeout=1)
            assert "was stopped after 1 s" in answer
            assert time.monotonic() - started < 10


async def test_wrong_credentials(tmp_path: Path) -> None:
    port = free_port()
    process = moto_process(port, INITIAL_NO_AUTH_ACTION_COUNT="0")
    try:
        (tmp_path / "x").write_text("x")
        async with talking(S3Service(f"http://127.0.0.1:{port}"), "s3://bucket", roots=[tmp_path]) as s3:
            url = "s3://bucket/x"
            for tool, arguments in (
                ("s3_list_buckets", {}),
                ("s3_list_objects", {"prefix": "s3://bucket/"}),
                ("s3_get_object", {"url": url}),
                ("s3_put_object", {"url": url, "content": "x"}),
                ("s3_upload_file", {"path": f"{tmp_path}/x", "url": url}),
                ("s3_download_file", {"url": url, "path": f"{tmp_path}/got"}),
            ):
                answer = await s3.refused(tool, **arguments)
                assert "refused" in answer
                assert "AWS_ACCESS_KEY_ID" in answer
    finally:
        process.terminate()
        process.wait()


async def test_no_credential_is_told(s3_bucket: Bucket, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = f"s3://{s3_bucket.name}/"
    caplog.set_level(logging.INFO)
    service = S3Service(s3_bucket.service.endpoint, "AKIDATLAS", "top-secret-key")
    dead = S3Service(f"http://127.0.0.1:{free_port()}", "AKIDATLAS", "top-secret-key")
    answers: list[str] = []
    for each in (service, dead):
        async with talking(each, root, roots=[tmp_path], session_token="top-secret-token", attempts=1) as s3:
            await s3.ask("s3_presign", url=f"{root}x")
            del s3.answers[:]
            for tool, arguments in (
                ("s3_put_object", {"url": f"{root}x", "content": "x"}),
                ("s3_get_object", {"url": f"{root}absent"}),
                ("s3_list_objects", {"prefix": root}),
                ("s3_download_file", {"url": f"{root}x", "path": f"{tmp_path}/{each.endpoint[-4:]}"}),
                ("s3_presign", {"url": "s3://elsewhere/x"}),
                ("s3_put_object", {"url": "s3://AKID:secret@host/x", "content": ""}),
            ):
                await s3.client.call_tool(tool, arguments)
            await s3.refused("s3_get_object", url=f"{root}absent")
            answers += s3.answers
    told = "\n".join([*answers, caplog.text])
    assert "s3_presign done" in caplog.text
    assert f"url='{root}x'" in caplog.text
    for secret in ("AKIDATLAS", "top-secret", "X-Amz-", "Signature"):
        assert secret not in told


async def test_an_address_that_does_not_answer() -> None:
    """A connection that is never accepted: its queue is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        with ExitStack() as waiting:
            for _ in range(3):
                one = waiting.enter_context(socket.socket())
                one.setblocking(False)
                one.connect_ex(address)
            service = S3Service(f"http://127.0.0.1:{address[1]}")
            async with talking(service, "s3://bucket", connect_timeout=3_600.0) as s3:
                started = time.monotonic()
                answer = await s3.refused("s3_list_objects", prefix="s3://bucket/", timeout=1)
                assert "was stopped after 1 s" in answer
                assert time.monotonic() - started < 10
            async with talking(service, "s3://bucket", connect_timeout=0.5) as s3:
                assert "Check the endpoint" in await s3.refused("s3_list_objects", prefix="s3://bucket/")
