"""Builds and the engine's own network: what a RUN step may not reach, no other step reaches for it."""

from __future__ import annotations

import io
import threading
from collections.abc import AsyncIterator, Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.integration.container_workshop import Workshop, workshop
from tests.services.naive_servers import engine_at

pytestmark = pytest.mark.docker
BASE = "FROM atlas-test/busybox:1\n"


class Inward:
    """A service of this host alone, that notes who comes."""

    def __init__(self) -> None:
        self.visits: list[str] = []
        visits = self.visits

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                visits.append(self.path)
                self.send_response(200)
                self.send_header("Content-Length", "6")
                self.end_headers()
                self.wfile.write(b"secret")

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/secret"


@pytest.fixture
def inward() -> Generator[Inward]:
    service = Inward()
    thread = threading.Thread(target=service.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield service
    service.server.shutdown()
    service.server.server_close()
    thread.join()


@pytest.fixture
async def shop(docker_url: str, busybox_image: str, tmp_path: Path) -> AsyncIterator[Workshop]:
    (tmp_path / "root").mkdir()
    async with workshop(docker_url, tmp_path, roots=[tmp_path / "root"], network=None) as found:
        yield found


async def test_no_step_fetches(shop: Workshop, docker_url: str, inward: Inward, tmp_path: Path) -> None:
    plain, varied = f"{BASE}ADD {inward.url} /x\n", f"{BASE}ARG U\nADD \\\n $U /x\n"
    with engine_at(docker_url) as engine:
        engine.images.build(fileobj=io.BytesIO(plain.encode()), tag="atlas-test/fetched:1", network_mode="none")
        assert inward.visits.pop() == "/secret", "the engine was expected to fetch it"
        trigger = f"{BASE}ONBUILD ADD {inward.url} /x\n".encode()
        engine.images.build(fileobj=io.BytesIO(trigger), tag="atlas-test/trigger:1")
    (tmp_path / "root" / "context").mkdir()
    (tmp_path / "root" / "context" / "Dockerfile").write_text(plain)
    for more in (
        {"dockerfile": plain},
        {"dockerfile": varied, "arguments": {"U": inward.url}},
        {"context": "context"},
        {"dockerfile": "FROM atlas-test/trigger:1\n"},
        {"dockerfile": "ARG B\nFROM ${B}:1\nRUN true\n", "arguments": {"B": "atlas-test/trigger"}},
        {"dockerfile": f"{BASE}ONBUILD ADD {inward.url} /x\n"},
    ):
        assert "plain local files only" in await shop.refusal("container_build", name="x", **more)
    assert inward.visits == []


async def test_local_files_are_added(shop: Workshop, tmp_path: Path) -> None:
    context = tmp_path / "root" / "context"
    context.mkdir()
    (context / "a").write_text("hello")
    (context / "Dockerfile").write_text("ARG B=atlas-test/busybox\nFROM $B:1 AS one\nADD a /a\nFROM one\n")
    built = await shop.call("container_build", name="added", context="context")
    ran = await shop.call("container_run", image=built["image"], argv=["cat", "/a"])
    assert ran["stdout"] == "hello"
    assert "no Dockerfile" in await shop.refusal("container_build", name="x", context=str(tmp_path / "root"))
