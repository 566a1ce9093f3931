"""What `python -m benchmarks mcp` calls: tools of our servers, and what stands beside each."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

from benchmarks.engine import IMAGE, engine_with_image
from benchmarks.measuring import RoundFailed

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

COMMITS, FILES = 20, 5
OBJECT_BYTES = 10_000
_BIN = Path(sys.executable).parent
_SECONDS = 30.0
_NOWHERE = Path(os.devnull).open("w")  # noqa: SIM115  for as long as the process lives
Call = tuple[str, dict[str, Any]]
Prepare = Callable[[Client], Awaitable[Call]]


@dataclass(frozen=True, slots=True)
class Server:
    """How to start one, over stdio or (ours) over HTTP."""

    system: str
    command: list[str]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])

    @asynccontextmanager
    async def stdio(self) -> AsyncGenerator[Client]:
        """A client with a server process of its own."""
        environment = {**os.environ, **self.environment}
        started = StdioServerParameters(command=self.command[0], args=self.command[1:], env=environment)
        async with Client(stdio_client(started, errlog=_NOWHERE)) as client:
            yield client

    @asynccontextmanager
    async def http(self) -> AsyncGenerator[str]:
        """The URL of a server process."""
        process = await asyncio.create_subprocess_exec(
            *self.command, "--http", "0", env={**os.environ, **self.environment}, stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stderr
        try:
            line = (await process.stderr.readline()).decode()
            if not line.startswith("listening on "):
                raise RoundFailed(f"{self.command}: {line}")
            draining = asyncio.create_task(process.stderr.read())
            yield line.split()[-1]
            draining.cancel()
        finally:
            process.terminate()
            await process.wait()


@asynccontextmanager
async def at(url: str) -> AsyncGenerator[Client]:
    """A client of a server over HTTP."""
    async with Client(streamable_http_client(url)) as client:
        yield client


@dataclass(frozen=True, slots=True)
class Subject:
    """One tool of one server. `prepare` makes what a client needs, and says what to call."""

    name: str
    server: Server
    prepare: Prepare


@dataclass(frozen=True, slots=True)
class Place:
    """What the servers work on. `bucket` and `container` are there if their services are."""

    directory: Path
    repo: Path
    endpoint: str | None
    engine: bool

    def subjects(self) -> list[Subject]:
        """All, ours first."""
        atlas = Server("atlas", [str(_BIN / "atlas"), "mcp", "git", "--root", str(self.directory)], self._home())
        reference = Server("reference", [str(_BIN / "mcp-server-git")])
        found = [
            Subject("git status", atlas, self._git("git_status", "repo")),
            Subject("git log", atlas, self._git("git_log", "repo", max_count=10)),
            Subject("git diff", atlas, self._git("git_diff", "repo")),
            Subject("git status", reference, self._git("git_status", "repo_path")),
            Subject("git log", reference, self._git("git_log", "repo_path", max_count=10)),
            Subject("git diff", reference, self._git("git_diff_unstaged", "repo_path")),
        ]
        if self.engine:
            command = [str(_BIN / "atlas"), "mcp", "container", "--allow-destructive"]
            found.append(Subject("container exec", Server("atlas", command, self._home()), _exec))
        if self.endpoint:
            command = [str(_BIN / "atlas"), "mcp", "s3", "--allow", "s3://bench"]
            environment = {**self._home(), **CREDENTIALS, "ATLAS_S3_ENDPOINT": self.endpoint}
            found.append(Subject("S3 get", Server("atlas", command, environment), _get))
        return found

    def repositories(self, count: int) -> list[Path]:
        """More of them, all alike."""
        found = [self.directory / f"repo {number}" for number in range(count)]
        for repo in found:
            if not repo.exists():
                shutil.copytree(self.repo, repo)
        return found

    def _home(self) -> dict[str, str]:
        return {"ATLAS_HOME": str(self.directory / "home")}

    def _git(self, tool: str, key: str, **arguments: object) -> Prepare:
        async def prepare(client: Client) -> Call:
            return tool, {key: str(self.repo), **arguments}

        return prepare


async def _exec(client: Client) -> Call:
    made = await client.call_tool("container_create", {"image": IMAGE})
    if made.is_error or made.structured_content is None:
        raise RoundFailed(f"container_create: {made.content}")
    return "container_exec", {"container": made.structured_content["container"], "argv": ["true"]}


async def _get(client: Client) -> Call:
    return "s3_get_object", {"url": "s3://bench/object"}


@contextmanager
def place(directory: Path) -> Generator[Place]:
    """A repository with a few files, some commits and a change; an S3 endpoint (moto); an engine, if one answers."""
    with _s3() as endpoint:
        yield Place(directory, _repository(directory / "repo"), endpoint, engine_with_image())


def _repository(repo: Path) -> Path:
    repo.mkdir()
    git = ["git", "-c", "user.name=B", "-c", "user.email=b@example.org", "-c", "init.defaultBranch=main"]

    def run(*arguments: str) -> None:
        subprocess.run([*git, *arguments], cwd=repo, check=True, capture_output=True)

    run("init", "--quiet")
    for commit in range(COMMITS):
        (repo / f"file {commit % FILES}").write_text(f"{commit}\n" * 50)
        run("add", ".")
        run("commit", "--quiet", "-m", f"commit {commit}")
    (repo / "file 0").write_text("changed\n" * 50)
    return repo


@contextmanager
def sleeping_container() -> Generator[str]:
    """One that plain `docker exec` can be tried in."""
    make = ["docker", "run", "--detach", "--rm", "--network", "none", IMAGE, "/bin/busybox", "sleep", "600"]
    made = subprocess.run(make, check=True, capture_output=True, text=True).stdout.strip()
    try:
        yield made
    finally:
        subprocess.run(["docker", "rm", "--force", made], check=True, capture_output=True)


CREDENTIALS = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench-secret", "AWS_REGION": "us-east-1"}


@contextmanager
def _s3() -> Generator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _until_open(port)
            endpoint = f"http://127.0.0.1:{port}"
            s3 = s3_client(endpoint)
            s3.create_bucket(Bucket="bench")
            s3.put_object(Bucket="bench", Key="object", Body=b"0123456789\n" * (OBJECT_BYTES // 11))
            s3.close()
            yield endpoint
        finally:
            process.kill()


def s3_client(endpoint: str) -> S3Client:
    """boto3's, for that endpoint."""
    import boto3

    connect = cast("Callable[..., S3Client]", boto3.client)  # pyright: ignore[reportUnknownMemberType]
    return connect(
        "s3", endpoint_url=endpoint, aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"], region_name=CREDENTIALS["AWS_REGION"],
    )  # fmt: skip


def _until_open(port: int) -> None:
    end = time.monotonic() + _SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError as error:
            if time.monotonic() > end:
                raise RoundFailed("moto's server did not start") from error
            time.sleep(0.05)
