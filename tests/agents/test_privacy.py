"""What a run does is told to its models and to nobody else."""

from __future__ import annotations

import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.agents.world import opened, todo


@pytest.fixture
def collector() -> Generator[tuple[str, list[str]]]:
    """A collector of traces: its URL, and what it was sent."""
    heard: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            heard.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_GET = do_POST = do_PATCH = _answer

        def log_message(self, format: str, *arguments: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", heard
    server.shutdown()
    thread.join()
    server.server_close()


async def test_no_trace_leaves_whatever_the_environment_says(
    tmp_path: Path, collector: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, heard = collector
    for name, value in (("TRACING", "true"), ("ENDPOINT", url), ("API_KEY", "key")):
        monkeypatch.setenv(f"LANGSMITH_{name}", value)
    async with opened(tmp_path / "world") as world:
        assert await world.play(todo()) == "completed"
    from langchain_core.tracers.langchain import wait_for_all_tracers

    wait_for_all_tracers()
    assert heard == []
