"""Orderly ends of `atlas mcp container`: whatever asks for it, the containers are removed before the process ends."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, cast

import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from mcp_servers.container.engine import Engine

pytestmark = pytest.mark.docker

ATLAS = Path(sys.executable).with_name("atlas")


@asynccontextmanager
async def serving(url: str, home: Path, *more: str) -> AsyncGenerator[asyncio.subprocess.Process]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "ATLAS_HOME": str(home), "DOCKER_HOST": url}
    process = await asyncio.create_subprocess_exec(
        ATLAS, "mcp", "container", *more, env=environment,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def boxes(url: str, home: Path) -> list[str]:
    reply = await Engine(url).request("GET", "/containers/json", {"all": "1"})
    listed = cast("list[dict[str, Any]]", reply.body)
    return [each["State"] for each in listed if each["Labels"].get("atlas.home") == str(home)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("transport", ["http", "stdio"])
async def test_a_signal_leaves_no_container(
    docker_url: str, busybox_image: str, tmp_path: Path, number: signal.Signals, transport: Literal["http", "stdio"]
) -> None:
    arguments = {"image": busybox_image}
    async with serving(docker_url, tmp_path, *(["--http", "0"] if transport == "http" else [])) as process:
        assert process.stderr
        assert process.stdin
        assert process.stdout
        async with asyncio.timeout(60):
            if transport == "http":
                url = (await process.stderr.readline()).decode().split()[-1]
                async with Client(streamable_http_client(url)) as client:
                    assert not (await client.call_tool("container_create", arguments)).is_error
            else:
                for message in _messages(busybox_image):
                    process.stdin.write(f"{message}\n".encode())
                said = b""
                while b'"id":2' not in said.replace(b" ", b""):
                    said = await process.stdout.readline()
                    assert said
            assert await boxes(docker_url, tmp_path) == ["running"]
            process.send_signal(number)
            assert await process.wait() == (130 if number == signal.SIGINT else -signal.SIGTERM)
    assert await boxes(docker_url, tmp_path) == []


def _messages(image: str) -> list[str]:
    return [
        '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},'
        '"clientInfo":{"name":"t","version":"0"}}}',
        '{"jsonrpc":"2.0","method":"notifications/initialized"}',
        '{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"container_create","arguments":'
        f'{{"image":"{image}"}}}}}}',
    ]
