"""Servers with the tools of ours, by name and argument, written as many are: nearly each line is a hole, so that an
attack on ours can be proved to be real. For tests on a machine that may be thrown away, and nothing else."""

from __future__ import annotations

import io
import json
import posixpath
import subprocess
import tarfile
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from tests.services.s3 import S3Service

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

VOLUMES_LABEL = "mcp.volumes"


@contextmanager
def engine_at(url: str) -> Generator[DockerClient]:
    """The engine's own client, which grants all that the engine does."""
    import docker  # not for every test run: it takes its time

    with closing(docker.DockerClient(base_url=url, timeout=30)) as engine:
        yield engine


@dataclass(frozen=True, slots=True)
class _Below:
    """Judges paths by how they begin, before they are made plain and links are followed."""

    root: Path

    def path(self, path: str) -> Path:
        if not path.startswith(str(self.root)):
            raise ToolError(f"{path} is not below {self.root}")
        return Path(path)


@dataclass(frozen=True, slots=True)
class _Git(_Below):
    """Arguments go to git as they come."""

    def _git(self, repo: str, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=self.path(repo), capture_output=True, text=True, check=False, timeout=30
        )
        if done.returncode > 1:
            raise ToolError(done.stderr)
        return done.stdout

    def git_diff(self, repo: str, revisions: list[str]) -> str:
        return self._git(repo, "diff", *revisions)

    def git_log(self, repo: str, revision: str = "HEAD", paths: Sequence[str] = ()) -> str:
        return self._git(repo, "log", revision, *paths)

    def git_grep(self, repo: str, pattern: str) -> str:
        return self._git(repo, "grep", "-e", pattern)

    def git_add(self, repo: str, paths: list[str]) -> None:
        """As GitPython's ``index.add`` did until it was mended."""
        for path in paths:
            content = self._git(repo, "hash-object", "-w", "--", path).strip()
            self._git(repo, "update-index", "--add", "--cacheinfo", f"100644,{content},{path}")

    def git_commit(self, repo: str, message: str) -> str:
        return self._git(repo, "commit", "--no-verify", "-m", message)

    def git_fetch(self, repo: str, remote: str = "origin") -> str:
        return self._git(repo, "fetch", remote)

    def git_push(self, repo: str, branch: str, remote: str = "origin") -> str:
        return self._git(repo, "push", "--no-verify", remote, branch)

    def git_clone(self, url: str, into: str) -> str:
        return self._git(str(self.root), "clone", url, into)


def naive_git(root: Path) -> MCPServer[Any]:
    """For repositories below `root`."""
    git = _Git(root)
    return _server(
        git.git_diff, git.git_log, git.git_grep, git.git_add, git.git_commit, git.git_fetch, git.git_push, git.git_clone
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _S3(_Below):
    """Keys are judged as paths are; a presigned URL not at all."""

    service: S3Service
    bucket: str
    prefix: str

    def _key(self, url: str) -> str:
        key = urlsplit(url).path.lstrip("/")
        if not key.startswith(self.prefix):
            raise ToolError(f"{url} is not allowed")
        return posixpath.normpath(key)

    def _got(self, url: str) -> bytes:
        with closing(self.service.client()) as client:
            return client.get_object(Bucket=self.bucket, Key=self._key(url))["Body"].read()

    def s3_get_object(self, url: str) -> str:
        return self._got(url).decode()

    def s3_presign(self, url: str) -> str:
        with closing(self.service.client()) as client:
            parameters = {"Bucket": self.bucket, "Key": urlsplit(url).path.lstrip("/")}
            return client.generate_presigned_url("get_object", Params=parameters, ExpiresIn=604_800)

    def s3_upload_file(self, path: str, url: str) -> None:
        with closing(self.service.client()) as client:
            client.put_object(Bucket=self.bucket, Key=self._key(url), Body=self.path(path).read_bytes())

    def s3_download_file(self, url: str, path: str) -> None:
        self.path(path).write_bytes(self._got(url))


def naive_s3(service: S3Service, bucket: str, prefix: str, root: Path) -> MCPServer[Any]:
    """For the keys that begin with `prefix`, and files below `root`."""
    s3 = _S3(root, service, bucket, prefix)
    return _server(s3.s3_get_object, s3.s3_presign, s3.s3_upload_file, s3.s3_download_file)


@dataclass(frozen=True, slots=True)
class _Containers(_Below):
    """Whatever the caller asks for, or the image."""

    engine: DockerClient

    def _start(
        self, image: str, argv: list[str], volumes: Sequence[str] = (), cap_add: Sequence[str] = ()
    ) -> Container:
        asked = self.engine.images.get(image).labels.get(VOLUMES_LABEL, "[]")
        mounts = [*volumes, *json.loads(asked)]
        return self.engine.containers.run(
            image, argv, detach=True, network_mode="none", volumes=mounts, cap_add=list(cap_add)
        )

    def container_run(
        self, image: str, argv: list[str], volumes: Sequence[str] = (), cap_add: Sequence[str] = ()
    ) -> str:
        container = self._start(image, argv, volumes, cap_add)
        try:
            container.wait(timeout=30)
            return container.logs().decode()
        finally:
            container.remove(force=True)

    def container_create(self, image: str) -> str:
        return str(self._start(image, ["sleep", "60"]).id)

    def container_exec(self, container: str, argv: list[str]) -> str:
        return cast("bytes", self.engine.containers.get(container).exec_run(argv).output).decode()

    def container_remove(self, container: str) -> None:
        self.engine.containers.get(container).remove(force=True)

    def container_copy_in(self, container: str, local: str, path: str) -> None:
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w", dereference=True) as tar:
            tar.add(self.path(local), Path(path).name)
        put = cast("Callable[[str, bytes], bool]", self.engine.containers.get(container).put_archive)  # pyright: ignore[reportUnknownMemberType]
        put(str(Path(path).parent), archive.getvalue())

    def container_copy_out(self, container: str, path: str, local: str) -> None:
        target = self.path(local)
        content, _ = self.engine.containers.get(container).get_archive(path)
        with tarfile.open(fileobj=io.BytesIO(b"".join(content))) as tar:
            for member in tar.getmembers():
                member.name = member.name.replace(Path(path).name, target.name, 1)
                how = {"filter": "fully_trusted"} if hasattr(tarfile, "fully_trusted_filter") else {}  # since 3.11.4
                cast(Any, tar).extract(member, target.parent, **how)


def naive_containers(engine: DockerClient, root: Path) -> MCPServer[Any]:
    """Copies from and to files below `root`."""
    made = _Containers(root, engine)
    return _server(
        made.container_run, made.container_create, made.container_exec, made.container_remove, made.container_copy_in,
        made.container_copy_out,
    )  # fmt: skip


def _server(*tools: Callable[..., object]) -> MCPServer[Any]:
    server = MCPServer[Any]("naive", log_level="CRITICAL")
    for tool in tools:
        server.add_tool(tool, structured_output=False)
    return server
