"""Calling git: bounds, deadlines, an environment of our own; and fetching over a real https server."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast

import pytest

from mcp_servers.git.bare import make_bare
from mcp_servers.git.pinning import pin
from mcp_servers.git.program import OUTPUT_BYTES, Git, GitError
from mcp_servers.storage import locations
from mcp_servers.storage.artifacts import Artifacts
from mcp_servers.storage.stores import ObjectStores
from state.errors import InputError
from tests.services.availability import missing


async def test_output_is_bounded(tmp_path: Path) -> None:
    git = await make_bare(tmp_path / "x.git")
    blob = (await git.run("hash-object", "-w", "--stdin", stdin=b"x" * (OUTPUT_BYTES + 1))).decode().strip()
    with pytest.raises(GitError, match="printed more than"):
        await git.run("cat-file", "blob", blob)
    await git.run("cat-file", "blob", blob, stdout=tmp_path / "blob")
    assert (tmp_path / "blob").stat().st_size == OUTPUT_BYTES + 1
    assert await git.run("cat-file", "-s", blob) == str(OUTPUT_BYTES + 1).encode() + b"\n"


async def test_input_that_is_not_wanted(tmp_path: Path) -> None:
    git = await make_bare(tmp_path / "x.git")
    assert (await git.run("version", stdin=b"x" * (1 << 22))).startswith(b"git version")
    with pytest.raises(GitError, match="git index-pack: "):
        await git.run("index-pack", "--stdin", stdin=b"no pack" * (1 << 20))


async def test_a_deadline(tmp_path: Path) -> None:
    git = await make_bare(tmp_path / "x.git")
    os.mkfifo(tmp_path / "x.git" / "config.include")
    await git.run("config", "include.path", str(tmp_path / "x.git" / "config.include"))
    with pytest.raises(GitError, match="git rev-parse took more than"):
        await Git(tmp_path / "x.git", timeout=0.2).run("rev-parse", "HEAD")


async def test_a_cancellation_while_it_starts_kills_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nsleep 300 & echo $! > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; wait\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    before = children()
    task = asyncio.create_task(Git().run("version"))
    for _ in range(100):
        if children() != before:
            break
        await asyncio.sleep(0)
    # From here the event loop must not turn: the process is running, and not yet handed over to who asked for it.
    end = time.monotonic() + 60
    while not os.access(tmp_path / "pid", os.F_OK):
        assert time.monotonic() < end
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(60):
        while True:
            if dead(int((tmp_path / "pid").read_text())):
                return
            await asyncio.sleep(0.01)


def children() -> set[str]:
    """Of this process."""
    return {child for task in Path("/proc/self/task").iterdir() for child in (task / "children").read_text().split()}


def dead(process: int) -> bool:
    """Gone, or a zombie that nobody has buried."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


async def test_nothing_is_inherited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".gitconfig").write_text("[core]\n\tabbrev = 5\n[alias]\n\tx = !id\n")
    for name, value in (
        ("HOME", str(tmp_path / "home")),
        ("GIT_DIR", str(tmp_path / "elsewhere")),
        ("GIT_CONFIG_COUNT", "1"),
        ("GIT_CONFIG_KEY_0", "alias.y"),
        ("GIT_CONFIG_VALUE_0", "!id"),
        ("GIT_TRACE", str(tmp_path / "trace")),
        ("GIT_EXEC_PATH", str(tmp_path)),
        ("LD_PRELOAD_NOT", "x"),
    ):
        monkeypatch.setenv(name, value)
    git = await make_bare(tmp_path / "x.git")
    listed = await git.text("config", "--list", "--show-origin")
    assert ".gitconfig" not in listed
    assert "alias" not in listed
    assert not (tmp_path / "trace").exists()
    assert not (tmp_path / "elsewhere").exists()


class Backend(BaseHTTPRequestHandler):
    """git's own HTTP backend, as CGI."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", "0"))))

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""

    def _answer(self, body: bytes) -> None:
        path, _, query = self.path.partition("?")
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": cast("Server", self.server).root,
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        headers["Content-Length"] = str(len(content))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, root: Path, certificate: Path, key: Path) -> None:
        super().__init__(("127.0.0.1", 0), Backend)
        self.root = str(root)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.socket = context.wrap_socket(self.socket, server_side=True)


@pytest.fixture
def https(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[str]:
    """The URL of a server for the repositories below ``tmp_path/served``, trusted through the environment."""
    if not shutil.which("openssl"):
        missing("openssl makes the test's certificate")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    monkeypatch.setenv("GIT_SSL_CAINFO", str(certificate))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "served").mkdir()
    server = Server(tmp_path / "served", certificate, key)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def make(repository: Path) -> list[str]:
    """Two commits on trunk, a tag on the first, a branch ``topic/x`` on the second; the commits' ids."""

    def git(*arguments: str) -> str:
        options = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        done = subprocess.run(["git", *options, *arguments], cwd=repository, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    repository.mkdir()
    git("init", "--quiet", "--initial-branch=trunk")
    (repository / "x").write_text("x")
    git("add", "x")
    git("commit", "--quiet", "--message=first")
    git("tag", "--annotate", "--message=v1", "v1")
    git("commit", "--quiet", "--allow-empty", "--message=second")
    git("branch", "topic/x")
    return git("rev-list", "--reverse", "HEAD").split()


async def test_over_https(tmp_path: Path, https: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = make(tmp_path / "served" / "one")
    (tmp_path / "served" / "empty").mkdir()
    await make_bare(tmp_path / "served" / "empty" / ".git")
    stores = ObjectStores()
    artifacts = Artifacts(stores, locations.from_path(tmp_path / "artifacts", directory=True))
    url = f"{https}/one/.git"
    for ref, oid, base in (
        (None, second, "trunk"),
        ("trunk", second, "trunk"),
        ("topic/x", second, "topic/x"),
        ("refs/heads/topic/x", second, "topic/x"),
        ("v1", first, "v1"),
        (second, second, ""),
    ):
        pinned = await pin(url, ref, artifacts)
        assert (pinned.oid, pinned.base, pinned.dirty) == (oid, base, 0), ref
    for ref in ("x", "no-such", first[:8], "trunk~1", "a:b", "*", "+trunk"):
        with pytest.raises(InputError):
            await pin(url, ref, artifacts)
    with pytest.raises(InputError, match="no default branch"):
        await pin(f"{https}/empty/.git", None, artifacts)
    with pytest.raises(GitError, match="Can this user read"):
        await pin(f"{https}/absent/.git", None, artifacts)
    monkeypatch.delenv("GIT_SSL_CAINFO")
    with pytest.raises(GitError, match="certificate"):
        await pin(url, None, artifacts)
    await stores.close()
